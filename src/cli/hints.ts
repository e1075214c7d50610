import type { ErrorCode, OcicryptError } from "../errors.js";

/** What to do about each error; in sentences that fit behind "hint:". */
export const HINTS: Record<ErrorCode, string> = {
  ALREADY_ENCRYPTED:
    "to add somebody: ocicrypt recipients add; else decrypt it first, or choose plain layers (--layer)",
  NOT_ENCRYPTED: "ocicrypt inspect shows what the image holds",
  NOTHING_TO_ENCRYPT: "an image without layers has nothing that could be kept secret",
  NOTHING_SELECTED: "ocicrypt inspect shows what there is",
  BASE_NOT_FOUND: "name the base image with --base IMAGE",
  BASE_MISMATCH: "name the very base image that the image was built from, in that version",
  POLICY_VIOLATION: "someone may have replaced the image; get it from a place that you trust",
  NO_RECIPIENTS: "name one with -r, such as -r jwe:public.pem",
  LAST_RECIPIENT: "add another recipient first; to give up encryption, decrypt the image",
  RECIPIENTS_INSEPARABLE: "ocicrypt recipients replace wraps the key anew, for those who stay",
  NOT_FINISHED: "read the stream to its end before finalize()",
  PROFILE_IMPOSSIBLE: "leave --compat away, or name only recipients that these readers can use",
  CIPHER_UNSUPPORTED: "the image was encrypted by a tool that is newer, or it was tampered with",
  SYMKEY_INVALID: "the image was encrypted by a faulty tool; encrypt it again",
  NONCE_MISSING: "the image was encrypted by a faulty tool; encrypt it again",
  NONCE_INVALID: "the image was encrypted by a faulty tool; encrypt it again",
  NONCE_OVERRIDDEN: "the manifest was probably tampered with; get the image from a trusted place",
  HMAC_MISSING: "the manifest is incomplete; get the image again",
  HMAC_INVALID: "the manifest is damaged; get the image again",
  HMAC_MISMATCH: "the layer was damaged or tampered with; get the image again",
  PRIVATE_OPTIONS_INVALID: "the image was encrypted by a faulty tool; encrypt it again",
  PUBLIC_OPTIONS_MISSING: "the manifest lost an annotation; get the image again",
  PUBLIC_OPTIONS_INVALID: "the manifest is damaged; get the image again",
  ANNOTATION_BASE64: "the manifest is damaged; get the image again",
  ANNOTATION_EMPTY: "the manifest is damaged; get the image again",
  ANNOTATION_TOO_LARGE: "no real image has so many recipients",
  WRAPPED_KEY_INVALID: "the manifest is damaged; get the image again",
  WRAPPED_KEY_UNSUPPORTED: "ask whoever encrypted the image for another algorithm",
  WRAP_FAILED: "check the recipient's key or key service",
  NO_KEYS: "name one with -k, such as -k private.pem",
  NO_MATCHING_KEY: "ocicrypt inspect with the same -k tells why each key does not fit",
  KEY_UNREADABLE: "check the path and its permissions",
  KEY_UNRECOGNIZED: "keys are PEM, DER or JWK files; openssl pkey -in FILE -text shows what it is",
  KEY_UNSUPPORTED:
    "jwe:FILE takes RSA from 2048 bits on and EC keys, pkcs7:FILE certificates of RSA keys",
  KEY_USE_FORBIDDEN: "use a key that is meant for encryption",
  KEY_IS_PRIVATE: "make the public one of it: openssl pkey -in FILE -pubout -out public.pem",
  KEY_IS_PUBLIC: "give the private key that belongs to it, such as -k private.pem",
  KEY_MISMATCH: "give the two of one pair: -k private.pem -k certificate.pem, or the key alone",
  KEY_EXPIRED: "ask the recipient for a new key, or for one with a later expiry date",
  KEY_REVOKED: "ask the recipient for the key that took its place",
  CERTIFICATE_NOT_YET_VALID: "check the clock, or wait until the certificate is valid",
  CERTIFICATE_EXPIRED: "ask the recipient for a new certificate",
  RECIPIENT_NOT_FOUND:
    "ocicrypt recipients list shows those of an image; gpg --list-keys the keys of gpg",
  RECIPIENT_AMBIGUOUS: "name the key by its fingerprint",
  GPG_NOT_FOUND: "install gpg, or give a file with the key",
  GPG_FAILED: "run gpg --export NAME to see what is wrong",
  PASSWORD_MISSING:
    "give it behind the file: FILE:prompt, FILE:file=PASSWORDFILE or FILE:env=VARIABLE",
  PASSWORD_WRONG: "check the password; that of file= ends before the last line end",
  PROVIDER_CONFIG_INVALID: "OCICRYPT_KEYPROVIDER_CONFIG must name a JSON file of key providers",
  PROVIDER_NOT_CONFIGURED: "add the provider to the file that OCICRYPT_KEYPROVIDER_CONFIG names",
  PROVIDER_NOT_FOUND: "check the path of the provider's command",
  PROVIDER_FAILED: "what the provider said of it stands above; run it by hand",
  PROVIDER_TIMEOUT: "check the key service behind the provider",
  PROVIDER_INVALID_REQUEST: "the tool that called the provider does not speak its protocol",
  PROVIDER_INVALID_RESPONSE: "the provider does not speak the key provider protocol",
  PACKAGE_MISSING:
    "install the package that the message names beside ocicrypt: with -g if ocicrypt was, too",
  PKCS11_CONFIG_MISSING: "set OCICRYPT_CONFIG=internal, or to the path of a configuration file",
  PKCS11_CONFIG_INVALID: 'its mapping "pkcs11" has module-directories and allowed-module-paths',
  MODULE_NOT_FOUND: "check module-name or module-path, and the module directories",
  MODULE_NOT_ALLOWED: "allow the module under allowed-module-paths in the configuration",
  TOKEN_NOT_FOUND: "check that the token is plugged in; pkcs11-tool -L lists those that are",
  TOKEN_FAILED: "try the token with pkcs11-tool",
  OBJECT_NOT_FOUND: "check object and id in the URI; pkcs11-tool -O lists what the token holds",
  OBJECT_AMBIGUOUS: "name the key by its id in the URI",
  PIN_MISSING: "give pin-value or pin-source in the URI of the key file",
  PIN_WRONG: "correct it before another try: tokens lock after a few wrong ones",
  DESCRIPTOR_INVALID: "the manifest is damaged; get the image again",
  BLOB_SIZE_MISMATCH: "the image is incomplete or damaged; get it again",
  BLOB_DIGEST_MISMATCH: "the image is damaged or was tampered with; get it again",
  DIFF_ID_MISMATCH: "the layer is not the one that the image was built with; do not run it",
  REGISTRY_UNREACHABLE: "check the registry's name and the network, and run the command again",
  REGISTRY_DENIED:
    "docker, podman or skopeo login, with the right password; and check what you may do there",
  REGISTRY_FAILED: "what the registry said stands above",
  REGISTRY_INVALID_RESPONSE: "check that the name is that of a registry, and what stands before it",
  REGISTRY_UPLOAD_LOST:
    "the connection broke off several times; run the command again: what arrived whole is there",
  CREDENTIALS_INVALID: "log in again, or repair the file that the message names",
  REFERENCE_INVALID: "write oci:DIR:TAG, oci-archive:FILE:TAG or docker://HOST/REPOSITORY:TAG",
  IMAGE_NOT_FOUND:
    "check the place and the tag; the source comes first, and a tar file is oci-archive:FILE",
  BLOB_NOT_FOUND: "the image is incomplete; get it again",
  LAYOUT_INVALID:
    "name an OCI layout (oci:DIR) or archive (oci-archive:FILE), or a place where nothing is yet",
  MANIFEST_INVALID: "the image is damaged or was made by a faulty tool",
  MANIFEST_TOO_LARGE:
    "no registry would take it; use fewer recipients, or encrypt fewer layers with --layer",
  MANIFEST_UNSUPPORTED: "convert it: skopeo copy --format oci <image> oci:DIR:TAG",
  SOURCE_UNREADABLE: "check the permissions of the source",
  DESTINATION_EXISTS: "name another file: an archive is written whole, and for one image",
  DESTINATION_FULL: "make room and run the command again; the destination is as it was",
  DESTINATION_UNWRITABLE: "check the permissions of the destination, which is as it was",
};

/** What to do about errors of a code that are told apart by their words only. */
const SPECIAL: readonly { code: ErrorCode; words: string; hint: string }[] = [
  {
    code: "REGISTRY_UNREACHABLE",
    words: "it does not speak TLS",
    hint: "check the port; a registry without TLS takes --plain-http, and then nothing is secret",
  },
  {
    code: "REFERENCE_INVALID",
    words: "credentials do not go into the name of an image",
    hint: "docker, podman or skopeo login keeps them; then write docker://HOST/REPOSITORY:TAG",
  },
  {
    code: "NOTHING_SELECTED",
    words: "no manifest for the platform",
    hint: "ocicrypt inspect shows what there is; where it shows no platform, leave --platform away",
  },
];

export function hintFor({ code, message }: OcicryptError): string {
  const special = SPECIAL.find((each) => each.code === code && message.includes(each.words));
  return special?.hint ?? HINTS[code];
}
