#!/usr/bin/env bash
# Builds the Go peers of the interoperability tests into a directory:
#   build-peers.sh DIRECTORY
# Go's cache makes later runs quick. PKCS#11 and the copy tool's cache of blobs need a C compiler.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
export CGO_ENABLED=1

cd "$here/../../vectors"
go build -o "$out/ocicrypt-1.3.2" .
go build -modfile=ocicrypt-1.1.10.mod -o "$out/ocicrypt-1.1.10" .

# The tag chooses Go's OpenPGP for image signatures, which are not used, over gpgme's headers.
cd "$here/image-copy"
go build -tags containers_image_openpgp -o "$out/image-copy" .
