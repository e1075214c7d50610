/**
 * A party that may decrypt: it wraps the secret of a layer so that only the holder of one key can
 * unwrap it. Implement it yourself to keep keys in a key server or a TPM.
 */
export interface Recipient {
  /** The annotation that the wrapped key is added to: `jwe`, `pkcs7`, …, `provider.<name>`. */
  readonly scheme: string;
  /** The algorithm that {@link RecipientInfo} will report, if it is known before wrapping. */
  readonly algorithm?: string | undefined;
  /**
   * The RFC 7638 thumbprint of the public key, or the key itself for age. It identifies a recipient
   * whose wrapped key does not name it, if the {@link Key} with the same thumbprint is available.
   */
  readonly thumbprint?: string | undefined;
  /**
   * Whether the scheme can wrap more than the 193 bytes of private options that every reader needs.
   * A recipient for which this is false gets the layer's key without the binding to its image.
   * Default: true.
   */
  readonly roomForBinding?: boolean | undefined;
  /**
   * Wraps the private options: 200 to 300 bytes of JSON, or more for a layer that many manifests
   * share. They are secret, and {@link Key.unwrap} must return exactly these bytes. The buffer is
   * overwritten after the call: copy what you need for longer.
   *
   * @throws any error; nothing is encrypted then
   */
  wrap(privateOptions: Uint8Array, options?: WrapOptions): Promise<Uint8Array>;
}

/** A key that may open layers, the counterpart of {@link Recipient}. */
export interface Key {
  /** The annotation whose wrapped keys this key can unwrap. */
  readonly scheme: string;
  /** The name of this key in reports, such as its file's name. Nothing secret. */
  readonly label?: string | undefined;
  /** The thumbprint of the key's public half; see {@link Recipient.thumbprint}. */
  readonly thumbprint?: string | undefined;
  /**
   * Unwraps the private options, into a buffer that is overwritten after use.
   *
   * @returns `null` when the wrapped key is for another key, the usual case for a layer with
   *   several recipients
   * @throws when it is for this key and damaged, when it cannot be understood, or when something
   *   outside fails (a token, a key server). The other wrapped keys and keys are still tried; the
   *   error is reported only if none of them fits.
   */
  unwrap(wrapped: Uint8Array, options?: UnwrapContext): Promise<Uint8Array | null>;
  /** Explains to people, in a few words, why {@link unwrap} returns `null` for this wrapped key. */
  explain?(wrapped: Uint8Array): string;
  /**
   * Asks the key servers of a wrapped key about their keys, and unwraps nothing. A server that
   * cannot be asked is reported.
   *
   * @throws when the wrapped key cannot be understood
   */
  check?(wrapped: Uint8Array, options?: WrapOptions): Promise<ServerReport[]>;
}

/** The answer of a key server about the key that a wrapped key needs. */
export interface ServerReport {
  /** The server, as the wrapped key states it. */
  server: string;
  /** The identifier of the server's key, as in {@link RecipientInfo}. */
  keyId?: string;
  /**
   * `current` if the server would wrap with the same key today; `old` if it has newer keys, and the
   * layer should be wrapped again; `gone` if it no longer has the key; `unknown` if it could not be
   * asked.
   */
  state: "current" | "old" | "gone" | "unknown";
  /** The reason for `unknown`. */
  reason?: string;
}

export interface WrapOptions {
  signal?: AbortSignal | undefined;
}

/** Options of {@link Key.unwrap}. */
export interface UnwrapContext extends WrapOptions {
  /**
   * The attempts that are left for this key and layer; a key takes one for each of its operations.
   * Default: `MAX_UNWRAP_ATTEMPTS` for each call.
   */
  attempts?: Attempts | undefined;
}

/** The facts about a recipient that are known without any key. */
export interface RecipientInfo {
  /** The algorithm that wraps the key, by its name in the scheme, e.g. `RSA-OAEP`. */
  algorithm: string;
  /** The scheme's own identifier of the recipient's key, if the sender gave one. */
  keyId?: string;
  /** Whether the key stays safe from a quantum computer, if the scheme tells. */
  postQuantum?: boolean;
  /** The URL of the key server as the wrapped key states it. Nobody has verified it. */
  server?: string;
  /** The parts of the wrapped key; any {@link threshold} of them open it. */
  parts?: RecipientInfo[];
  /** The number of {@link parts} that are needed. */
  threshold?: number;
  /** The reasons why the layer may be lost, or open to others, through this recipient. */
  warnings?: string[];
}

/** The attempts that one key may make on the wrapped keys of one layer. */
export interface Attempts {
  left: number;
}

/** Loads what describes the wrapped keys of a scheme, when the first of them is looked at. */
export type SchemeLoader = () => Promise<{
  describe(wrapped: Uint8Array): RecipientInfo[] | Promise<RecipientInfo[]>;
}>;
