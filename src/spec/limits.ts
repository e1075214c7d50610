export { MAX_JSON_DEPTH, MAX_JSON_VALUES } from "../text/json.js";

/** The largest manifest, index or config read or written, in bytes: what registries commonly accept. */
export const MAX_MANIFEST_SIZE: number = 4 * 1024 * 1024;

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

/** The largest content of a compressed archive, in bytes. */
export const MAX_UNPACKED_SIZE: number = 64 * 1024 ** 3;
