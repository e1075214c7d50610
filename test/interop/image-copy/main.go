// Command image-copy copies an image from one OCI layout to another by
// containers/image, the library that skopeo, buildah and podman copy with, and
// encrypts or decrypts its layers on the way. Its flags are those of skopeo copy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	encconfig "github.com/containers/ocicrypt/config"
	"github.com/containers/ocicrypt/helpers"
	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"
)

type stringList []string

func (l *stringList) String() string { return strings.Join(*l, " ") }

func (l *stringList) Set(value string) error {
	*l = append(*l, value)
	return nil
}

func main() {
	var recipients, keys stringList
	flag.Var(&recipients, "encryption-key", "whom to encrypt for")
	flag.Var(&keys, "decryption-key", "key to decrypt with")
	flag.Parse()
	if err := run(recipients, keys, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "image-copy: %v\n", err)
		os.Exit(1)
	}
}

func run(recipients, keys, images []string) error {
	if len(images) != 2 {
		return errors.New("usage: image-copy [FLAGS] oci:DIR:TAG oci:DIR:TAG")
	}
	source, err := reference(images[0])
	if err != nil {
		return err
	}
	destination, err := reference(images[1])
	if err != nil {
		return err
	}
	// Not the user's cache of blobs seen before.
	cache, err := os.MkdirTemp("", "image-copy-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(cache) }()
	options := &copy.Options{DestinationCtx: &types.SystemContext{BlobInfoCacheDir: cache}}
	if len(recipients) > 0 {
		crypto, err := helpers.CreateCryptoConfig(recipients, nil)
		if err != nil {
			return err
		}
		options.OciEncryptConfig = encconfig.CombineCryptoConfigs([]encconfig.CryptoConfig{crypto}).EncryptConfig
		options.OciEncryptLayers = &[]int{} // all of them
	}
	if len(keys) > 0 {
		crypto, err := helpers.CreateCryptoConfig(nil, keys)
		if err != nil {
			return err
		}
		options.OciDecryptConfig = encconfig.CombineCryptoConfigs([]encconfig.CryptoConfig{crypto}).DecryptConfig
	}
	policy, err := signature.NewPolicyContext(&signature.Policy{
		Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()},
	})
	if err != nil {
		return err
	}
	defer func() { _ = policy.Destroy() }()
	_, err = copy.Image(context.Background(), policy, destination, source, options)
	return err
}

func reference(text string) (types.ImageReference, error) {
	rest, found := strings.CutPrefix(text, "oci:")
	if !found {
		return nil, fmt.Errorf("%s: not oci:DIR:TAG", text)
	}
	return layout.ParseReference(rest)
}
