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
import { wipePrivateOptions } from "../cipher/private-options.js";
import { parsePublicOptions } from "../cipher/public-options.js";
import { requireEncrypted, unwrapPrivateOptions, type Opening } from "./unwrap.js";

/** How much plaintext {@link decryptLayer} holds back until the HMAC is checked, in bytes. */
export const HELD_BACK: number = 64 * 1024;

export interface DecryptLayerOptions {
  /** Of the encrypted layer. Its digest and size are checked where they are given. */
  descriptor: DescriptorLike;
  /** Tried on every wrapped key, until one opens. */
  keys: readonly Key[];
  signal?: AbortSignal | undefined;
  /** Called with the number of bytes decrypted so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

export interface DecryptedLayer {
  /** The plaintext; not to be trusted before it has ended without an error. */
  stream: ReadableStream<Bytes>;
  /** Which key opened the layer. */
  opening: Opening;
  /**
   * The digest that whoever encrypted the layer recorded, or empty. Advisory: it is often that of
   * the layer before a compression step, and proves nothing about who encrypted.
   */
  recordedDigest: string;
  /** The bytes that tie the layer to images, if whoever wrapped the key wrote any; not checked here. */
  binding?: Uint8Array | undefined;
  /**
   * The descriptor of the plain layer, once the stream was read to its end: the members of the
   * encrypted one with the plain media type, digest and size, and without what encryption added.
   *
   * @throws {@link OcicryptError} `NOT_FINISHED` when the stream was not read to its end
   */
  finalize(): Promise<Descriptor>;
}

/**
 * Decrypts a layer. **The stream releases plaintext before the HMAC over the whole layer can be
 * checked.** It holds back the last 64 KiB, so that a layer up to that size comes out verified or
 * not at all; of a larger one discard everything when the stream ends in an error.
 * `decryptImage` of `ocicrypt/image` never publishes what is not verified.
 *
 * The stream fails with `HMAC_MISMATCH`, `BLOB_SIZE_MISMATCH` or `BLOB_DIGEST_MISMATCH`.
 *
 * @param source the encrypted layer
 * @throws {@link OcicryptError} those of {@link unwrapOnly}; `DESCRIPTOR_INVALID`;
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
