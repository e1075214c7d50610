package main

import "fmt"

// vectorCase describes one JWE vector. The first call encrypts the layer for its
// recipients; each further call adds recipients to the encrypted layer, opened
// with the private key of the first recipient.
type vectorCase struct {
	name     string
	comment  string
	pattern  []byte
	size     int
	noDigest bool
	calls    [][]recipient
}

// recipient is a test key and the form of its public half given to ocicrypt.
type recipient struct {
	key  string
	form string
}

func pemOf(key string) recipient { return recipient{key, ".pub.pem"} }
func jwkOf(key string) recipient { return recipient{key, ".pub.jwk"} }

// shortText is the 18-byte layer of every case that is not about the layer.
var shortText = []byte("This is some text!")

var layerSizes = []int{0, 1, 15, 16, 17, 10239, 10240, 10241, 65535, 65536, 65537, 1048577}

func vectorCases() []vectorCase {
	cases := pemCases()
	cases = append(cases, jwkCases()...)
	cases = append(cases, recipientCases()...)
	return append(cases, layerCases()...)
}

func pemCases() []vectorCase {
	var cases []vectorCase
	for _, spec := range keySpecs {
		comment := "PEM public key; flattened JWE; ocicrypt's default algorithm for this key type"
		cases = append(cases, textCase("pem-"+spec.name, comment, []recipient{pemOf(spec.name)}))
	}
	return cases
}

func jwkCases() []vectorCase {
	one := func(name, key, comment string) vectorCase {
		return textCase(name, comment, []recipient{jwkOf(key)})
	}
	return []vectorCase{
		one("jwk-rsa-no-alg", "rsa-4096", "RSA JWK with kid and no alg: RSA-OAEP, kid in the protected header"),
		one("jwk-rsa-oaep", "rsa-3072", "JWK names RSA-OAEP, with kid"),
		one("jwk-rsa-oaep-256", "rsa-2048", "JWK names RSA-OAEP-256, with kid"),
		one("jwk-ecdh-es-a128kw", "ec-p256", "JWK names ECDH-ES+A128KW, with kid"),
		one("jwk-ecdh-es-a192kw", "ec-p384", "JWK names ECDH-ES+A192KW, with kid"),
		one("jwk-ecdh-es-a256kw", "ec-p521", "JWK names ECDH-ES+A256KW, with kid"),
	}
}

func recipientCases() []vectorCase {
	all := make([]recipient, len(keySpecs))
	for i, spec := range keySpecs {
		all[i] = pemOf(spec.name)
	}
	rsa, ec := pemOf("rsa-2048"), pemOf("ec-p256")
	return []vectorCase{
		textCase("recipients-2", "general JWE, with the stray top-level encrypted_key", []recipient{rsa, ec}),
		textCase("recipients-6", "general JWE for every key type", all),
		textCase("recipients-2-jwk", "general JWE with alg and kid in the recipient headers",
			[]recipient{jwkOf("rsa-2048"), jwkOf("ec-p256")}),
		textCase("recipients-same-twice", "one call that names the same key twice: general JWE, two entries",
			[]recipient{ec, ec}),
		textCase("added", "recipient added later: two comma-joined JWEs", []recipient{rsa}, []recipient{ec}),
		textCase("added-general", "two recipients added later to two: two comma-joined general JWEs",
			[]recipient{rsa, ec}, []recipient{pemOf("rsa-3072"), pemOf("ec-p384")}),
		textCase("added-same-twice", "the same recipient added two more times: three elements, none removed",
			[]recipient{ec}, []recipient{ec}, []recipient{ec}),
	}
}

func layerCases() []vectorCase {
	var cases []vectorCase
	for _, size := range layerSizes {
		cases = append(cases, vectorCase{
			name:    fmt.Sprintf("size-%d", size),
			comment: sizeComment(size),
			pattern: testPattern,
			size:    size,
			calls:   [][]recipient{{pemOf("ec-p256")}},
		})
	}
	noDigest := textCase("digest-empty", "descriptor without digest: private options have an empty one, 122 bytes",
		[]recipient{pemOf("rsa-2048")})
	noDigest.noDigest = true
	return append(cases, noDigest)
}

func sizeComment(size int) string {
	switch {
	case size == 0:
		return "empty layer"
	case size < 20:
		return "layer around the size of one cipher block"
	case size < 20000:
		return "layer around the 10240 bytes that ocicrypt holds back when it decrypts"
	case size < 100000:
		return "layer around 64 KiB"
	default:
		return "layer one byte longer than 1 MiB"
	}
}

func textCase(name, comment string, calls ...[]recipient) vectorCase {
	return vectorCase{name: name, comment: comment, pattern: shortText, size: len(shortText), calls: calls}
}
