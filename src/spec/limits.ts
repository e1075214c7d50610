/** The largest manifest or index read or written, in bytes: what registries commonly accept. */
export const MAX_MANIFEST_SIZE: number = 4 * 1024 * 1024;

/** The largest annotation of layer encryption that is read, in characters. */
export const MAX_ANNOTATION_LENGTH: number = 1024 * 1024;

/** The most wrapped keys of one scheme that are looked at in one descriptor. */
export const MAX_WRAPPED_KEYS = 1024;
