package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/containers/ocicrypt"
	"github.com/containers/ocicrypt/config"
	"github.com/containers/ocicrypt/helpers"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func encryptCommand(args []string) error {
	var recipients stringList
	flags := newFlagSet("encrypt")
	flags.Var(&recipients, "recipient", "whom to encrypt for")
	layerDigest := flags.String("digest", "", "digest of the plain layer")
	mediaType := flags.String("mediatype", defaultMediaType, "media type of the plain layer")
	annotationsFile := flags.String("annotations", "", "where to write the annotations")
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	if len(recipients) == 0 {
		return usagef("encrypt: -recipient is required")
	}
	if *annotationsFile == "" {
		return usagef("encrypt: -annotations is required")
	}

	crypto, err := helpers.CreateCryptoConfig(recipients, nil)
	if err != nil {
		return err
	}
	if err := refuseDropped(recipients, crypto.EncryptConfig); err != nil {
		return err
	}
	layer := ocispec.Descriptor{MediaType: *mediaType, Digest: digest.Digest(*layerDigest)}
	annotations, err := encryptLayer(output, os.Stdin, crypto.EncryptConfig, layer)
	if err != nil {
		return err
	}
	return writeJSON(*annotationsFile, annotations)
}

// refuseDropped reports recipients that ocicrypt would leave out in silence: PGP
// ones without a gpg program, and providers without a configuration.
func refuseDropped(recipients []string, ec *config.EncryptConfig) error {
	for _, recipient := range recipients {
		scheme, value, _ := strings.Cut(recipient, ":")
		switch scheme {
		case "pgp":
			if len(ec.Parameters["gpg-recipients"]) == 0 {
				return fmt.Errorf("%s: no gpg program found", recipient)
			}
		case "provider":
			name, _, _ := strings.Cut(value, ":")
			if ocicrypt.GetKeyWrapper("provider."+name) == nil {
				return fmt.Errorf("%s: provider is not configured, see OCICRYPT_KEYPROVIDER_CONFIG", recipient)
			}
		}
	}
	return nil
}
