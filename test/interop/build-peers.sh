#!/usr/bin/env bash
# Builds the Go peers of the interoperability tests into a directory, all or those that are named:
#   build-peers.sh DIRECTORY [ocicrypt|image-copy|zot|oras|builders]...
# Go's cache makes later runs quick. PKCS#11 and the copy tool's cache of blobs need a C compiler.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
export CGO_ENABLED=1

ocicrypt() {
  cd "$here/../../vectors"
  go build -o "$out/ocicrypt-1.3.2" .
  go build -modfile=ocicrypt-1.1.10.mod -o "$out/ocicrypt-1.1.10" .
}

# The tag chooses Go's OpenPGP for image signatures, which are not used, over gpgme's headers.
image-copy() {
  cd "$here/image-copy"
  go build -tags containers_image_openpgp -o "$out/image-copy" .
}

# The smallest zot: no tag adds an extension.
zot() {
  cd "$here/zot"
  CGO_ENABLED=0 go build -tags containers_image_openpgp -o "$out/zot" zotregistry.io/zot/cmd/zot
}

oras() {
  cd "$here/oras"
  CGO_ENABLED=0 go build -o "$out/oras" oras.land/oras/cmd/oras
}

# More programs that make images; ko takes minutes. Only by name: OCICRYPT_BUILDERS=DIRECTORY uses them.
builders() {
  (oras)
  export GOBIN="$out" CGO_ENABLED=0
  go install github.com/google/go-containerregistry/cmd/crane@v0.20.6
  go install github.com/regclient/regclient/cmd/regctl@v0.9.2
  go install github.com/google/ko@v0.18.0
}

[ $# -gt 0 ] || set -- ocicrypt image-copy zot oras
for peer; do
  case $peer in
    ocicrypt | image-copy | zot | oras | builders) ("$peer") ;;
    *) echo "$0: no peer is called $peer" >&2 && exit 2 ;;
  esac
done
