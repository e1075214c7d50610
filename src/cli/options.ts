import { NODE_OPTIONS } from "./node-options.js";
import type { OptionForm, OptionName } from "./option-names.js";

export { OPTION_NAMES, type Completion, type OptionForm, type OptionName } from "./option-names.js";

const flag = { type: "boolean" } as const;
const one = { type: "string", multiple: false } as const;
const many = { type: "string", multiple: true } as const;

const RECIPIENT = {
  ...{ ...many, value: "RECIPIENT", what: "a recipient", example: "jwe:public.pem" },
  completes: "recipient",
} as const;
const KEY = {
  ...{ ...many, value: "KEY", what: "a key", example: "private.pem" },
  completes: "key",
} as const;
const LAYER = { ...many, value: "N", what: "a layer number", example: "0" } as const;
const FILE = { value: "FILE", what: "a file", completes: "file" } as const;
const IMAGE = { value: "IMAGE", what: "an image", completes: "image" } as const;

export const OPTIONS: Readonly<Record<OptionName, OptionForm>> = {
  recipient: {
    ...{ ...RECIPIENT, short: "r", see: "recipients" },
    text: "encrypt for this recipient",
  },
  "recipient-id": {
    ...{ ...many, value: "ID", what: "a recipient's id", example: "jwe:0" },
    text:
      "remove this recipient: a kid, key id or SCHEME:INDEX that `recipients list` shows, " +
      "provider:NAME, or pkcs7:CERTIFICATE. SCHEME:INDEX is a position: when a recipient is " +
      "removed, later recipients move up",
  },
  kid: {
    ...{ ...one, value: "NAME", what: "a key id", example: "none" },
    text:
      "write this key id for `jwe:` recipients; `none` writes no key id; the default is the `kid` " +
      "of a JWK, or the key's RFC 7638 thumbprint",
  },
  key: {
    ...KEY,
    ...{ short: "k", see: "keys" },
    text: "use this private key, or all private keys in this directory",
  },
  "pgp-key-ring": {
    ...{ ...many, ...FILE, example: "alice.gpg" },
    text: "look up `pgp:` recipients in this file instead of gpg's key ring",
  },
  "key-servers": {
    ...{ ...one, ...FILE, example: "key-servers.yaml", see: "key-servers" },
    text: "read the settings of key servers from this file instead of `OCICRYPT_KEY_SERVERS`",
  },
  strict: { ...flag, text: "reject expired certificates instead of warning about them" },
  compat: {
    ...{ ...one, value: "go|coco", what: "a profile", example: "go", see: "encrypt" },
    text:
      "reject anything that a group of readers cannot decrypt: `go` (the default) means skopeo, " +
      "buildah, podman, containerd and CRI-O; `coco` means confidential containers",
    completes: ["go", "coco"],
  },
  layer: {
    ...LAYER,
    text:
      "select layers of each manifest by number: 0 is the first and -1 the last; 1..3 is a range, " +
      "and 0,2 a list",
  },
  platform: {
    ...{ ...many, value: "OS/ARCH", what: "a platform", example: "linux/amd64" },
    text: "select the manifests of this platform; amd64 alone means linux/amd64",
    completes: ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x", "linux/ppc64le"],
  },
  "media-type": {
    ...{ ...many, value: "TYPE", what: "a media type" },
    example: "application/vnd.oci.image.layer.v1.tar+gzip",
    text: "select layers of this media type, written without `+encrypted`",
    completes: [
      "application/vnd.oci.image.layer.v1.tar",
      "application/vnd.oci.image.layer.v1.tar+gzip",
      "application/vnd.oci.image.layer.v1.tar+zstd",
    ],
  },
  "min-size": {
    ...{ ...one, value: "SIZE", what: "a size", example: "10MiB" },
    text: "select layers of at least this size: 10485760, 10M and 10MiB are equal; 10MB is decimal",
  },
  digest: {
    ...{ ...many, value: "DIGEST", what: "a digest", example: "sha256:HEX" },
    text: "select the layer with this digest",
  },
  "skip-base": {
    ...flag,
    text:
      "leave the layers of the base image plain; the image must name it in the annotation " +
      "`org.opencontainers.image.base.digest`",
  },
  base: {
    ...{ ...one, ...IMAGE, example: "oci:base:latest" },
    text: "leave the layers of this base image plain",
  },
  reuse: {
    ...{ ...one, ...IMAGE, example: "oci:app-enc:latest", see: "reuse" },
    text: "reuse the encrypted blobs of this image for layers that have not changed since",
  },
  "redact-history": { ...flag, text: "remove commands and comments from the config's history" },
  "require-encrypted": { ...flag, text: "reject an image that has a plain layer" },
  "no-bind": {
    ...flag,
    text: "do not bind the layers to this image; they can then be moved to another image",
  },
  "require-bound": { ...flag, text: "reject layers that are not bound to this image" },
  "allow-unverified": {
    ...flag,
    text: "also decrypt layers that cannot be checked against the config, with a warning that says why",
  },
  "verify-signature": {
    ...{ ...many, ...FILE, example: "cosign.pub" },
    text:
      "reject an image without a cosign signature that this public key (PEM) verifies; if you name " +
      "several keys, one of them must verify it",
  },
  "require-digest": {
    ...flag,
    text: "reject a source that is not named by its digest (IMAGE@sha256:HEX)",
  },
  "require-recipients": {
    ...{ ...many, value: "ID", what: "a key id or scheme", example: "jwe" },
    text: "reject layers without a recipient of this key id or scheme (such as `provider.NAME`)",
  },
  "check-servers": {
    ...{ ...flag, see: "key-servers" },
    text: "ask the key servers of `-k` whether the keys of layers must be wrapped again because a server's key was rotated or deleted",
  },
  config: {
    ...flag,
    text: "show what the configs reveal: names of variables and labels, and possible secrets",
  },
  "plain-http": {
    ...flag,
    text: "use HTTP for a registry on another machine too; anyone on the network can read the traffic",
  },
  "ca-file": {
    ...{ ...one, ...FILE, example: "ca.pem" },
    text: "also trust these certificates (PEM) for registries",
  },
  authfile: {
    ...{ ...one, ...FILE, example: "auth.json" },
    text: "read registry credentials from this file instead of `REGISTRY_AUTH_FILE`",
  },
  "creds-stdin": { ...flag, text: "read USER:PASSWORD for the registry from standard input" },
  username: {
    ...{ ...one, value: "NAME", what: "a user name", example: "alice" },
    text: "log in as this user",
  },
  "password-stdin": {
    ...flag,
    text: "read the password from standard input instead of asking for it on the terminal",
  },
  "chunk-size": {
    ...{ ...one, value: "SIZE", what: "a size", example: "5MiB" },
    text:
      "upload blobs to a registry in requests of this size, such as 5MiB; the default is one " +
      "request for each blob",
  },
  "keep-referrers": {
    ...flag,
    text:
      "also copy signatures, attestations and SBOMs to the destination; they still refer to the " +
      "digests that they were made for",
  },
  digestfile: {
    ...{ ...one, ...FILE, example: "digest.txt" },
    text: "write the digest of the resulting image to this file",
  },
  "all-tags": {
    ...{ ...flag, see: "many-images" },
    text: "process every tag of a repository; name the repository without a tag",
  },
  jobs: {
    ...{ ...one, value: "N", what: "a number", example: "8", see: "many-images" },
    text: "process this many images at once (default 4)",
  },
  shard: {
    ...{ ...one, value: "I/N", what: "a shard", example: "0/4", see: "many-images" },
    text:
      "process only part I of N of many images, counted from 0; in a Kubernetes Indexed Job, the " +
      "default is the Job's index and number of completions",
  },
  threads: {
    ...{ ...one, value: "N", what: "a number", example: "0" },
    text:
      "hash layers of 64 MiB or more on up to N extra threads; 0 uses one thread for everything; the " +
      "default is `OCICRYPT_THREADS`, or one fewer than the processor cores, at most 4",
  },
  "artifact-type": {
    ...{ ...one, value: "TYPE", what: "a media type", example: "application/vnd.example.model" },
    text: "set the `artifactType` of the artifact",
  },
  output: {
    ...{ ...one, ...FILE, value: "DIR", what: "a directory", short: "o", example: "files" },
    text: "write the files to this directory instead of the current one",
  },
  listen: {
    ...{ ...one, value: "ADDRESS", what: "an address", example: "unix:/run/ocicrypt/age.sock" },
    text:
      "serve over gRPC at unix:PATH or 127.0.0.1:PORT, or over ttrpc at ttrpc+unix:PATH, instead of " +
      "answering one request on standard input",
  },
  ...NODE_OPTIONS,
  long: { ...flag, short: "l", text: "also print mode, owner, size, time and the target of links" },
  recursive: {
    ...flag,
    short: "R",
    text: "also list the content of subdirectories, with full paths",
  },
  csv: { ...flag, text: "print the result as comma-separated values, with a header" },
  debug: {
    ...flag,
    text: "print what the command does to standard error, without secrets",
  },
  json: {
    ...flag,
    text: "print the result as JSON, and a failure as a JSON object on standard error",
  },
  quiet: { ...flag, short: "q", text: "print no progress, and only the digest of each image" },
  help: { ...flag, short: "h", text: "print this help" },
  version: { ...flag, text: "print the version" },
  "encryption-key": { ...RECIPIENT, alias: "recipient" },
  "decryption-key": { ...KEY, alias: "key" },
  "encrypt-layer": { ...LAYER, alias: "layer" },
};

/** An option by its name, for code that treats all options alike. */
export function optionForm(name: string): OptionForm | undefined {
  return Object.hasOwn(OPTIONS, name) ? OPTIONS[name as OptionName] : undefined;
}
