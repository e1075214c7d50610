/** The largest request or answer in bytes; the default of Go's gRPC. */
export const MAX_MESSAGE_SIZE: number = 4 * 1024 * 1024;

/** The default timeout of a provider, in milliseconds. */
export const DEFAULT_TIMEOUT = 30_000;

/** The most characters of a provider's words that an error quotes. */
export const MAX_WORDS = 1000;

/** A request to wrap or unwrap a key. */
export interface KeyProviderRequest {
  /**
   * To wrap: the private options of a layer, about 200 bytes of JSON, overwritten after the call.
   * To unwrap: a wrapped key from the image, which may not come from `wrapKey`: treat it as hostile.
   */
  readonly bytes: Uint8Array;
  /** The text after the provider's name in `provider:NAME:TEXT`; `Enabled` if there is no text. */
  readonly params: readonly string[];
  /** Aborted when the answer is no longer needed. */
  readonly signal: AbortSignal;
}

/**
 * Wraps and unwraps keys outside this process, for example in a key server, a TPM or another
 * program. Pass it to `provider.recipient()` and `provider.key()`, or serve it to other tools with
 * `serveKeyProvider()`.
 */
export interface KeyProvider {
  /** Returns the wrapped key, which the image's manifest makes public. Must not be empty. */
  wrapKey(request: KeyProviderRequest): Promise<Uint8Array>;
  /**
   * Returns the bytes that `wrapKey` received, in a buffer that the caller may overwrite, or `null`
   * if another provider or another key wrapped them.
   *
   * @throws if the wrapped key is damaged or an external failure occurs; the user sees the message
   */
  unwrapKey(request: KeyProviderRequest): Promise<Uint8Array | null>;
}

/** The encoding of bytes in an answer. Go reads both, Rust reads only arrays of numbers. */
export type AnswerEncoding = "base64" | "numbers";
