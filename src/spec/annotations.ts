/** The prefix of all annotations that layer encryption adds to a descriptor. */
export const ENCRYPTION_PREFIX = "org.opencontainers.image.enc.";

/** Lists of wrapped keys, one annotation for each scheme: this prefix and the scheme's name. */
export const KEYS_PREFIX = "org.opencontainers.image.enc.keys.";

/** The public options: cipher and HMAC, base64 of JSON. */
export const PUBLIC_OPTIONS = "org.opencontainers.image.enc.pubopts";

/** The name of an image inside an OCI layout's `index.json`. */
export const REF_NAME = "org.opencontainers.image.ref.name";

/** The digest of the manifest or index of the image that an image was built from. */
export const BASE_DIGEST = "org.opencontainers.image.base.digest";

/** BuildKit's mark on index entries that describe another entry, and the digest of that entry. */
export const DOCKER_REFERENCE_TYPE = "vnd.docker.reference.type";
export const DOCKER_REFERENCE_DIGEST = "vnd.docker.reference.digest";
