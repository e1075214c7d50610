#!/usr/bin/env bash
# Builds the Go peers of the interoperability tests into a directory, all or those that are named:
#   build-peers.sh DIRECTORY [ocicrypt|image-copy|zot|oras|imgcrypt|age|vault|local-kms|containerd-2|builders|ko]...
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

# The last version with programs: the decoder, and a ctr that encrypts and sends payloads.
imgcrypt() {
  local bin
  bin=$(mktemp -d)
  GOBIN="$bin" CGO_ENABLED=0 go install \
    github.com/containerd/imgcrypt/cmd/ctd-decoder@v1.1.8 github.com/containerd/imgcrypt/cmd/ctr@v1.1.8
  mv "$bin/ctd-decoder" "$out/ctd-decoder"
  mv "$bin/ctr" "$out/ctr-enc"
  rmdir "$bin"
}

age() {
  cd "$here/age"
  CGO_ENABLED=0 go build -o "$out/" filippo.io/age/cmd/age filippo.io/age/cmd/age-keygen
}

# Vault's core with the engines that the tests use; the last version under the MPL with a published SDK.
vault() {
  cd "$here/vault"
  CGO_ENABLED=0 go build -o "$out/vault-server" .
}

local-kms() {
  GOBIN="$out" CGO_ENABLED=0 go install \
    github.com/nsmithuk/local-kms@v0.0.0-20260228092603-2a5e92d09ab6
}

# The next containerd beside Debian's, without what the tests do not use. It takes minutes. Only by name.
containerd-2() {
  local bin
  bin=$(mktemp -d)
  GOBIN="$bin" CGO_ENABLED=0 go install -tags "no_aufs no_btrfs no_devmapper no_zfs no_tracing" \
    github.com/containerd/containerd/v2/cmd/containerd@v2.3.7 \
    github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2@v2.3.7 \
    github.com/containerd/containerd/v2/cmd/ctr@v2.3.7
  rm -rf "$out/containerd-2"
  mv "$bin" "$out/containerd-2"
}

# More programs that make images. OCICRYPT_BUILDERS=DIRECTORY uses them and oras.
builders() {
  export GOBIN="$out" CGO_ENABLED=0
  go install github.com/google/go-containerregistry/cmd/crane@v0.20.6
  go install github.com/regclient/regclient/cmd/regctl@v0.9.2
}

# It takes minutes. Only by name.
ko() {
  GOBIN="$out" CGO_ENABLED=0 go install github.com/google/ko@v0.18.0
}

[ $# -gt 0 ] || set -- ocicrypt image-copy zot oras imgcrypt age vault local-kms builders
for peer; do
  case $peer in
    ocicrypt | image-copy | zot | oras | imgcrypt | age | vault | local-kms | containerd-2 | builders | ko) ("$peer") ;;
    *) echo "$0: no peer is called $peer" >&2 && exit 2 ;;
  esac
done
