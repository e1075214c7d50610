// Program json-reader reads JSON documents as Go's tools do, for the differential test: each line
// of its input is a kind and a document in base64; each line of its output is what encoding/json
// read into the structs of image-spec and ocicrypt, or null where it refused the document.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/containers/ocicrypt/blockcipher"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func target(kind string) any {
	switch kind {
	case "manifest":
		return new(v1.Manifest)
	case "index":
		return new(v1.Index)
	case "config":
		return new(v1.Image)
	case "private":
		return new(blockcipher.PrivateLayerBlockCipherOptions)
	case "public":
		return new(blockcipher.PublicLayerBlockCipherOptions)
	}
	log.Fatalf("unknown kind %q", kind)
	return nil
}

func read(line string) (string, error) {
	kind, encoded, _ := strings.Cut(line, " ")
	document, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", err
	}
	value := target(kind)
	if err := json.Unmarshal(document, value); err != nil {
		return "null", nil
	}
	answer, err := json.Marshal(value)
	return string(answer), err
}

func main() {
	log.SetFlags(0)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	for in.Scan() {
		answer, err := read(in.Text())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintln(out, answer)
		if err := out.Flush(); err != nil {
			log.Fatal(err)
		}
	}
	if err := in.Err(); err != nil {
		log.Fatal(err)
	}
}
