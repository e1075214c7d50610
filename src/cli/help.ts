import type { HelpTopic } from "./command-table.js";

const IMAGES = `Images
  oci:DIR                    the only image of an OCI layout directory
  oci:DIR:TAG                the image of that name
  oci:DIR@sha256:HEX         a manifest by its digest (source only)
  oci-archive:FILE[:TAG]     an OCI layout in a tar archive
  docker://HOST/REPO[:TAG]   an image in a registry, without a tag "latest"; what "docker login" or
                             "skopeo login" left opens it`;

const KEYS = `Keys
  FILE                       a key without a password
  FILE:pass=PASSWORD         of an encrypted key; any characters (visible to other users in ps)
  FILE:file=PASSWORDFILE     the password is the file's content, less one line end
  FILE:env=VARIABLE          … an environment variable's
  FILE:fd=NUMBER             … read from an open file descriptor
  FILE:prompt                … asked for on the terminal
  FILE:PASSWORD              as pass=, for skopeo's sake
  provider:NAME[:PARAMS]     a key provider of the file OCICRYPT_KEYPROVIDER_CONFIG names
  FILE is a private key (PEM, DER, JWK), a certificate that belongs to one, an OpenPGP secret key,
  or a PKCS #11 key file; what it is shows in its content.`;

const COMMON = `  --plain-http               speak HTTP with a registry on another machine: nothing is secret then
  --ca-file FILE             certificates to trust for registries besides the usual ones
  --json                     print the result as one JSON object
  -q, --quiet                print no result as text, and no progress
  -h, --help                 print this help`;

const SELECT = `  --layer N                  only this layer, from 0, or -1 for the last, or 1..3; repeatable
  --platform OS/ARCH         only the manifests of this platform; repeatable
  --media-type TYPE          only layers of this plain media type; repeatable
  --min-size SIZE            only layers from this size on: bytes, or 10MiB
  --digest DIGEST            only this layer; repeatable`;

const RECIPIENTS = `Recipients
  jwe:FILE                   a public key or certificate, RSA or EC: PEM, DER, JWK or JWK Set
  pkcs7:FILE                 an RSA certificate: PEM or DER
  pgp:NAME                   an OpenPGP key: name, e-mail, key id or fingerprint
  pkcs11:FILE                a PKCS #11 key file, or the RSA public key of a token
  provider:NAME[:PARAMS]     a key provider of the file OCICRYPT_KEYPROVIDER_CONFIG names`;

const RECIPIENT_OPTIONS = `  -r, --recipient RECIPIENT  who can decrypt; repeat it for several (also --encryption-key)
  --pgp-key-ring FILE        find pgp: recipients in this file instead of gpg's key ring; repeatable
  --strict                   refuse expired certificates, which are warned of otherwise
  --compat go|coco           refuse what these readers could not decrypt: go (default) is skopeo,
                             buildah, podman, containerd, CRI-O; coco is confidential containers`;

/** What the commands take that wrap the keys of an encrypted image anew. */
const REWRAP = `Options
${RECIPIENT_OPTIONS}
  -k, --key KEY              a key that opens the image; repeatable
${SELECT}
${COMMON}

${RECIPIENTS}

${KEYS}

${IMAGES}`;

const STATUSES = `Exit status
  0 done   1 failed   2 wrong usage   3 no given key opens it   4 content does not verify
  130, 143 interrupted (SIGINT, SIGTERM)`;

