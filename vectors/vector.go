package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containers/ocicrypt/config"
	"github.com/containers/ocicrypt/keywrap/jwe"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// vector is the content of one file in the folder jwe.
type vector struct {
	Name           string            `json:"name"`
	Comment        string            `json:"comment"`
	Plaintext      plainContent      `json:"plaintext"`
	Ciphertext     blobContent       `json:"ciphertext"`
	Descriptor     plainDescriptor   `json:"descriptor"`
	PrivateOptions []byte            `json:"privateOptions"`
	PublicOptions  string            `json:"publicOptions"`
	Annotations    map[string]string `json:"annotations"`
	OpensWith      []string          `json:"opensWith"`
}

// plainDescriptor is the descriptor of the plain layer, all fields always present.
type plainDescriptor struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int           `json:"size"`
}

// makeVector encrypts one case with ocicrypt and checks the result.
func makeVector(dir string, c vectorCase) (vector, error) {
	plain := repeat(c.pattern, c.size)
	descriptor := plainDescriptor{defaultMediaType, digest.FromBytes(plain), len(plain)}
	if c.noDigest {
		descriptor.Digest = ""
	}
	cipher, annotations, err := encryptCase(dir, c, plain, descriptor)
	if err != nil {
		return vector{}, err
	}
	v := vector{
		Name:          c.name,
		Comment:       c.comment,
		Plaintext:     describePlain(c.pattern, c.size),
		Ciphertext:    describeBlob(cipher),
		Descriptor:    descriptor,
		PublicOptions: annotations[annotationPubOpts],
		Annotations:   annotations,
	}
	if err := v.check(dir, c, plain, cipher); err != nil {
		return vector{}, err
	}
	return v, nil
}

func encryptCase(dir string, c vectorCase, plain []byte, d plainDescriptor) ([]byte, map[string]string, error) {
	layer := ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: int64(d.Size)}
	ec, err := encryptConfig(dir, c.calls[0])
	if err != nil {
		return nil, nil, err
	}
	var cipher bytes.Buffer
	layer.Annotations, err = encryptLayer(&cipher, bytes.NewReader(plain), ec, layer)
	if err != nil {
		return nil, nil, err
	}
	dc, err := decryptConfig(dir, keyFile(c.calls[0][0].key, ".pem"))
	if err != nil {
		return nil, nil, err
	}
	for _, added := range c.calls[1:] {
		ec, err := encryptConfig(dir, added)
		if err != nil {
			return nil, nil, err
		}
		ec.DecryptConfig = *dc
		layer.Annotations, err = addRecipients(ec, layer)
		if err != nil {
			return nil, nil, err
		}
	}
	return cipher.Bytes(), layer.Annotations, nil
}

// check opens the vector with every test key in every form. It fills in the keys
// that open it and the private options, and fails unless those keys are exactly
// the recipients.
func (v *vector) check(dir string, c vectorCase, plain, cipher []byte) error {
	for _, spec := range keySpecs {
		for _, form := range keyForms {
			file := keyFile(spec.name, form)
			err := v.checkKey(dir, file, c.isRecipient(spec.name), plain, cipher)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return nil
}

func (v *vector) checkKey(dir, file string, isRecipient bool, plain, cipher []byte) error {
	dc, err := decryptConfig(dir, file)
	if err != nil {
		return err
	}
	var opened bytes.Buffer
	err = decryptLayer(&opened, bytes.NewReader(cipher), dc, v.Annotations)
	if !isRecipient {
		if err == nil {
			return errors.New("opens the layer, though it is no recipient")
		}
		return nil
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(opened.Bytes(), plain) {
		return errors.New("decrypts to other bytes")
	}
	private, err := unwrap(dc, v.Annotations[annotationJWE])
	if err != nil {
		return err
	}
	if v.PrivateOptions != nil && !bytes.Equal(v.PrivateOptions, private) {
		return errors.New("unwraps to other private options")
	}
	v.PrivateOptions = private
	v.OpensWith = append(v.OpensWith, file)
	return nil
}

func (c vectorCase) isRecipient(key string) bool {
	return slices.ContainsFunc(slices.Concat(c.calls...), func(r recipient) bool { return r.key == key })
}

// unwrap returns the private options of the first element the key opens.
func unwrap(dc *config.DecryptConfig, annotation string) ([]byte, error) {
	wrapper := jwe.NewKeyWrapper()
	for element := range strings.SplitSeq(annotation, ",") {
		message, err := base64.StdEncoding.DecodeString(element)
		if err != nil {
			return nil, err
		}
		if private, err := wrapper.UnwrapKey(dc, message); err == nil {
			return private, nil
		}
	}
	return nil, errors.New("unwraps no element")
}

func encryptConfig(dir string, recipients []recipient) (*config.EncryptConfig, error) {
	var keys [][]byte
	for _, r := range recipients {
		key, err := os.ReadFile(filepath.Join(dir, keyFile(r.key, r.form)))
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	crypto, err := config.EncryptWithJwe(keys)
	return crypto.EncryptConfig, err
}

func decryptConfig(dir, file string) (*config.DecryptConfig, error) {
	key, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil, err
	}
	crypto, err := config.DecryptWithPrivKeys([][]byte{key}, [][]byte{nil})
	return crypto.DecryptConfig, err
}

// keyFile is the name of a key file as vectors give it: with forward slashes, and
// relative to the output folder.
func keyFile(key, form string) string { return keyFolder + "/" + key + form }
