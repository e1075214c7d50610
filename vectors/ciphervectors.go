package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/containers/ocicrypt/blockcipher"
	"github.com/opencontainers/go-digest"
)

// cipherGroup is the content of cipher.json: the layer cipher alone, with fixed
// key and nonce.
type cipherGroup struct {
	Cipher  blockcipher.LayerCipherType `json:"cipher"`
	Vectors []cipherVector              `json:"vectors"`
}

// cipherVector has its plaintext and ciphertext as base64 strings. A large one
// has the pattern to repeat instead, and the sha256 of the ciphertext.
type cipherVector struct {
	Name       string        `json:"name"`
	Comment    string        `json:"comment"`
	Key        []byte        `json:"key"`
	Nonce      []byte        `json:"nonce"`
	Plaintext  any           `json:"plaintext"`
	Ciphertext *[]byte       `json:"ciphertext,omitempty"`
	SHA256     digest.Digest `json:"sha256"`
	Size       int           `json:"size"`
	HMAC       []byte        `json:"hmac"`
}

var cipherKey = []byte("01234567890123456789012345678912")

var cipherNonces = []struct{ name, hex, comment string }{
	{"plain", "000102030405060708090a0b0c0d0e0f", "nothing special about the counter"},
	{"carry-32", "000102030405060708090a0bffffffff", "the second block carries out of the low 32 bits"},
	{"carry-64", "0001020304050607ffffffffffffffff", "the second block carries out of the low 64 bits"},
	{"wrap-128", "ffffffffffffffffffffffffffffffff", "the whole counter wraps to zero at the second block"},
}

var cipherLayers = []struct {
	pattern []byte
	size    int
}{
	{shortText, 0},
	{[]byte("this is some data"), 17},
	{[]byte{0}, 48},
	{[]byte{0}, 65536},
}

func makeCipherGroup() (cipherGroup, error) {
	group := cipherGroup{Cipher: blockcipher.AES256CTR}
	for _, nonce := range cipherNonces {
		nonceBytes, err := hex.DecodeString(nonce.hex)
		if err != nil {
			return group, err
		}
		for _, layer := range cipherLayers {
			v, err := makeCipherVector(nonceBytes, layer.pattern, layer.size)
			if err != nil {
				return group, fmt.Errorf("cipher vector %s, %d bytes: %w", nonce.name, layer.size, err)
			}
			v.Name, v.Comment = fmt.Sprintf("%s-%d", nonce.name, layer.size), nonce.comment
			group.Vectors = append(group.Vectors, v)
		}
	}
	return group, nil
}

func makeCipherVector(nonce, pattern []byte, size int) (cipherVector, error) {
	plain := repeat(pattern, size)
	cipher, options, err := encryptFixed(nonce, plain)
	if err != nil {
		return cipherVector{}, err
	}
	if err := checkFixed(cipher, plain, options); err != nil {
		return cipherVector{}, err
	}
	v := cipherVector{
		Key:    cipherKey,
		Nonce:  nonce,
		SHA256: digest.FromBytes(cipher),
		Size:   size,
		HMAC:   options.Public.Hmac,
	}
	if size <= maxInline {
		v.Plaintext, v.Ciphertext = plain, &cipher
	} else {
		v.Plaintext = describePlain(pattern, size)
	}
	return v, nil
}

func encryptFixed(nonce, plain []byte) ([]byte, blockcipher.LayerBlockCipherOptions, error) {
	options := blockcipher.LayerBlockCipherOptions{}
	options.Private.SymmetricKey = cipherKey
	options.Private.CipherOptions = map[string][]byte{"nonce": nonce}
	layerCipher, err := blockcipher.NewAESCTRLayerBlockCipher(256)
	if err != nil {
		return nil, options, err
	}
	reader, finalize, err := layerCipher.Encrypt(bytes.NewReader(plain), options)
	if err != nil {
		return nil, options, err
	}
	cipher, err := io.ReadAll(reader)
	if err != nil {
		return nil, options, err
	}
	options, err = finalize()
	return cipher, options, err
}

// checkFixed decrypts again and compares.
func checkFixed(cipher, plain []byte, options blockcipher.LayerBlockCipherOptions) error {
	layerCipher, err := blockcipher.NewAESCTRLayerBlockCipher(256)
	if err != nil {
		return err
	}
	reader, _, err := layerCipher.Decrypt(bytes.NewReader(cipher), options)
	if err != nil {
		return err
	}
	opened, err := io.ReadAll(reader)
	if err != nil {
		return err
	}
	if !bytes.Equal(opened, plain) {
		return errors.New("decrypts to other bytes")
	}
	return nil
}
