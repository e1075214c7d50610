package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-jose/go-jose/v4"
)

// keyFolder holds the test keys, below the output folder.
const keyFolder = "keys"

// keySpec says how to make a test key. An EC JWK without "alg" is taken for an
// RSA one by ocicrypt, so those always have it.
type keySpec struct {
	name     string
	alg      jose.KeyAlgorithm
	generate func() (crypto.Signer, error)
}

var keySpecs = []keySpec{
	{"rsa-2048", jose.RSA_OAEP_256, rsaKey(2048)},
	{"rsa-3072", jose.RSA_OAEP, rsaKey(3072)},
	{"rsa-4096", "", rsaKey(4096)},
	{"ec-p256", jose.ECDH_ES_A128KW, ecKey(elliptic.P256())},
	{"ec-p384", jose.ECDH_ES_A192KW, ecKey(elliptic.P384())},
	{"ec-p521", jose.ECDH_ES_A256KW, ecKey(elliptic.P521())},
}

func rsaKey(bits int) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }
}

func ecKey(curve elliptic.Curve) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return ecdsa.GenerateKey(curve, rand.Reader) }
}

// keyForms are the file name endings of the private forms of a key.
var keyForms = []string{".pem", ".jwk"}

// ensureKeys makes the private keys that are missing and writes every other form
// of each key anew.
func ensureKeys(dir string) error {
	folder := filepath.Join(dir, keyFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, spec := range keySpecs {
		key, err := loadOrGenerate(filepath.Join(folder, spec.name+".pem"), spec)
		if err != nil {
			return fmt.Errorf("key %s: %w", spec.name, err)
		}
		if err := writePublicAndJWK(folder, spec, key); err != nil {
			return fmt.Errorf("key %s: %w", spec.name, err)
		}
	}
	return nil
}

func loadOrGenerate(path string, spec keySpec) (crypto.Signer, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return generateKey(path, spec)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not a PEM file")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("unexpected key type %T", parsed)
	}
	return key, nil
}

func generateKey(path string, spec keySpec) (crypto.Signer, error) {
	key, err := spec.generate()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writePEM(path, "PRIVATE KEY", der)
}

func writePublicAndJWK(folder string, spec keySpec, key crypto.Signer) error {
	path := filepath.Join(folder, spec.name)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(path+".pub.pem", "PUBLIC KEY", der); err != nil {
		return err
	}
	private := jose.JSONWebKey{Key: key, KeyID: spec.name, Algorithm: string(spec.alg)}
	if err := writeJSON(path+".jwk", private); err != nil {
		return err
	}
	return writeJSON(path+".pub.jwk", private.Public())
}

func writePEM(path, label string, der []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
	return os.WriteFile(path, text, 0o644)
}
