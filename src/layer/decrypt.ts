import { createHash } from "node:crypto";
import { createDecryptor } from "../cipher/aes-ctr-hmac.js";
import { OcicryptError } from "../errors.js";
import type { Key } from "../keywrap/types.js";
import {
  foreignAnnotations,
  replaceContent,
  type Descriptor,
  type DescriptorLike,
} from "../spec/descriptor.js";
import { plainMediaType } from "../spec/media-types.js";
import { checkContent } from "../io/content.js";
import { parts, toReadableStream, type Bytes, type ByteSource } from "../io/source.js";
import { parsePublicOptions, wipePrivateOptions } from "../cipher/options.js";
import { requireEncrypted, unwrapPrivateOptions, type Opening } from "./unwrap.js";

/** The bytes of plaintext that {@link decryptLayer} holds back until it has checked the HMAC. */
export const HELD_BACK: number = 64 * 1024;

export interface DecryptLayerOptions {
  /** The descriptor of the encrypted layer. Its digest and size are checked if they are present. */
  descriptor: DescriptorLike;
  /** Tried on every wrapped key, until one opens. */
  keys: readonly Key[];
  signal?: AbortSignal | undefined;
  /** Called with the number of bytes decrypted so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

export interface DecryptedLayer {
  /** The plaintext. Do not trust it before the stream has ended without an error. */
  stream: ReadableStream<Bytes>;
  /** The key that opened the layer, and the wrapped key that it opened. */
  opening: Opening;
  /**
   * The digest that the sender recorded, or empty. Do not rely on it: it is often the digest from
   * before a compression step, and it proves nothing about the sender.
   */
  recordedDigest: string;
  /**
   * The bytes that bind the layer to images, if the sender wrote any. They are not checked here.
   */
  binding?: Uint8Array | undefined;
  /**
   * Returns the descriptor of the plain layer, once the stream has been read to its end. It has the
   * members of the encrypted layer's descriptor, with the plain media type, digest and size, and
   * without the annotations of encryption.
   *
   * @throws {@link OcicryptError} `NOT_FINISHED` if the stream has not been read to its end
   */
  finalize(): Promise<Descriptor>;
}

/**
 * Decrypts a layer. **The stream emits plaintext before the HMAC over the whole layer can be
 * checked.** It holds back the last 64 KiB, so a layer of up to 64 KiB is emitted only if it
 * verifies. For a larger layer, discard everything if the stream ends with an error. `decryptImage`
 * of `ocicrypt/image` never publishes unverified content.
 *
 * The stream fails with `HMAC_MISMATCH`, `BLOB_SIZE_MISMATCH` or `BLOB_DIGEST_MISMATCH`.
 *
 * @param source the encrypted layer
 * @throws {@link OcicryptError} as {@link unwrapOnly}; and `DESCRIPTOR_INVALID`;
 *   `PUBLIC_OPTIONS_MISSING`, `PUBLIC_OPTIONS_INVALID`, `CIPHER_UNSUPPORTED`, `NONCE_OVERRIDDEN`,
 *   `HMAC_MISSING`, `HMAC_INVALID`
 */
export async function decryptLayer(
  source: ByteSource,
  { descriptor, keys, signal, onProgress }: DecryptLayerOptions,
): Promise<DecryptedLayer> {
  requireEncrypted(descriptor);
  const check = checkContent(descriptor);
  const { hmac } = parsePublicOptions(descriptor);
  const { opening, privateOptions } = await unwrapPrivateOptions(descriptor, { keys, signal });
  const decryptor = createDecryptor(privateOptions);
  wipePrivateOptions(privateOptions);
  let result: { digest: string; size: number } | undefined;

  async function* plaintext(abort: AbortSignal): AsyncGenerator<Bytes, void, undefined> {
    const hash = createHash("sha256");
    const held: Bytes[] = [];
    let heldSize = 0;
    let size = 0;
    for await (const part of parts(source, abort)) {
      check.update(part);
      const plain = decryptor.update(part);
      hash.update(plain);
      held.push(plain);
      heldSize += plain.byteLength;
      size += plain.byteLength;
      while (held[0] !== undefined && heldSize - held[0].byteLength >= HELD_BACK) {
        heldSize -= held[0].byteLength;
        yield held[0];
        held.shift();
      }
      onProgress?.(size);
    }
    check.finish();
    if (!decryptor.verify(hmac)) {
      throw new OcicryptError(
        "HMAC_MISMATCH",
        "the layer was changed or damaged: its HMAC is wrong",
      );
    }
    yield* held;
    result = { digest: `sha256:${hash.digest("hex")}`, size };
  }

  return {
    stream: toReadableStream(plaintext, signal),
    opening,
    recordedDigest: privateOptions.digest,
    binding: privateOptions.binding,
    // eslint-disable-next-line @typescript-eslint/require-await -- a promise, as for a rejection
    async finalize() {
      if (result === undefined) {
        throw new OcicryptError("NOT_FINISHED", "the stream was not read to its end");
      }
      const mediaType = plainMediaType(descriptor.mediaType);
      const annotations = foreignAnnotations(descriptor);
      return replaceContent(descriptor, { mediaType, ...result, annotations });
    },
  };
}
