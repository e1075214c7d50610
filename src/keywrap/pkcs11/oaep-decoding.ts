import { createHash } from "node:crypto";
import type { OaepHash } from "./oaep.js";

/**
 * Decodes what raw RSA gives for an OAEP ciphertext with an empty label; RFC 8017 section 7.1.2,
 * step 3. Which of its checks fails is not to be seen, from the time it takes either: with that,
 * a ciphertext can be decrypted without the key (Manger, CRYPTO 2001). So no branch and no index
 * depends on the bytes before all of them are read.
 *
 * @param encoded as many bytes as the modulus has; overwritten
 */
export function decodeOaep(encoded: Buffer, hash: OaepHash): Buffer | null {
  const labelHash = createHash(hash).digest();
  const size = labelHash.byteLength;
  if (encoded.byteLength < 2 * size + 2) return null;
  const seed = encoded.subarray(1, 1 + size);
  const block = encoded.subarray(1 + size);
  xorMask(seed, block, hash);
  xorMask(block, seed, hash);

  let bad = encoded.readUInt8(0);
  labelHash.forEach((byte, i) => {
    bad |= byte ^ block.readUInt8(i);
  });
  let searching = 1;
  let separator = 0;
  for (let i = size; i < block.byteLength; i++) {
    const byte = block.readUInt8(i);
    const isOne = isZero(byte ^ 1);
    separator |= -(searching & isOne) & i;
    bad |= searching & (1 ^ isOne ^ isZero(byte));
    searching &= 1 ^ isOne;
  }
  bad |= searching;

  const message = bad === 0 ? Buffer.from(block.subarray(separator + 1)) : null;
  encoded.fill(0);
  return message;
}

/** 1 for zero and 0 for any other byte. */
function isZero(byte: number): number {
  return (byte - 1) >>> 31;
}

/** MGF1, RFC 8017 appendix B.2.1. */
function xorMask(target: Buffer, seed: Buffer, hash: OaepHash): void {
  const counter = Buffer.alloc(4);
  for (let offset = 0, i = 0; offset < target.byteLength; i++) {
    counter.writeUInt32BE(i);
    for (const byte of createHash(hash).update(seed).update(counter).digest()) {
      if (offset === target.byteLength) break;
      target.writeUInt8(target.readUInt8(offset) ^ byte, offset);
      offset++;
    }
  }
}
