import { createHash } from "node:crypto";

/** A hash with the sizes that RFC 7292 appendix B.2 calls u and v, in bytes. */
export interface KdfHash {
  name: string;
  size: number;
  blockSize: number;
}

export const SHA1: KdfHash = { name: "sha1", size: 20, blockSize: 64 };

/** Those of RFC 7292 appendix B.2, by their identifiers. */
export const KDF_HASHES: ReadonlyMap<string, KdfHash> = /* @__PURE__ */ new Map([
  ["1.3.14.3.2.26", SHA1],
  ["2.16.840.1.101.3.4.2.4", { name: "sha224", size: 28, blockSize: 64 }],
  ["2.16.840.1.101.3.4.2.1", { name: "sha256", size: 32, blockSize: 64 }],
  ["2.16.840.1.101.3.4.2.2", { name: "sha384", size: 48, blockSize: 128 }],
  ["2.16.840.1.101.3.4.2.3", { name: "sha512", size: 64, blockSize: 128 }],
  ["2.16.840.1.101.3.4.2.5", { name: "sha512-224", size: 28, blockSize: 128 }],
  ["2.16.840.1.101.3.4.2.6", { name: "sha512-256", size: 32, blockSize: 128 }],
]);

/** Some seconds, in which nothing else runs. */
export const MAX_KDF_ITERATIONS = 1_000_000;

/** What the derived bits are for: the ID of RFC 7292 appendix B.3. */
export const KEY_MATERIAL = 1;
export const INITIAL_VALUE = 2;
export const MAC_KEY = 3;

export interface KdfInput {
  hash: KdfHash;
  purpose: number;
  /** As a BMPString, with its NULL. */
  password: Uint8Array;
  salt: Uint8Array;
  iterations: number;
}

/**
 * The key derivation of RFC 7292 appendix B.2. Node does not offer OpenSSL's.
 *
 * @param size of the result, in bytes
 */
export function deriveBits(input: KdfInput, size: number): Buffer {
  const { hash, purpose, password, salt, iterations } = input;
  const { blockSize } = hash;
  const diversifier = Buffer.alloc(blockSize, purpose);
  const state = Buffer.concat([fillBlocks(salt, blockSize), fillBlocks(password, blockSize)]);
  const derived = Buffer.alloc(Math.ceil(size / hash.size) * hash.size);
  for (let start = 0; start < size; start += hash.size) {
    let digest = createHash(hash.name).update(diversifier).update(state).digest();
    for (let i = 1; i < iterations; i++) digest = createHash(hash.name).update(digest).digest();
    digest.copy(derived, start);
    const addend = fillBlocks(digest, blockSize).subarray(0, blockSize);
    for (let block = 0; block < state.byteLength; block += blockSize) {
      increase(state.subarray(block, block + blockSize), addend);
    }
  }
  state.fill(0);
  return derived.subarray(0, size);
}

/** Repeats bytes up to the next multiple of a block. */
function fillBlocks(bytes: Uint8Array, blockSize: number): Buffer {
  const size = Math.ceil(bytes.byteLength / blockSize) * blockSize;
  return size === 0 ? Buffer.alloc(0) : Buffer.alloc(size, bytes);
}

/** Adds `addend` and 1 to `block`, both as numbers, without what does not fit. */
function increase(block: Uint8Array, addend: Uint8Array): void {
  let carry = 1;
  for (let i = block.byteLength - 1; i >= 0; i--) {
    const sum = (block[i] ?? 0) + (addend[i] ?? 0) + carry;
    block[i] = sum; // modulo 256
    carry = sum >> 8;
  }
}
