/** The value of an option, as a shell completes it. */
export type Completion = "file" | "image" | "recipient" | "key" | readonly string[];

/** One option: help, pages, completion and parsing all read this. */
export interface OptionForm {
  type: "boolean" | "string";
  multiple?: boolean;
  short?: string;
  /** The value as help shows it, such as `FILE`. Only flags have none. */
  value?: string;
  /** The value as a message calls it, such as "a file". */
  what?: string;
  example?: string;
  /** The meaning, without a full stop; backticks mark code. */
  text?: string;
  /** The section of docs/command.md that says more. */
  see?: string;
  completes?: Completion;
  /** The option of ours that another tool's name stands for. */
  alias?: OptionName;
}

/** The options in the order of help. The long names are those of imgcrypt and nerdctl. */
export const OPTION_NAMES = [
  "recipient",
  "recipient-id",
  "kid",
  "key",
  "pgp-key-ring",
  "strict",
  "compat",
  "layer",
  "platform",
  "media-type",
  "min-size",
  "digest",
  "skip-base",
  "base",
  "reuse",
  "redact-history",
  "no-bind",
  "require-encrypted",
  "require-recipients",
  "require-bound",
  "allow-unverified",
  "verify-signature",
  "require-digest",
  "config",
  "plain-http",
  "ca-file",
  "authfile",
  "creds-stdin",
  "digestfile",
  "debug",
  "json",
  "quiet",
  "help",
  "version",
  // skopeo's names for three of them.
  "encryption-key",
  "decryption-key",
  "encrypt-layer",
] as const;

export type OptionName = (typeof OPTION_NAMES)[number];

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
      "remove this recipient: a kid, a key id, SCHEME:INDEX, provider:NAME or pkcs7:CERTIFICATE, " +
      "as `recipients list` shows it. SCHEME:INDEX is a position: removing a recipient moves " +
      "later ones up",
  },
  kid: {
    ...{ ...one, value: "NAME", what: "a key id", example: "none" },
    text:
      "the key id of `jwe:` recipients in the image, or `none`; by default the `kid` of a JWK or " +
      "the RFC 7638 thumbprint of the key",
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
  strict: { ...flag, text: "reject expired certificates instead of warning about them" },
  compat: {
    ...{ ...one, value: "go|coco", what: "a profile", example: "go", see: "encrypt" },
    text:
      "reject anything that these readers could not decrypt: `go` (the default) is skopeo, " +
      "buildah, podman, containerd and CRI-O; `coco` is confidential containers",
    completes: ["go", "coco"],
  },
  layer: {
    ...LAYER,
    text:
      "select this layer of each manifest, counted from 0, or from -1 for the last; or a range " +
      "such as 1..3, or a list such as 0,2",
  },
  platform: {
    ...{ ...many, value: "OS/ARCH", what: "a platform", example: "linux/amd64" },
    text: "select the manifests of this platform; amd64 alone means linux/amd64",
    completes: ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/s390x", "linux/ppc64le"],
  },
  "media-type": {
    ...{ ...many, value: "TYPE", what: "a media type" },
    example: "application/vnd.oci.image.layer.v1.tar+gzip",
    text: "select layers of this plain media type",
    completes: [
      "application/vnd.oci.image.layer.v1.tar",
      "application/vnd.oci.image.layer.v1.tar+gzip",
      "application/vnd.oci.image.layer.v1.tar+zstd",
    ],
  },
  "min-size": {
    ...{ ...one, value: "SIZE", what: "a size", example: "10MiB" },
    text: "select layers of at least this size: bytes, 10M and 10MiB (binary), or 10MB (decimal)",
  },
  digest: {
    ...{ ...many, value: "DIGEST", what: "a digest", example: "sha256:HEX" },
    text: "select the layer with this digest",
  },
  "skip-base": {
    ...flag,
    text:
      "leave the layers of the base image plain, which the annotation " +
      "`org.opencontainers.image.base.digest` names",
  },
  base: {
    ...{ ...one, ...IMAGE, example: "oci:base:latest" },
    text: "leave the layers of this image plain",
  },
  reuse: {
    ...{ ...one, ...IMAGE, example: "oci:app-enc:latest", see: "reuse" },
    text: "keep the blobs of layers that this encrypted image already has",
  },
  "redact-history": {
    ...flag,
    text: "drop commands and comments from the history in the config",
  },
  "require-encrypted": { ...flag, text: "reject an image that has a plain layer" },
  "no-bind": {
    ...flag,
    text: "do not tie the layers to this image; they can then be moved to another one",
  },
  "require-bound": {
    ...flag,
    text: "reject layers that are not bound to this image",
  },
  "allow-unverified": {
    ...flag,
    text: "decrypt layers that the image's config does not confirm, with a warning that says why",
  },
  "verify-signature": {
    ...{ ...many, ...FILE, example: "cosign.pub" },
    text:
      "reject an image that `cosign` did not sign with this public key (PEM); of several keys, " +
      "one has to have signed",
  },
  "require-digest": {
    ...flag,
    text: "reject a source that is not named by its digest, as IMAGE@sha256:HEX",
  },
  "require-recipients": {
    ...{ ...many, value: "ID", what: "a key id or scheme", example: "jwe" },
    text: "reject layers that are not also encrypted for this key id, scheme or `provider.NAME`",
  },
  config: {
    ...flag,
    text: "show what the configs reveal: names of variables and labels, and possible secrets",
  },
  "plain-http": {
    ...flag,
    text: "use HTTP for a registry on another machine; anyone on the network can then read along",
  },
  "ca-file": {
    ...{ ...one, ...FILE, example: "ca.pem" },
    text: "trust these certificates (PEM) for registries, in addition to the usual ones",
  },
  authfile: {
    ...{ ...one, ...FILE, example: "auth.json" },
    text: "read the credentials for registries from this file, as `REGISTRY_AUTH_FILE` does",
  },
  "creds-stdin": {
    ...flag,
    text: "read USER:PASSWORD for the registry from standard input",
  },
  digestfile: {
    ...{ ...one, ...FILE, example: "digest.txt" },
    text: "write the digest of the resulting image to this file",
  },
  debug: {
    ...flag,
    text: "print requests and decisions to standard error, without secrets",
  },
  json: {
    ...flag,
    text: "print the result as one JSON object; a failure as one on standard error",
  },
  quiet: { ...flag, short: "q", text: "print no progress, and of the result only the digest" },
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

/** The other names of an option. */
export function aliasesOf(name: OptionName): OptionName[] {
  return OPTION_NAMES.filter((other) => OPTIONS[other].alias === name);
}

/** Options of every command. */
export const EVERYWHERE: readonly OptionName[] = [
  ...(["plain-http", "ca-file", "authfile", "creds-stdin"] as const),
  ...(["debug", "json", "quiet", "help"] as const),
];
