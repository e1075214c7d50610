package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/containers/ocicrypt"
	"github.com/containers/ocicrypt/config"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// benchResult is the one line that bench prints.
type benchResult struct {
	Go       string   `json:"go"`
	Ocicrypt string   `json:"ocicrypt"`
	Size     int      `json:"size"`
	Chunk    int      `json:"chunk"`
	Encrypt  *timings `json:"encrypt,omitempty"`
	Decrypt  *timings `json:"decrypt,omitempty"`
}

type timings struct {
	Seconds []float64 `json:"seconds"`
}

func benchCommand(args []string) error {
	flags := newFlagSet("bench")
	size := flags.Int("size", 0, "bytes in the layer")
	chunk := flags.Int("chunk", 0, "bytes in one read")
	rounds := flags.Int("rounds", 0, "how often to measure")
	op := flags.String("op", "both", "what to measure")
	if err := parseFlags(flags, args); err != nil {
		return err
	}
	if *size <= 0 || *chunk <= 0 || *rounds <= 0 {
		return usagef("bench: -size, -chunk and -rounds are required and positive")
	}
	if *op != "both" && *op != "encrypt" && *op != "decrypt" {
		return usagef("bench: -op is both, encrypt or decrypt")
	}

	b, err := newBench(*size, *chunk)
	if err != nil {
		return err
	}
	made, err := currentVersions()
	if err != nil {
		return err
	}
	result := benchResult{Go: made.Go, Ocicrypt: made.Ocicrypt, Size: *size, Chunk: *chunk}
	if *op != "decrypt" {
		result.Encrypt, err = measure(*rounds, b.encrypt)
		if err != nil {
			return err
		}
	}
	if *op != "encrypt" {
		if err := b.prepareCiphertext(); err != nil {
			return err
		}
		result.Decrypt, err = measure(*rounds, b.decrypt)
		if err != nil {
			return err
		}
	}
	return json.NewEncoder(output).Encode(result)
}

// bench encrypts and decrypts one layer the way a copy tool does: every byte is
// hashed before and after the cipher, in one goroutine, one chunk at a time.
type bench struct {
	size    int
	pattern []byte
	buffer  []byte
	ec      *config.EncryptConfig
	dc      *config.DecryptConfig

	ciphertext  []byte
	annotations map[string]string
}

func newBench(size, chunk int) (*bench, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	ec, err := config.EncryptWithJwe([][]byte{public})
	if err != nil {
		return nil, err
	}
	dc, err := config.DecryptWithPrivKeys([][]byte{x509.MarshalPKCS1PrivateKey(key)}, [][]byte{nil})
	if err != nil {
		return nil, err
	}
	pattern := make([]byte, chunk)
	_, _ = rand.Read(pattern)
	return &bench{
		size:    size,
		pattern: pattern,
		buffer:  make([]byte, chunk),
		ec:      ec.EncryptConfig,
		dc:      dc.DecryptConfig,
	}, nil
}

func (b *bench) encrypt() error {
	_, err := b.encryptTo(io.Discard)
	return err
}

// encryptTo returns the annotations. It hashes plaintext and ciphertext.
func (b *bench) encryptTo(to io.Writer) (map[string]string, error) {
	plainHash, cipherHash := sha256.New(), sha256.New()
	plain := &repeatReader{pattern: b.pattern, left: b.size}
	encrypted, finalize, err := ocicrypt.EncryptLayer(b.ec, io.TeeReader(plain, plainHash), ocispec.Descriptor{})
	if err != nil {
		return nil, err
	}
	if err := b.drain(encrypted, cipherHash, to); err != nil {
		return nil, err
	}
	plainHash.Sum(nil)
	cipherHash.Sum(nil)
	return finalize()
}

// prepareCiphertext holds the whole ciphertext in memory for decrypt.
func (b *bench) prepareCiphertext() error {
	ciphertext := bytes.NewBuffer(make([]byte, 0, b.size))
	annotations, err := b.encryptTo(ciphertext)
	b.ciphertext, b.annotations = ciphertext.Bytes(), annotations
	return err
}

func (b *bench) decrypt() error {
	plainHash, cipherHash := sha256.New(), sha256.New()
	source := io.TeeReader(bytes.NewReader(b.ciphertext), cipherHash)
	layer := ocispec.Descriptor{Annotations: b.annotations}
	plain, _, err := ocicrypt.DecryptLayer(b.dc, source, layer, false)
	if err != nil {
		return err
	}
	if err := b.drain(plain, plainHash, io.Discard); err != nil {
		return err
	}
	plainHash.Sum(nil)
	cipherHash.Sum(nil)
	return nil
}

// drain reads to the end, one chunk at a time, and checks the length.
func (b *bench) drain(from io.Reader, digester hash.Hash, to io.Writer) error {
	total := 0
	for {
		n, err := from.Read(b.buffer)
		total += n
		digester.Write(b.buffer[:n])
		if _, err := to.Write(b.buffer[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if total != b.size {
		return fmt.Errorf("read %d bytes, expected %d", total, b.size)
	}
	return nil
}

func measure(rounds int, operation func() error) (*timings, error) {
	result := &timings{}
	for range rounds {
		start := time.Now()
		if err := operation(); err != nil {
			return nil, err
		}
		result.Seconds = append(result.Seconds, time.Since(start).Seconds())
	}
	return result, nil
}
