package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/containers/ocicrypt/helpers"
)

func decryptCommand(args []string) error {
	var keys, recipients stringList
	flags := newFlagSet("decrypt")
	flags.Var(&keys, "key", "private key, or certificate beside it")
	flags.Var(&recipients, "dec-recipient", "certificate that goes with a PKCS#7 key")
	annotationsFile := flags.String("annotations", "", "annotations of the encrypted layer")
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	if len(keys) == 0 {
		return usagef("decrypt: -key is required")
	}
	if *annotationsFile == "" {
		return usagef("decrypt: -annotations is required")
	}

	text, err := os.ReadFile(*annotationsFile)
	if err != nil {
		return err
	}
	var annotations map[string]string
	if err := json.Unmarshal(text, &annotations); err != nil {
		return fmt.Errorf("%s: %w", *annotationsFile, err)
	}
	crypto, err := helpers.CreateDecryptCryptoConfig(keys, recipients)
	if err != nil {
		return err
	}
	return decryptLayer(output, os.Stdin, crypto.DecryptConfig, annotations)
}
