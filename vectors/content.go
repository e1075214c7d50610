package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
)

// maxInline is the size up to which content is written into a vector.
const maxInline = 4096

// testPattern is 251 different bytes: a prime number of them, so that a shifted
// or swapped cipher block never goes unnoticed.
var testPattern = func() []byte {
	pattern := make([]byte, 251)
	for i := range pattern {
		pattern[i] = byte(i)
	}
	return pattern
}()

// plainContent tells how to get a plaintext: either its bytes, or a pattern to
// repeat and cut to a size.
type plainContent struct {
	Base64 *[]byte `json:"base64,omitempty"`
	Repeat []byte  `json:"repeat,omitempty"`
	Size   int     `json:"size,omitempty"`
}

func describePlain(pattern []byte, size int) plainContent {
	if size <= maxInline {
		content := repeat(pattern, size)
		return plainContent{Base64: &content}
	}
	return plainContent{Repeat: pattern, Size: size}
}

// blobContent describes a ciphertext, with its bytes when it is small.
type blobContent struct {
	Base64 *[]byte       `json:"base64,omitempty"`
	SHA256 digest.Digest `json:"sha256"`
	Size   int           `json:"size"`
}

func describeBlob(blob []byte) blobContent {
	content := blobContent{SHA256: digest.FromBytes(blob), Size: len(blob)}
	if len(blob) <= maxInline {
		content.Base64 = &blob
	}
	return content
}

// repeat returns size bytes of the repeated pattern.
func repeat(pattern []byte, size int) []byte {
	content := make([]byte, size)
	_, _ = io.ReadFull(&repeatReader{pattern: pattern, left: size}, content)
	return content
}

// repeatReader yields a pattern again and again until no bytes are left to give.
type repeatReader struct {
	pattern []byte
	offset  int
	left    int
}

func (r *repeatReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(len(p), r.left)]
	n := 0
	for n < len(p) {
		copied := copy(p[n:], r.pattern[r.offset:])
		n += copied
		r.offset = (r.offset + copied) % len(r.pattern)
	}
	r.left -= n
	return n, nil
}

// writeJSON writes one value with one-space indent and a final newline.
func writeJSON(path string, value any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(value); err != nil {
		return err
	}
	return os.WriteFile(path, text.Bytes(), 0o644)
}
