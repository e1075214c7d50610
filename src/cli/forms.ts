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
    meaning: "an archive that `docker save` or `podman save` wrote; source only",
  },
  { written: "dir:DIR", meaning: "a directory with one image, as skopeo writes it" },
  {
    written: "containers-storage:NAME",
    meaning: "an image of podman or buildah, read with `podman save`; source only",
  },
  {
    written: "docker-daemon:NAME",
    meaning: "an image of the Docker daemon, read with `docker save`; source only",
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
  {
    written: "age:KEY",
    meaning: "an age public key: `age1…`, or the post-quantum `age1pq1…`",
  },
  { written: "age:FILE", meaning: "a file of age public keys, one on each line" },
  {
    written: "tang:URL?thp=THUMBPRINT",
    meaning:
      "a Tang server, and the thumbprint of its signing key; `?trust=first-use` instead trusts " +
      "whichever server answers",
  },
  {
    written: "sss:FILE",
    meaning: "several Tang servers and a threshold, in the JSON of `clevis encrypt sss`",
  },
  {
    written: "barbican:SECRET",
    meaning:
      "an AES-256 key, a public key or a certificate in Barbican, by its reference or id; the command " +
      "fetches it and wraps with it",
  },
  {
    written: "barbican:[URL]",
    meaning:
      "a new secret in OpenStack Barbican for each layer; the URL replaces the configured endpoint",
  },
  {
    written: "vault:KEYNAME",
    meaning: "a key of the transit engine of HashiCorp Vault or OpenBao",
  },
  {
    written: "key-protect:KEY",
    meaning: "a root key of IBM Key Protect, by its CRN, id or alias",
  },
  { written: "aws-kms:KEY", meaning: "a key of AWS KMS, by its ARN, its id or `alias/NAME`" },
  PROVIDER_FORM,
];

export const KEY_FORMS: readonly Form[] = [
  {
    written: "FILE",
    meaning:
      "a key file without a password, recognised by its content: a private key (PEM, DER, JWK, JWK " +
      "Set or PKCS#12), a certificate that belongs to a private key, an OpenPGP secret key, a PKCS#11 " +
      "key file or age identities",
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
    meaning: "this is the password; other users can see it in the process list",
  },
  { written: "FILE:PASSWORD", meaning: "the same, in skopeo's form" },
  { written: "DIR", meaning: "every private key in a directory, such as a mounted Secret" },
  { written: "-", meaning: "the key file on standard input" },
  {
    written: "tang:URL",
    meaning:
      "the Tang server with this URL, for layers of `tang:` and `sss:`; repeat for each server",
  },
  { written: "tang", meaning: "the Tang servers in the file of `--key-servers`" },
  {
    written: "barbican[:SECRET]",
    meaning:
      "the secrets in Barbican that the user may read, or only this one, by its reference or id; also a " +
      "private key or a certificate that Barbican keeps",
  },
  {
    written: "vault[:KEYNAME]",
    meaning: "the keys of Vault's transit engine that the token may use, or only this key",
  },
  {
    written: "key-protect[:KEY]",
    meaning:
      "the root keys of the configured instance of IBM Key Protect, or only this key; also a private key " +
      "that is a standard key there",
  },
  {
    written: "key-protect:KEY?wrapped=FILE",
    meaning: "a private key that a root key of IBM Key Protect wrapped; FILE is the ciphertext",
  },
  {
    written: "aws-kms[:ARN]",
    meaning: "the keys of AWS KMS that the credentials may use, or only this key",
  },
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
    meaning:
      "`audit` found a plain layer, or a recipient of `-r` or `--recipient-id`; `runtime check` found " +
      "something that will not work",
  },
  {
    written: "129, 130, 143",
    meaning:
      "interrupted by SIGHUP, SIGINT or SIGTERM; the destination is unchanged, unless a message " +
      "says that its state is unknown",
  },
];
