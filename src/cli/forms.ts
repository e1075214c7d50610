/** The ways to write images, recipients and keys, for help and docs/command.md; backticks mark code. */
export interface Form {
  written: string;
  meaning: string;
}

export const IMAGE_FORMS: readonly Form[] = [
  { written: "oci:DIR", meaning: "an OCI layout directory with one image, or a new one" },
  {
    written: "oci:DIR:TAG",
    meaning: "the image with this tag (its annotation `org.opencontainers.image.ref.name`)",
  },
  {
    written: "oci:DIR@sha256:HEX",
    meaning: "the manifest or index with this digest; only as a source",
  },
  { written: "oci-archive:FILE[:TAG]", meaning: "an OCI layout in a tar archive" },
  {
    written: "docker-archive:FILE[:NAME]",
    meaning: "an archive as `docker save` or `podman save` writes it; source only",
  },
  { written: "dir:DIR", meaning: "a directory as skopeo writes it; source only" },
  {
    written: "containers-storage:NAME",
    meaning: "an image of podman or buildah, which `podman save` reads; source only",
  },
  {
    written: "docker-daemon:NAME",
    meaning: "an image of the Docker daemon, which `docker save` reads; source only",
  },
  {
    written: "docker://HOST/REPO[:TAG]",
    meaning:
      "an image in a registry; the default tag is `latest`. Credentials come from `ocicrypt " +
      "login`, `docker login`, `podman login` or `skopeo login`",
  },
  {
    written: "docker://HOST/REPO@sha256:HEX",
    meaning: "the image with this digest in a registry",
  },
];

const PROVIDER_FORM: Form = {
  written: "provider:NAME[:PARAMS]",
  meaning: "a key provider from the file that `OCICRYPT_KEYPROVIDER_CONFIG` names",
};

export const RECIPIENT_FORMS: readonly Form[] = [
  {
    written: "jwe:FILE",
    meaning: "a file of RSA or EC public keys, or a certificate: PEM, DER, JWK or JWK Set",
  },
  { written: "pkcs7:FILE", meaning: "an RSA certificate: PEM or DER" },
  {
    written: "pgp:NAME",
    meaning: "an OpenPGP key, by name, e-mail address, key id or fingerprint",
  },
  {
    written: "pkcs11:FILE",
    meaning: "a PKCS#11 key file, or a file with the RSA public key of a token",
  },
  PROVIDER_FORM,
];

export const KEY_FORMS: readonly Form[] = [
  {
    written: "FILE",
    meaning:
      "a key file without a password, recognised by its content: a private key (PEM, DER, JWK, JWK " +
      "Set or PKCS#12), a certificate that belongs to a private key, an OpenPGP secret key or a PKCS#11 key file",
  },
  {
    written: "FILE:file=PASSWORDFILE",
    meaning:
      "an encrypted key; the password is the content of PASSWORDFILE, without the last line end",
  },
  { written: "FILE:env=VARIABLE", meaning: "the password is in this environment variable" },
  {
    written: "FILE:fd=NUMBER",
    meaning: "the password is read from this open file descriptor, without the last line end",
  },
  { written: "FILE:prompt", meaning: "the command asks for the password on the terminal" },
  {
    written: "FILE:pass=PASSWORD",
    meaning: "this is the password; other users can see it in the list of processes",
  },
  { written: "FILE:PASSWORD", meaning: "the same, as skopeo writes it" },
  { written: "DIR", meaning: "every private key in a directory, such as a mounted Secret" },
  { written: "-", meaning: "the key file on standard input" },
  PROVIDER_FORM,
];

export const STATUS_FORMS: readonly Form[] = [
  { written: "0", meaning: "done" },
  { written: "1", meaning: "failed" },
  { written: "2", meaning: "wrong usage: the arguments are not valid" },
  { written: "3", meaning: "no given key opens the image: `NO_KEYS`, `NO_MATCHING_KEY`" },
  {
    written: "4",
    meaning:
      "content does not verify: `HMAC_MISMATCH`, `BLOB_SIZE_MISMATCH`, `BLOB_DIGEST_MISMATCH`, " +
      "`DIFF_ID_MISMATCH`, `DIFF_ID_UNCHECKED`, `BINDING_MISMATCH`, `SIGNATURE_MISSING`, " +
      "`SIGNATURE_INVALID`",
  },
  {
    written: "5",
    meaning: "`audit` found a plain layer, or a recipient of `-r` or `--recipient-id`",
  },
  {
    written: "130, 143",
    meaning:
      "interrupted by SIGINT or SIGTERM; the destination is unchanged, unless a message says that " +
      "its state is unknown",
  },
];
