import { createHash, timingSafeEqual } from "node:crypto";
import { createEncryptor } from "../cipher/aes-ctr-hmac.js";
import type { PrivateOptions } from "../cipher/private-options.js";
import { OcicryptError } from "../errors.js";
import { parseDigest } from "../spec/digest.js";
import { checkContent } from "../io/content.js";
import { parts, type ByteSource } from "../io/source.js";

/*
 * Encrypting again with a key and nonce that were used before.
 *
 * With AES-CTR two different plaintexts under one key and nonce give away their XOR to anyone who
 * has both ciphertexts. So none of the ciphertext made here may leave the process unless it is the
 * earlier one, bit for bit. `findSame` therefore returns no ciphertext. `reencrypt` reads the
 * source once more, and a source can have changed meanwhile; checking its digest at the end would
 * come too late, as by then the ciphertext is on its way. It releases a block only when the
 * plaintext of that block is the one that `findSame` has seen.
 */

/** An earlier ciphertext and the secret that it is said to be made with, which anybody can say. */
export interface Candidate {
  secret: PrivateOptions;
  digest: string;
  hmac: Uint8Array;
}

/** A candidate that is the ciphertext of a source. */
export interface Match {
  candidate: Candidate;
  /** The SHA-256 of each block of the plaintext. */
  blocks: readonly Buffer[];
}

const BLOCK = 1024 * 1024;

/**
 * Finds the candidate that is what a source encrypts to, digest and HMAC.
 *
 * @param expected digest and size of the source, which are checked
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
 * The ciphertext of a match, from a second reading of its source.
 *
 * The stream fails with `BLOB_DIGEST_MISMATCH`, before anything else leaves, when the source is
 * not what it was.
 */
export function reencrypt(
  source: ByteSource,
  { candidate, blocks }: Match,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  // Not in the generator: when that starts, the secret may be overwritten.
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

/** Blocks of one size, except for the last, in memory that the next block overwrites. */
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
  const message = "the layer is not what it was when it was read before";
  return new OcicryptError("BLOB_DIGEST_MISMATCH", message);
}
