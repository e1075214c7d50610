import { createHash } from "node:crypto";
import { CIPHER, createEncryptor, generateSecret } from "../cipher/aes-ctr-hmac.js";
import { OcicryptError } from "../errors.js";
import type { Recipient } from "../keywrap/types.js";
import { PUBLIC_OPTIONS } from "../spec/annotations.js";
import {
  isEncryptedDescriptor,
  replaceContent,
  type Descriptor,
  type DescriptorLike,
} from "../spec/descriptor.js";
import { encryptedMediaType } from "../spec/media-types.js";
import { checkContent } from "../io/content.js";
import { closeSource, parts, toReadableStream, type Bytes, type ByteSource } from "../io/source.js";
import { wipePrivateOptions } from "../cipher/private-options.js";
import { serializePublicOptions } from "../cipher/public-options.js";
import { requireRecipients, wrapForAll, type WrappedElement } from "./wrap.js";
import { appendWrappedKeys } from "./wrapped-keys.js";

export interface EncryptLayerOptions {
  /** The descriptor of the plain layer. Its digest and size are checked if they are present. */
  descriptor: DescriptorLike;
  /** The recipients who will be able to decrypt the layer; at least one. */
  recipients: readonly Recipient[];
  /**
   * The digest to record in the private options; see {@link DecryptedLayer}. Default: the
   * descriptor's digest.
   */
  recordedDigest?: string | undefined;
  /** Opaque bytes for the private options that bind the layer to images. Default: none. */
  binding?: Uint8Array | undefined;
  signal?: AbortSignal | undefined;
  /** Called with the number of bytes encrypted so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

export interface EncryptedLayer {
  /** The ciphertext, which is as long as the plaintext. */
  stream: ReadableStream<Bytes>;
  /**
   * Returns the descriptor of the encrypted layer, once the stream has been read to its end. It has
   * the members of the plain layer's descriptor, with a new media type, digest, size and
   * annotations, and without `data` and `urls`.
   *
   * @throws {@link OcicryptError} `NOT_FINISHED` if the stream has not been read to its end
   */
  finalize(): Promise<Descriptor>;
}

/**
 * Encrypts a layer with a new random key, and wraps that key for each recipient.
 *
 * The key is wrapped before the stream emits its first byte, so if a recipient fails, nothing has
 * been uploaded yet. The stream fails with the error of a recipient, or at its end with
 * `BLOB_SIZE_MISMATCH` or `BLOB_DIGEST_MISMATCH` if the source does not match the descriptor.
 *
 * @param source the plain layer as it is stored, whether compressed or not
 * @throws {@link OcicryptError} `ALREADY_ENCRYPTED`, `NO_RECIPIENTS`, `DESCRIPTOR_INVALID`
 */
export function encryptLayer(source: ByteSource, options: EncryptLayerOptions): EncryptedLayer {
  const { descriptor, recipients, signal, onProgress } = options;
  const { recordedDigest = descriptor.digest ?? "", binding } = options;
  if (isEncryptedDescriptor(descriptor)) {
    throw new OcicryptError("ALREADY_ENCRYPTED", "the layer is already encrypted");
  }
  requireRecipients(recipients);
  const mediaType = encryptedMediaType(descriptor.mediaType);
  const check = checkContent(descriptor);
  let result: Omit<Encrypted, "mediaType"> | undefined;

  async function* ciphertext(abort: AbortSignal): AsyncGenerator<Bytes, void, undefined> {
    const secret = { ...generateSecret(), digest: recordedDigest, binding };
    const encryptor = createEncryptor(secret);
    let wrapped: WrappedElement[];
    try {
      wrapped = await wrapForAll(secret, recipients, abort);
    } catch (error) {
      void closeSource(source).catch(() => undefined);
      throw error;
    } finally {
      wipePrivateOptions(secret);
    }
    const hash = createHash("sha256");
    let size = 0;
    for await (const part of parts(source, abort)) {
      check.update(part);
      const encrypted = encryptor.update(part);
      hash.update(encrypted);
      size += encrypted.byteLength;
      yield encrypted;
      onProgress?.(size);
    }
    check.finish();
    result = { wrapped, hmac: encryptor.finish(), digest: `sha256:${hash.digest("hex")}`, size };
  }

  return {
    stream: toReadableStream(ciphertext, signal),
    // eslint-disable-next-line @typescript-eslint/require-await -- a promise, as for a rejection
    async finalize() {
      if (result === undefined) {
        throw new OcicryptError("NOT_FINISHED", "the stream was not read to its end");
      }
      return describeEncrypted(descriptor, { mediaType, ...result });
    },
  };
}

/**
 * The values that turn the descriptor of a plain layer into the descriptor of the encrypted layer.
 */
export interface Encrypted {
  mediaType: string;
  digest: string;
  size: number;
  wrapped: readonly WrappedElement[];
  hmac: Uint8Array;
}

/** @throws {@link OcicryptError} `ANNOTATION_TOO_LARGE` */
export function describeEncrypted(
  descriptor: DescriptorLike,
  { mediaType, digest, size, wrapped, hmac }: Encrypted,
): Descriptor {
  const annotations = appendWrappedKeys(descriptor.annotations ?? {}, wrapped);
  annotations[PUBLIC_OPTIONS] = serializePublicOptions({ cipher: CIPHER, hmac });
  return replaceContent(descriptor, { mediaType, digest, size, annotations });
}
