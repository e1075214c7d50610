export { MAX_JSON_DEPTH, MAX_JSON_MEMBERS, MAX_JSON_VALUES } from "../text/json.js";

/** The largest manifest, index or config read or written, in bytes: what registries commonly accept. */
export const MAX_MANIFEST_SIZE: number = 4 * 1024 * 1024;

/** The most layers and index entries of an image: each costs memory, and time in which nothing else runs. */
export const MAX_DESCRIPTORS = 5000;

/** The largest annotation of layer encryption that is read, in characters. */
export const MAX_ANNOTATION_LENGTH: number = 1024 * 1024;

/** The largest wrapped key of any scheme, in bytes: far above what wraps 200 bytes for many. */
export const MAX_WRAPPED_KEY_SIZE: number = 1024 * 1024;

/** The most wrapped keys of one scheme that are looked at in one descriptor. */
export const MAX_WRAPPED_KEYS = 1024;

/** The largest key file, JWK Set or configuration file, in bytes. */
export const MAX_KEY_FILE_SIZE: number = 1024 * 1024;

/** How much of a registry's answer is read where it is neither content nor a manifest, in bytes. */
export const MAX_REGISTRY_ANSWER: number = 64 * 1024;

/** The largest answer of a token service, in bytes. */
export const MAX_TOKEN_ANSWER: number = 1024 * 1024;

/** The largest list of referrers, in bytes of all its pages together. */
export const MAX_REFERRERS_SIZE: number = MAX_MANIFEST_SIZE;

/** The largest list of tags, in bytes of all its pages together: room for a million usual tags. */
export const MAX_TAGS_SIZE: number = 32 * 1024 * 1024;

/** The largest content of a compressed archive, in bytes. */
export const MAX_UNPACKED_SIZE: number = 64 * 1024 ** 3;

/**
 * How many private key operations one layer is worth, over all its wrapped keys. Without it a
 * message of a thousand recipients would cost minutes for each of the keys that are tried.
 */
export const MAX_UNWRAP_ATTEMPTS = 1024;

/** The largest header or content of a JWE, in characters: each attempt reads them again. */
export const MAX_JWE_PART_LENGTH: number = 16 * 1024;

/** The largest CMS message that is read, in bytes: room for a thousand recipients. */
export const MAX_CMS_SIZE: number = 512 * 1024;

/** How deep elements of ASN.1 may be nested: an issuer's name in a CMS message is at level 8. */
export const MAX_ASN1_DEPTH = 24;

/** The most elements of one ASN.1 file or message: as many recipients as are read, long names. */
export const MAX_ASN1_NODES = 50_000;

/** How often the content of a key file may be base64 of base64. */
export const MAX_KEY_FILE_ENCODINGS = 3;

/** The most keys of one key file: of a PEM file, a JWK Set or a list of OpenSSH keys. */
export const MAX_KEYS_PER_FILE = 100;

/** The most certificates of one file: a system's bundle of authorities has about 150. */
export const MAX_CERTIFICATES_PER_FILE = 1000;

/** The longest password of a key file, in bytes, as Node.js has it for PEM. */
export const MAX_PASSWORD_SIZE = 1024;

/**
 * The most iterations of PBKDF2 for a key file, about a second. OWASP recommends up to 1,300,000.
 * A derivation cannot be interrupted, so that this is also how long the process takes to end.
 */
export const MAX_PBKDF2_ITERATIONS = 2_000_000;

/** The most iterations of the key derivation of PKCS#12 (RFC 7292 appendix B), about a second. */
export const MAX_PKCS12_ITERATIONS = 1_000_000;

/** The most memory for scrypt, in bytes: 128 times N times r. OpenSSL writes 16 MiB. */
export const MAX_SCRYPT_MEMORY: number = 256 * 1024 * 1024;

/** The most rounds of bcrypt for an OpenSSH key: ssh-keygen writes 24, and 16 before 9.9. */
export const MAX_BCRYPT_ROUNDS = 256;

/** The largest RSA modulus, in bits, as OpenSSL has it. */
export const MAX_RSA_BITS = 16_384;

/** The most key files of one directory. */
export const MAX_KEY_FILES = 1000;

/** The largest payload or bundle of a signature, in bytes. */
export const MAX_SIGNATURE_SIZE: number = 1024 * 1024;

/** The most manifests that are looked into for signatures of one image. */
export const MAX_SIGNATURE_MANIFESTS = 64;

/** The most signatures that are tried for one image. */
export const MAX_SIGNATURES = 128;
