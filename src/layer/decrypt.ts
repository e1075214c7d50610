import { HERE, openPasses, threadCount } from "#engine/passes";
import { createDecryptor } from "../cipher/aes-ctr-hmac.js";
import { OcicryptError } from "../errors.js";
import type { Key } from "../keywrap/types.js";
import {
  foreignAnnotations,
  replaceContent,
  type Descriptor,
  type DescriptorLike,
} from "../spec/descriptor.js";
import { sha256Digest } from "../spec/digest.js";
import { plainMediaType } from "../spec/media-types.js";
import { checkContent } from "../io/content.js";
import { collect, parts, toReadableStream, type Bytes, type ByteSource } from "../io/source.js";
import { parsePublicOptions, wipePrivateOptions } from "../cipher/options.js";
import { requireEncrypted, unwrapPrivateOptions, type OpenedKey } from "./unwrap.js";

/** The bytes of plaintext that {@link decryptLayer} holds back until it has checked the HMAC. */
export const HELD_BACK_BYTES: number = 64 * 1024;

/** Keeps the last {@link HELD_BACK_BYTES} of plaintext until the HMAC is checked. */
export interface HeldBack {
  /** Adds plaintext, and returns what need not wait any more. */
  add(plain: Bytes): readonly Bytes[];
  /** Returns what is left, once the HMAC is right. */
  rest(): readonly Bytes[];
}

export function holdBack(): HeldBack {
  const held: Bytes[] = [];
  let size = 0;
  return {
    add(plain) {
      held.push(plain);
      size += plain.byteLength;
      let ready = 0;
      for (const { byteLength } of held) {
        if (size - byteLength < HELD_BACK_BYTES) break;
        size -= byteLength;
        ready++;
      }
      return held.splice(0, ready);
    },
    rest: () => held,
  };
}

export function hmacMismatch(): OcicryptError {
  return new OcicryptError("HMAC_MISMATCH", "the layer was changed or damaged: its HMAC is wrong");
}

export interface DecryptLayerOptions {
  /** The descriptor of the encrypted layer. Its digest and size are checked if they are present. */
  descriptor: DescriptorLike;
  /** The keys to try on every wrapped key, until one opens. */
  keys: readonly Key[];
  /** The most extra threads for a long layer; as for `encryptLayer`. */
  threads?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called with the number of bytes decrypted so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

export interface DecryptedLayer {
  /** The plaintext. Do not trust it before the stream has ended without an error. */
  stream: ReadableStream<Bytes>;
  /** The key that opened the layer, and the wrapped key that it opened. */
  opening: OpenedKey;
  /**
   * The digest that the sender recorded, or empty. Do not rely on it: it is often the digest of the
   * uncompressed layer, and it proves nothing about the sender.
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
  options: DecryptLayerOptions,
): Promise<DecryptedLayer> {
  return openLayer(source, options, true);
}

/**
 * Decrypts a layer as {@link decryptLayer} does, without computing the digest of the plain layer.
 *
 * @throws {@link OcicryptError} as {@link decryptLayer}
 */
export async function decryptContent(
  source: ByteSource,
  options: DecryptLayerOptions,
): Promise<Omit<DecryptedLayer, "finalize">> {
  return openLayer(source, options, false);
}

async function openLayer(
  source: ByteSource,
  { descriptor, keys, threads, signal, onProgress }: DecryptLayerOptions,
  isDescribed: boolean,
): Promise<DecryptedLayer> {
  requireEncrypted(descriptor);
  threadCount(threads);
  let passes = HERE;
  const check = checkContent(descriptor, (algorithm) => passes.hashCipher(algorithm));
  const { hmac } = parsePublicOptions(descriptor);
  const { opening, privateOptions } = await unwrapPrivateOptions(descriptor, { keys, signal });
  const decryptor = createDecryptor(privateOptions, (key) => passes.hmacCipher(key));
  wipePrivateOptions(privateOptions);
  let result: { digest: string; size: number } | undefined;

  async function* plaintext(abort: AbortSignal): AsyncGenerator<Bytes, void, undefined> {
    try {
      passes = await openPasses(descriptor.size, threads);
      const hash = isDescribed ? passes.hashPlain("sha256") : undefined;
      const held = holdBack();
      let size = 0;
      for await (const part of parts(source, abort)) {
        await passes.room();
        check.update(part);
        const plain = await decryptor.update(part);
        hash?.update(plain);
        size += plain.byteLength;
        for (const ready of held.add(plain)) yield ready;
        onProgress?.(size);
      }
      await check.finish();
      if (!(await decryptor.verify(hmac))) throw hmacMismatch();
      yield* held.rest();
      if (hash === undefined) return;
      result = { digest: sha256Digest(await hash.digest()), size };
    } finally {
      passes.close();
    }
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

/** A decrypted and verified layer in memory. */
export interface DecryptedLayerBytes extends Pick<
  DecryptedLayer,
  "opening" | "recordedDigest" | "binding"
> {
  bytes: Bytes;
  descriptor: Descriptor;
}

/**
 * Decrypts a small layer in memory, as {@link decryptLayer} does with a stream. Nothing is returned
 * before the whole layer is verified.
 *
 * @throws {@link OcicryptError} as {@link decryptLayer} and its stream
 */
export async function decryptLayerBytes(
  layer: Uint8Array,
  options: DecryptLayerOptions,
): Promise<DecryptedLayerBytes> {
  const decrypted = await decryptLayer(layer, options);
  const bytes: Bytes = Uint8Array.from(await collect(decrypted.stream));
  const { opening, recordedDigest, binding } = decrypted;
  return { bytes, descriptor: await decrypted.finalize(), opening, recordedDigest, binding };
}
