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
   * The RFC 7638 thumbprint of the public key. It identifies a recipient whose wrapped key does not
   * name it, if the {@link Key} with the same thumbprint is available.
   */
  readonly thumbprint?: string | undefined;
  /**
   * Whether the scheme can wrap more than the 193 bytes of private options that every reader needs.
   * A recipient for which this is false gets the layer's key without the binding to its image.
   * Default: true.
   */
  readonly roomForBinding?: boolean | undefined;
  /**
   * Wraps the private options: 200 to 300 bytes of JSON to be kept secret and unchanged, and more
   * for a layer that many manifests share. The buffer belongs to this recipient and is overwritten
   * afterwards; copy what must live longer.
   *
   * @throws any error; the layer's descriptor is not written then
   */
  wrap(privateOptions: Uint8Array, options?: WrapOptions): Promise<Uint8Array>;
}

/** A key that may open layers, the counterpart of {@link Recipient}. */
export interface Key {
  /** The annotation whose wrapped keys this key can unwrap. */
  readonly scheme: string;
  /** The name of this key in reports, such as its file's name. Nothing secret. */
  readonly label?: string | undefined;
  /** RFC 7638 thumbprint of the key's public half; see {@link Recipient.thumbprint}. */
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
  /** Says in a few words for people why {@link unwrap} returns `null` for this wrapped key. */
  explain?(wrapped: Uint8Array): string;
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
}

/** The attempts that one key may make on the wrapped keys of one layer. */
export interface Attempts {
  left: number;
}
