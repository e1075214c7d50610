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
  /** Of the plain layer. Its digest and size are checked if present. */
  descriptor: DescriptorLike;
  /** The people who can decrypt; at least one. */
  recipients: readonly Recipient[];
  /** Goes into the private options; see {@link DecryptedLayer}. Default: the descriptor's digest. */
  recordedDigest?: string | undefined;
  /** Opaque bytes for the private options that tie the layer to images; absent by default. */
  binding?: Uint8Array | undefined;
  signal?: AbortSignal | undefined;
  /** Called with the number of bytes encrypted so far. */
  onProgress?: ((bytes: number) => void) | undefined;
}

export interface EncryptedLayer {
  /** The ciphertext, as long as the plaintext. */
  stream: ReadableStream<Bytes>;
  /**
   * The descriptor of the encrypted layer, once the stream was read to its end: the members of
   * the plain one with a new media type, digest, size and annotations, without `data` and `urls`.
   *
   * @throws {@link OcicryptError} `NOT_FINISHED` when the stream was not read to its end
   */
  finalize(): Promise<Descriptor>;
}

/**
 * Encrypts a layer with a new random key, and wraps that key for each recipient.
 *
 * The key is wrapped before the first byte leaves, so that a recipient that fails costs no upload.
 * The stream fails at its end with `BLOB_SIZE_MISMATCH` or `BLOB_DIGEST_MISMATCH` if the source is
 * not what the descriptor says, and with what a recipient throws.
 *
 * @param source the plain layer as it is stored, compressed or not
 * @throws {@link OcicryptError} `ALREADY_ENCRYPTED`, `NO_RECIPIENTS`, `DESCRIPTOR_INVALID`
 */
export function encryptLayer(source: ByteSource, options: EncryptLayerOptions): EncryptedLayer {
  const { descriptor, recipients, signal, onProgress } = options;
  const { recordedDigest = descriptor.digest ?? "", binding } = options;
  if (isEncryptedDescriptor(descriptor)) {
    throw new OcicryptError("ALREADY_ENCRYPTED", "the layer is encrypted already");
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

/** The members that turn the descriptor of a plain layer into that of the encrypted one. */
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
