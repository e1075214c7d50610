/**
 * Somebody who shall be able to decrypt: wraps the secret of a layer so that only the holder of
 * one key gets it back. Write your own to keep keys in a key server or a TPM.
 */
export interface Recipient {
  /** The annotation that the wrapped key goes to: `jwe`, `pkcs7`, …, `provider.<name>`. */
  readonly scheme: string;
  /** What {@link RecipientInfo} will call the algorithm, where that is known before wrapping. */
  readonly algorithm?: string | undefined;
  /**
   * RFC 7638 thumbprint of the public key. With it a recipient is recognised whose wrapped key does
   * not name it, if the {@link Key} of the same thumbprint is at hand.
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
   * for a layer that many manifests share. The
   * buffer is this recipient's own and is overwritten afterwards; copy what must live longer.
   *
   * @throws Whatever keeps it from wrapping; nothing of the layer is written then.
   */
  wrap(privateOptions: Uint8Array, options?: WrapOptions): Promise<Uint8Array>;
}

/** A key that may open layers. The counterpart of {@link Recipient}. */
export interface Key {
  /** The annotation whose wrapped keys this can unwrap. */
  readonly scheme: string;
  /** How to call this key in reports, such as the name of its file. Nothing secret. */
  readonly label?: string | undefined;
  /** RFC 7638 thumbprint of the key's public half; see {@link Recipient.thumbprint}. */
  readonly thumbprint?: string | undefined;
  /**
   * Unwraps the private options, in a buffer that is overwritten after use.
   *
   * @returns `null` when the wrapped key is not for this key, which is the usual case where a
   *   layer has several recipients.
   * @throws When it is for this key and damaged, when it can not be understood, or when something
   *   outside fails (a token, a key server). The other wrapped keys and keys are still tried; the
   *   error is reported only if none of them fits.
   */
  unwrap(wrapped: Uint8Array, options?: WrapOptions): Promise<Uint8Array | null>;
  /** Why {@link unwrap} gives `null` for this wrapped key, in a few words for people. */
  explain?(wrapped: Uint8Array): string;
}

export interface WrapOptions {
  signal?: AbortSignal | undefined;
}

/** What can be told of a recipient without any key. */
export interface RecipientInfo {
  /** The algorithm that wraps the key, by its name in the scheme, e.g. `RSA-OAEP`. */
  algorithm: string;
  /** The scheme's own identifier of the recipient's key, if the sender gave one. */
  keyId?: string;
}
