export { MAX_JSON_DEPTH, MAX_JSON_MEMBERS, MAX_JSON_VALUES } from "../text/json.js";
export { MAX_YAML_TOKENS } from "../text/yaml.js";

/**
 * The largest manifest, index or config that is read or written, in bytes; registries commonly have
 * this limit.
 */
export const MAX_MANIFEST_SIZE: number = 4 * 1024 * 1024;

/** The most layers and index entries of an image: each costs memory, and time in which nothing else runs. */
export const MAX_DESCRIPTORS = 5000;

/** The most threads that a caller can ask for. */
export const MAX_THREADS = 64;

/** The largest part of a layer that passes can take at once, in bytes: it stays in the cache. */
export const PART_SIZE: number = 128 * 1024;

/** The largest annotation of layer encryption that is read, in characters. */
export const MAX_ANNOTATION_LENGTH: number = 1024 * 1024;

/**
 * The largest wrapped key of any scheme, in bytes: far more than 200 bytes wrapped for many
 * recipients need.
 */
export const MAX_WRAPPED_KEY_SIZE: number = 1024 * 1024;

/** The most wrapped keys of one scheme in one descriptor. */
export const MAX_WRAPPED_KEYS = 1024;

/** The largest key file, JWK Set or configuration file, in bytes. */
export const MAX_KEY_FILE_SIZE: number = 1024 * 1024;

/** The most bytes of a registry's answer that are read, if it is neither content nor a manifest. */
export const MAX_REGISTRY_ANSWER: number = 64 * 1024;

/** The largest answer of a token service, in bytes. */
export const MAX_TOKEN_ANSWER: number = 1024 * 1024;

/** The largest list of referrers, in bytes of all its pages together. */
export const MAX_REFERRERS_SIZE: number = MAX_MANIFEST_SIZE;

/** The largest list of tags, in bytes of all its pages together: room for a million usual tags. */
export const MAX_TAGS_SIZE: number = 32 * 1024 * 1024;

/** The largest content of a compressed archive, in bytes. */
export const MAX_UNPACKED_SIZE: number = 64 * 1024 ** 3;

/** The most entries of all layers of an image whose files are read, and the most files that result. */
export const MAX_FILES = 1_000_000;

/** The most bytes of names, link targets and extended attributes of an image's files: all are held in memory. */
export const MAX_FILE_TEXT: number = 256 * 1024 * 1024;

/** The longest name or link target of a file in a layer, in bytes; Linux has the same limit for a path. */
export const MAX_FILE_NAME = 4096;

/**
 * The largest extended header of an entry in an archive or a layer, or map of a sparse file, in bytes;
 * real headers have a few hundred.
 */
export const MAX_TAR_EXTENSION: number = 1024 * 1024;

/** The most links on the way to one file in an archive or a layer; Linux has the same limit. */
export const MAX_LINKS = 40;

/** The most steps from a directory to a file in it while the layers of one image are merged. */
export const MAX_PATH_STEPS = 20_000_000;

/** The most bytes of all files of an image together; the holes of sparse files count too. */
export const MAX_FILES_SIZE: number = 1024 ** 4;

/**
 * The most private key operations of one key on all wrapped keys of one layer. Without this limit,
 * a message with a thousand recipients would cost minutes for each key.
 */
export const MAX_UNWRAP_ATTEMPTS = 1024;

/** The largest header or content of a JWE, in characters: each attempt reads them again. */
export const MAX_JWE_PART_LENGTH: number = 16 * 1024;

/** The largest compressed content of a JWE, in bytes once it is decompressed. */
export const MAX_JWE_UNZIPPED_SIZE = 250_000;

/** The largest CMS message that is read, in bytes: room for a thousand recipients. */
export const MAX_CMS_SIZE: number = 512 * 1024;

/** The deepest nesting of ASN.1 elements; an issuer's name in a CMS message is at level 8. */
export const MAX_ASN1_DEPTH = 24;

/** The most elements of one ASN.1 file: as many certificates as are read, long names. */
export const MAX_ASN1_NODES = 50_000;

/** The most elements of a part of a CMS message: an algorithm, a name, or the content in parts. */
export const MAX_CMS_NODES = 1000;

/** The most layers of base64 around the content of a key file. */
export const MAX_KEY_FILE_ENCODINGS = 3;

/** The most keys of one key file: of a PEM file, a JWK Set or a list of OpenSSH keys. */
export const MAX_KEYS_PER_FILE = 100;

/** The most certificates of one file: a system's bundle of authorities has about 150. */
export const MAX_CERTIFICATES_PER_FILE = 1000;

/** The longest password of a key file, in bytes; Node.js has the same limit for PEM. */
export const MAX_PASSWORD_SIZE = 1024;

/**
 * The most iterations of PBKDF2 for a key file, about a second. OWASP recommends up to 1,300,000. A
 * derivation cannot be interrupted; only the end of the process ends it.
 */
export const MAX_PBKDF2_ITERATIONS = 2_000_000;

/** The most iterations of the key derivation of PKCS#12 (RFC 7292 appendix B), about a second. */
export const MAX_PKCS12_ITERATIONS = 1_000_000;

/** The most memory for scrypt, in bytes (128 times N times r). OpenSSL's keys need 16 MiB. */
export const MAX_SCRYPT_MEMORY: number = 256 * 1024 * 1024;

/**
 * The most work of Argon2 for an OpenPGP key, in KiB of memory times passes, about two seconds.
 * RFC 9106 section 4 recommends three passes over 64 MiB where memory is scarce.
 */
export const MAX_ARGON2_WORK: number = 1024 * 1024;

/** The most memory of Argon2, as an exponent of two in KiB: 256 MiB, as for scrypt. */
export const MAX_ARGON2_MEMORY_EXPONENT = 18;

/** The most rounds of bcrypt for an OpenSSH key. ssh-keygen uses 24, and 16 before version 9.9. */
export const MAX_BCRYPT_ROUNDS = 256;

/** The largest RSA modulus, in bits; OpenSSL has the same limit. */
export const MAX_RSA_BITS = 16_384;

/** The most key files of one directory. */
export const MAX_KEY_FILES = 1000;

/** The largest payload or bundle of a signature, in bytes. */
export const MAX_SIGNATURE_SIZE: number = 1024 * 1024;

/** The most manifests that are searched for signatures of one image. */
export const MAX_SIGNATURE_MANIFESTS = 64;

/** The most signatures that are tried for one image. */
export const MAX_SIGNATURES = 128;

/** The largest payload of a stream processor, in bytes: containerd accepts messages of this size. */
export const MAX_PAYLOAD_SIZE: number = 16 * 1024 * 1024;

/** The most recipients of one age file: each costs a key agreement. */
export const MAX_AGE_STANZAS = 64;

/** The largest answer of a key server, in bytes; a list of twenty large public keys has 10 KiB. */
export const MAX_KEY_SERVER_ANSWER: number = 256 * 1024;

/** The most keys in the advertisement of a Tang server; a server that rotates yearly has two. */
export const MAX_TANG_KEYS = 32;

/** The most signatures of the advertisement of a Tang server: each is tried with each key. */
export const MAX_TANG_SIGNATURES = 16;

/** The deepest nesting of `sss` in a wrapped key of Clevis. */
export const MAX_CLEVIS_DEPTH = 4;

/** The most parts of a wrapped key of Clevis, on all levels together: each may cost a request. */
export const MAX_CLEVIS_PARTS = 64;
