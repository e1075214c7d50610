import { createAnyHash } from "#engine/any-hash";
import type { Bytes, HashName, OaepParameters } from "../engine/types.js";

/**
 * Decodes the result of raw RSA for an OAEP ciphertext; RFC 8017 section 7.1.2, step 3. Neither the
 * result nor the time reveals which check fails: an attacker who knew could decrypt a ciphertext
 * without the key (Manger, CRYPTO 2001). Therefore no branch and no index depends on the bytes
 * until all have been read.
 *
 * @param encoded as many bytes as the modulus has; overwritten
 * @returns `null` for every failure alike
 */
export function decodeOaep(encoded: Uint8Array, { hash, label }: OaepParameters): Bytes | null {
  const labelHash = createAnyHash(hash).update(label).digest();
  const size = labelHash.byteLength;
  if (encoded.byteLength < 2 * size + 2) return null;
  const seed = encoded.subarray(1, 1 + size);
  const block = encoded.subarray(1 + size);
  xorMask(seed, block, hash);
  xorMask(block, seed, hash);

  let bad = byteAt(encoded, 0);
  labelHash.forEach((byte, i) => {
    bad |= byte ^ byteAt(block, i);
  });
  let searching = 1;
  let separator = 0;
  for (let i = size; i < block.byteLength; i++) {
    const byte = byteAt(block, i);
    const isOne = isZero(byte ^ 1);
    separator |= -(searching & isOne) & i;
    bad |= searching & (1 ^ isOne ^ isZero(byte));
    searching &= 1 ^ isOne;
  }
  bad |= searching;

  const message = bad === 0 ? Uint8Array.from(block.subarray(separator + 1)) : null;
  encoded.fill(0);
  return message;
}

/** 1 for zero and 0 for any other byte. */
function isZero(byte: number): number {
  return (byte - 1) >>> 31;
}

function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}

/** MGF1, RFC 8017 appendix B.2.1: the mask of a seed is XORed into the target. */
export function xorMask(target: Uint8Array, seed: Uint8Array, hash: HashName): void {
  const counter = new DataView(new ArrayBuffer(4));
  for (let offset = 0, i = 0; offset < target.byteLength; i++) {
    counter.setUint32(0, i);
    const mask = createAnyHash(hash).update(seed).update(new Uint8Array(counter.buffer)).digest();
    for (const byte of mask) {
      if (offset === target.byteLength) break;
      target[offset] = byteAt(target, offset) ^ byte;
      offset++;
    }
  }
}
