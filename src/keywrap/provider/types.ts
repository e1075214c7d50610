/** The largest request or answer, in bytes; that of Go's gRPC. */
export const MAX_MESSAGE_SIZE: number = 4 * 1024 * 1024;

/** How long a provider may take, in milliseconds, when its caller does not say. */
export const DEFAULT_TIMEOUT = 30_000;

/** How much of what a provider says in words gets into an error, in characters. */
export const MAX_WORDS = 1000;

/** What a key provider is asked to wrap or unwrap. */
export interface KeyProviderRequest {
  /**
   * To wrap: the secret of a layer, about 200 bytes of JSON. To unwrap: what `wrapKey` of this
   * provider once returned, as far as the image's author is to be trusted. The bytes of the secret
   * are overwritten after the call; copy what must live longer.
   */
  readonly bytes: Uint8Array;
  /** What stands behind the provider's name in `provider:NAME:TEXT`, and `Enabled` without it. */
  readonly params: readonly string[];
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/**
 * Keeps keys where this process can not see them: in a key server, a TPM, another program. Give
 * one to `provider.recipient()` and `provider.key()`, or serve it to other tools with
 * `serveKeyProvider()`.
 */
export interface KeyProvider {
  /** The wrapped key, which goes into the image's manifest for everyone to see. Not empty. */
  wrapKey(request: KeyProviderRequest): Promise<Uint8Array>;
  /**
   * The bytes that were given to `wrapKey`, in a buffer that the caller may overwrite; `null` when
   * another provider or another key wrapped them.
   *
   * @throws When they are damaged, or when something outside fails. The reason reaches the user.
   */
  unwrapKey(request: KeyProviderRequest): Promise<Uint8Array | null>;
}

/** How bytes stand in an answer's JSON: Go reads both forms, Rust reads arrays of numbers only. */
export type AnswerEncoding = "base64" | "numbers";
