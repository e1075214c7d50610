/** The largest request or answer, in bytes; that of Go's gRPC. */
export const MAX_MESSAGE_SIZE: number = 4 * 1024 * 1024;

/** How long a provider may take, in milliseconds, when its caller does not say. */
export const DEFAULT_TIMEOUT = 30_000;

/** How much of what a provider says in words gets into an error, in characters. */
export const MAX_WORDS = 1000;