const HELP: Record<HelpTopic, string> = {
  encrypt: `Usage: ocicrypt encrypt <source> <destination> -r <recipient>... [options]

Encrypts the layers of an image, so that only the holders of the recipients' keys can read them.
The destination may be the source. Configs (environment, labels, history) stay readable.

Options
${RECIPIENT_OPTIONS}
${SELECT}
  --skip-base                leave the layers of the base image plain, found by its annotation
  --base IMAGE               leave the layers of this image plain
  --reuse IMAGE              keep the blobs of layers that this encrypted image has already
  -k, --key KEY              a private key that opens the image of --reuse; repeatable
  --redact-history           drop the commands from the config's history
${COMMON}

${RECIPIENTS}

${KEYS}

${IMAGES}

Examples
  ocicrypt encrypt oci:app:latest oci:app-enc:latest -r jwe:public.pem
  ocicrypt encrypt oci:app oci:app -r jwe:alice.pem -r jwe:bob.jwk
  ocicrypt encrypt oci:app oci:app-enc -r jwe:public.pem --layer -1
  ocicrypt encrypt oci:app docker://registry.example/app:2 -r jwe:public.pem \\
    --reuse docker://registry.example/app:1 -k private.pem

${STATUSES}
`,
  decrypt: `Usage: ocicrypt decrypt <source> <destination> -k <key>... [options]

Decrypts the encrypted layers of an image. Nothing appears at the destination before every layer
is verified. The destination may be the source.

Options
  -k, --key KEY              a private key; repeat it for several (also --decryption-key)
${SELECT}
  --require-encrypted        refuse an image of which any layer is plain
  --require-recipients ID    refuse layers that are not encrypted for this key id, scheme or
                             provider too; repeatable
${COMMON}

${KEYS}

${IMAGES}

Examples
  ocicrypt decrypt oci:app-enc:latest oci:app:latest -k private.pem
  ocicrypt decrypt oci:app-enc oci:app -k private.pem:file=password.txt

${STATUSES}
`,
  inspect: `Usage: ocicrypt inspect <image> [-k <key>...] [options]

Shows which layers are encrypted and for whom; no key is needed. With keys, shows which of them
opens which layer, and why the others do not. No blob is read.

Options
  -k, --key KEY              a private key to try; repeatable (also --decryption-key)
  --config                   show what the configs reveal: names of variables and labels, and what
                             looks like a secret
${COMMON}

${KEYS}

${IMAGES}

Examples
  ocicrypt inspect oci:app-enc:latest
  ocicrypt inspect oci:app-enc:latest -k private.pem --json

${STATUSES}
`,
  recipients: `Usage: ocicrypt recipients list|add|remove|replace <image> [options]

Shows and changes for whom the layers of an image are encrypted. Only manifests change.

Commands
  recipients list <image>
  recipients add <image> -r <recipient>... -k <key>...
  recipients remove <image> --recipient-id <id>... | -k <key>...
  recipients replace <image> -r <recipient>... -k <key>...

Examples
  ocicrypt recipients list oci:app-enc:latest
  ocicrypt recipients add oci:app-enc:latest -r jwe:bob.pem -k private.pem

ocicrypt recipients add --help tells more, and so of the others. To give the layers new keys, see
"rotate".
`,
  "recipients list": `Usage: ocicrypt recipients list <image> [options]

Shows for whom each layer is encrypted, with the ids that --recipient-id takes.

Options
${SELECT}
${COMMON}

${IMAGES}

Examples
  ocicrypt recipients list oci:app-enc:latest

${STATUSES}
`,
  "recipients add": `Usage: ocicrypt recipients add <image> -r <recipient>... -k <key>... [options]

Lets more people decrypt an image. Only manifests change, no layer is read or written.

${REWRAP}

Examples
  ocicrypt recipients add oci:app-enc:latest -r jwe:bob.pem -k private.pem

${STATUSES}
`,
  "recipients remove": `Usage: ocicrypt recipients remove <image> --recipient-id <id>... | -k <key>... [options]

Takes recipients off an image. Only manifests change. It does not revoke what they have copied:
whoever could decrypt once may have kept the layer's key. See "rotate".

Options
  --recipient-id ID          whom to remove: kid, key id, SCHEME:INDEX, provider:NAME, or
                             pkcs7:CERTIFICATE; as "recipients list" shows them; repeatable.
                             SCHEME:INDEX is a place: those behind it move up when it goes
  -k, --key KEY              remove whom this private key belongs to; repeatable
${SELECT}
${COMMON}

${KEYS}

${IMAGES}

Examples
  ocicrypt recipients remove oci:app-enc:latest --recipient-id jwe:1

${STATUSES}
`,
  "recipients replace": `Usage: ocicrypt recipients replace <image> -r <recipient>... -k <key>... [options]

Makes these the only recipients of an image. Only manifests change. It does not revoke what the
former ones have copied: see "rotate".

${REWRAP}

Examples
  ocicrypt recipients replace oci:app-enc:latest -r jwe:bob.pem -k private.pem

${STATUSES}
`,
  rotate: `Usage: ocicrypt rotate <source> <destination> -r <recipient>... -k <key>... [options]

Encrypts the encrypted layers of an image anew, with new keys for these recipients, as a stream:
plaintext is never stored. Copies of the old image stay as they are.

${REWRAP}

Examples
  ocicrypt rotate oci:app-enc:latest oci:app-new:latest -r jwe:bob.pem -k private.pem

${STATUSES}
`,
};

const GENERAL = `Usage: ocicrypt <command> [options]

Encrypts and decrypts the layers of OCI container images, as skopeo, buildah, podman, containerd
and CRI-O read and write them.

Commands
  encrypt <source> <destination> -r <recipient>...
  decrypt <source> <destination> -k <key>...
  inspect <image> [-k <key>...]
  recipients list|add|remove|replace <image> …
  rotate <source> <destination> -r <recipient>... -k <key>...

Examples
  ocicrypt encrypt oci:app:latest oci:app-enc:latest -r jwe:public.pem
  ocicrypt inspect oci:app-enc:latest
  ocicrypt decrypt oci:app-enc:latest oci:app:latest -k private.pem

ocicrypt <command> --help tells more. ocicrypt --version prints the version.
`;

export function helpText(topic: HelpTopic | undefined): string {
  return topic === undefined ? GENERAL : HELP[topic];
}
