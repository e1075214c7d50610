package main

import (
	"io"

	"github.com/containers/ocicrypt"
	"github.com/containers/ocicrypt/config"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	annotationJWE     = "org.opencontainers.image.enc.keys.jwe"
	annotationPubOpts = "org.opencontainers.image.enc.pubopts"

	defaultMediaType = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// encryptLayer streams one layer through ocicrypt and returns its annotations.
func encryptLayer(to io.Writer, from io.Reader, ec *config.EncryptConfig, layer ocispec.Descriptor) (map[string]string, error) {
	encrypted, finalize, err := ocicrypt.EncryptLayer(ec, from, layer)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(to, encrypted); err != nil {
		return nil, err
	}
	return finalize()
}

// addRecipients wraps the key of an already encrypted layer for more recipients.
// The blob is not touched.
func addRecipients(ec *config.EncryptConfig, layer ocispec.Descriptor) (map[string]string, error) {
	_, finalize, err := ocicrypt.EncryptLayer(ec, nil, layer)
	if err != nil {
		return nil, err
	}
	return finalize()
}

// decryptLayer streams one encrypted layer through ocicrypt. ocicrypt needs
// nothing of the descriptor but its annotations.
func decryptLayer(to io.Writer, from io.Reader, dc *config.DecryptConfig, annotations map[string]string) error {
	layer := ocispec.Descriptor{Annotations: annotations}
	plain, _, err := ocicrypt.DecryptLayer(dc, from, layer, false)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, plain)
	return err
}
