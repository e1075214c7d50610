package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// jweFolder holds the JWE vectors, below the output folder.
const jweFolder = "jwe"

func generateCommand(args []string) error {
	flags := newFlagSet("generate")
	dir := flags.String("dir", ".", "output folder")
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	if err := ensureKeys(*dir); err != nil {
		return err
	}
	made, err := currentVersions()
	if err != nil {
		return err
	}
	group, err := makeCipherGroup()
	if err != nil {
		return err
	}
	var vectors []vector
	for _, c := range vectorCases() {
		v, err := makeVector(*dir, c)
		if err != nil {
			return fmt.Errorf("vector %s: %w", c.name, err)
		}
		vectors = append(vectors, v)
	}

	// Everything is made and checked: only now replace what is there.
	if err := writeVectors(filepath.Join(*dir, jweFolder), vectors); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(*dir, "cipher.json"), group); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(*dir, "VERSIONS.json"), made); err != nil {
		return err
	}
	fmt.Fprintf(output, "%d jwe vectors, %d cipher vectors\n", len(vectors), len(group.Vectors))
	return nil
}

// writeVectors replaces all vectors in the folder.
func writeVectors(folder string, vectors []vector) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	for _, v := range vectors {
		if err := writeJSON(filepath.Join(folder, v.Name+".json"), v); err != nil {
			return err
		}
	}
	return nil
}
