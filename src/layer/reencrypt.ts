import { createHash, timingSafeEqual } from "node:crypto";
import { createEncryptor } from "../cipher/aes-ctr-hmac.js";
import type { PrivateOptions } from "../cipher/private-options.js";
import { OcicryptError } from "../errors.js";
import { parseDigest } from "../spec/digest.js";
import { checkContent } from "../io/content.js";
import { parts, type ByteSource } from "../io/source.js";

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
  blocks: readonly Buffer[];
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
  const blocks: Buffer[] = [];
  for await (const block of fixedBlocks(source, signal)) {
    check.update(block);
    blocks.push(sha256(block));
    for (const { encryptor, hash } of attempts) hash.update(encryptor.update(block));
  }
  check.finish();
  for (const { candidate, encryptor, hash, hex } of attempts) {
    const isSame = hash.digest("hex") === hex;
    if (isSame && timingSafeEqual(encryptor.finish(), candidate.hmac)) return { candidate, blocks };
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
      if (expected?.equals(sha256(block)) !== true) throw changed();
      yield encryptor.update(block);
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

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function changed(): OcicryptError {
  const message = "the layer has changed since it was first read";
  return new OcicryptError("BLOB_DIGEST_MISMATCH", message);
}
