import { createHmac, timingSafeEqual } from "node:crypto";
import { createDecryptor, type Decryptor } from "../cipher/aes-ctr-hmac.js";
import { parsePublicOptions, wipePrivateOptions } from "../cipher/options.js";
import { parts, type ByteSource, type Bytes } from "../io/source.js";
import type { Key } from "../keywrap/types.js";
import { hmacMismatch, holdBack } from "../layer/decrypt.js";
import { requireEncrypted, unwrapPrivateOptions } from "../layer/unwrap.js";
import type { DescriptorLike } from "../spec/descriptor.js";

/**
 * A layer whose key is known. Its key is unwrapped once, although the ciphertext is read twice: a
 * key server may charge for each request, and a token may ask for each one.
 */
export interface OpenLayer {
  /**
   * Reads the whole ciphertext.
   *
   * @throws {@link OcicryptError} `HMAC_MISMATCH`
   */
  verify(ciphertext: ByteSource, signal: AbortSignal): Promise<void>;
  /** Decrypts the first bytes, unverified. */
  peek(ciphertext: Uint8Array): Promise<Uint8Array>;
  /**
   * Decrypts, once: overwrites the key. The last 64 KiB are emitted only if the HMAC over the whole
   * ciphertext is right.
   *
   * @throws {@link OcicryptError} `HMAC_MISMATCH`
   */
  decrypt(ciphertext: ByteSource, signal: AbortSignal): AsyncGenerator<Bytes, void, undefined>;
}

/**
 * Unwraps the key of a layer with the first key that opens it.
 *
 * @throws {@link OcicryptError} as `decryptLayer`
 */
export async function openLayer(
  descriptor: DescriptorLike,
  keys: readonly Key[],
  signal: AbortSignal,
): Promise<OpenLayer> {
  requireEncrypted(descriptor);
  const { hmac } = parsePublicOptions(descriptor);
  const { privateOptions } = await unwrapPrivateOptions(descriptor, { keys, signal });
  return {
    async verify(ciphertext, abort) {
      const mac = createHmac("sha256", privateOptions.symkey);
      for await (const part of parts(ciphertext, abort)) mac.update(part);
      if (!timingSafeEqual(mac.digest(), hmac)) throw hmacMismatch();
    },
    peek: (ciphertext) => createDecryptor(privateOptions).update(ciphertext),
    decrypt(ciphertext, abort) {
      const decryptor = createDecryptor(privateOptions);
      wipePrivateOptions(privateOptions);
      return decrypt(parts(ciphertext, abort), decryptor, hmac);
    },
  };
}

async function* decrypt(
  ciphertext: AsyncIterable<Uint8Array>,
  decryptor: Decryptor,
  hmac: Uint8Array,
): AsyncGenerator<Bytes, void, undefined> {
  const held = holdBack();
  for await (const part of ciphertext) {
    for (const ready of held.add(await decryptor.update(part))) yield ready;
  }
  if (!(await decryptor.verify(hmac))) throw hmacMismatch();
  yield* held.rest();
}
