import { createHash, isEqual } from "#engine/hash";
import { HERE, openPasses, threadCount } from "#engine/passes";
import { toHex } from "#engine/bytes";
import { createEncryptor, generateSecret } from "../cipher/aes-ctr-hmac.js";
import { OcicryptError } from "../errors.js";
import type { Recipient } from "../keywrap/types.js";
import {
  type Descriptor,
  type DescriptorLike,
  isEncryptedDescriptor,
  PUBLIC_OPTIONS,
  replaceContent,
} from "../spec/descriptor.js";
import { encryptedMediaType } from "../spec/media-types.js";
import { checkContent } from "../io/content.js";
import {
  type Bytes,
  type ByteSource,
  closeSource,
  collect,
  parts,
  toReadableStream,
} from "../io/source.js";
import {
  CIPHER,
  type PrivateOptions,
  serializePublicOptions,
  wipePrivateOptions,
} from "../cipher/options.js";
import { parseDigest, sha256Digest } from "../spec/digest.js";
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
  /**
   * The most extra threads that hash a layer of 64 MiB or more, if the descriptor has its size; 0
   * for none. Default: one fewer than the processor cores, at most 4. If threads cannot run, the
   * result is the same.
   */
  threads?: number | undefined;
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
  if (!descriptor.mediaType) {
    throw new OcicryptError("DESCRIPTOR_INVALID", "the layer has no type");
  }
  if (isEncryptedDescriptor(descriptor)) {
    throw new OcicryptError("ALREADY_ENCRYPTED", "the layer is already encrypted");
  }
  requireRecipients(recipients);
  const mediaType = encryptedMediaType(descriptor.mediaType);
  threadCount(options.threads);
  let passes = HERE;
  const check = checkContent(descriptor, (algorithm) => passes.hashPlain(algorithm));
  let result: Omit<Encrypted, "mediaType"> | undefined;

  async function* ciphertext(abort: AbortSignal): AsyncGenerator<Bytes, void, undefined> {
    const secret = { ...generateSecret(), digest: recordedDigest, binding };
    const encryptor = createEncryptor(secret, (key) => passes.hmacCipher(key));
    let wrapped: WrappedElement[];
    try {
      wrapped = await wrapForAll(secret, recipients, abort);
    } catch (error) {
      void closeSource(source).catch(() => undefined);
      throw error;
    } finally {
      wipePrivateOptions(secret);
    }
    try {
      passes = await openPasses(descriptor.size, options.threads);
      const hash = passes.hashCipher("sha256");
      let size = 0;
      for await (const part of parts(source, abort)) {
        await passes.room();
        check.update(part);
        const encrypted = await encryptor.update(part);
        hash.update(encrypted);
        size += encrypted.byteLength;
        yield encrypted;
        onProgress?.(size);
      }
      await check.finish();
      const hmac = await encryptor.finish();
      result = { wrapped, hmac, digest: sha256Digest(await hash.digest()), size };
    } finally {
      passes.close();
    }
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

/** An encrypted layer in memory. */
export interface EncryptedLayerBytes {
  bytes: Bytes;
  descriptor: Descriptor;
}

/**
 * Encrypts a small layer in memory, as {@link encryptLayer} does with a stream.
 *
 * @throws {@link OcicryptError} as {@link encryptLayer} and its stream
 */
export async function encryptLayerBytes(
  layer: Uint8Array,
  options: EncryptLayerOptions,
): Promise<EncryptedLayerBytes> {
  const encrypted = encryptLayer(layer, options);
  const bytes: Bytes = Uint8Array.from(await collect(encrypted.stream));
  return { bytes, descriptor: await encrypted.finalize() };
}

/**
 * The values that turn the descriptor of a plain layer into the descriptor of the encrypted layer.
 */
interface Encrypted {
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

/*
 * Encryption with a key and nonce that were used before.
 *
 * In AES-CTR, two different plaintexts under the same key and nonce reveal their XOR to anyone who
 * has both ciphertexts. Ciphertext that is made here may therefore leave the process only if it
 * equals the earlier ciphertext bit for bit. For this reason `findSame` returns no ciphertext.
 * `reencrypt` reads the source a second time, and the source may have changed by then. A check of
 * its digest at the end would be too late, because the ciphertext would already have been sent.
 * `reencrypt` therefore emits a block only if its plaintext is the block that `findSame` has seen.
 */

/**
 * An earlier ciphertext, and the secret that it claims to be made with. The claim is not trusted.
 */
export interface Candidate {
  secret: PrivateOptions;
  digest: string;
  hmac: Uint8Array;
}

/** A candidate whose ciphertext a source really encrypts to. */
export interface Match {
  candidate: Candidate;
  /** The SHA-256 of each block of the plaintext. */
  blocks: readonly Uint8Array[];
}

const BLOCK = 1024 * 1024;

/**
 * Finds the candidate whose digest and HMAC a source encrypts to.
 *
 * @param expected the digest and size of the source, which are checked
 * @throws {@link OcicryptError} `BLOB_SIZE_MISMATCH`, `BLOB_DIGEST_MISMATCH`, `DESCRIPTOR_INVALID`
 */
export async function findSame(
  source: ByteSource,
  expected: { digest: string; size: number },
  candidates: readonly Candidate[],
  signal?: AbortSignal,
): Promise<Match | undefined> {
  const check = checkContent(expected);
  const attempts = candidates.map((candidate) => {
    const { algorithm, hex } = parseDigest(candidate.digest);
    const encryptor = createEncryptor(candidate.secret);
    return { candidate, encryptor, hash: createHash(algorithm), hex };
  });
  const blocks: Uint8Array[] = [];
  for await (const block of fixedBlocks(source, signal)) {
    check.update(block);
    blocks.push(sha256(block));
    for (const { encryptor, hash } of attempts) hash.update(await encryptor.update(block));
  }
  await check.finish();
  for (const { candidate, encryptor, hash, hex } of attempts) {
    const isSame = toHex(hash.digest()) === hex;
    if (isSame && isEqual(await encryptor.finish(), candidate.hmac)) return { candidate, blocks };
  }
  return undefined;
}

/**
 * Returns the ciphertext of a match. This reads the source a second time.
 *
 * If the source has changed, the stream fails with `BLOB_DIGEST_MISMATCH` before it emits the
 * changed block.
 */
export function reencrypt(
  source: ByteSource,
  { candidate, blocks }: Match,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  // Not inside the generator: by the time it starts, the secret may have been overwritten.
  const encryptor = createEncryptor(candidate.secret);

  async function* ciphertext(): AsyncGenerator<Uint8Array, void, undefined> {
    let count = 0;
    for await (const block of fixedBlocks(source, signal)) {
      const expected = blocks[count++];
      if (expected === undefined || !isEqual(expected, sha256(block))) throw changed();
      yield await encryptor.update(block);
    }
    if (count !== blocks.length) throw changed();
  }
  return ciphertext();
}

/**
 * Yields blocks of one size, except for the last. Each block overwrites the memory of the one
 * before.
 */
async function* fixedBlocks(
  source: ByteSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const block = new Uint8Array(BLOCK);
  let length = 0;
  for await (const part of parts(source, signal)) {
    for (let start = 0; start < part.byteLength;) {
      const taken = part.subarray(start, start + BLOCK - length);
      block.set(taken, length);
      length += taken.byteLength;
      start += taken.byteLength;
      if (length < BLOCK) continue;
      yield block;
      length = 0;
    }
  }
  if (length > 0) yield block.subarray(0, length);
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}

function changed(): OcicryptError {
  const message = "the layer has changed since it was first read";
  return new OcicryptError("BLOB_DIGEST_MISMATCH", message);
}
