import { constants, privateDecrypt, randomBytes, type KeyObject } from "node:crypto";

/**
 * Decrypts a key of a known size with RSAES-PKCS1-v1_5 (RFC 8017 section 7.2.2) and returns a random
 * key instead of an error. Node.js 20 rejects this padding for private keys (CVE-2023-46809), and
 * the OpenSSL of later versions returns random bytes of a random length, so it is removed here.
 *
 * @param size of the key in bytes, at least 11 less than the modulus
 */
export function decryptPkcs1v15(key: KeyObject, encrypted: Uint8Array, size: number): Uint8Array {
  const substitute = randomBytes(size);
  let encoded: Buffer;
  try {
    encoded = privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, encrypted);
  } catch {
    // The ciphertext is not less than the modulus, which anyone can see.
    return substitute;
  }
  // EM = 0x00 || 0x02 || PS || 0x00 || M. Nothing branches on any of it.
  const start = encoded.byteLength - size;
  let wrong = byteAt(encoded, 0) | (byteAt(encoded, 1) ^ 2) | byteAt(encoded, start - 1);
  for (let i = 2; i < start - 1; i++) wrong |= isZero(byteAt(encoded, i));
  const mask = (isZero(wrong) - 1) & 0xff; // 0xff when wrong
  const result = substitute.map((byte, i) => (byteAt(encoded, start + i) & ~mask) | (byte & mask));
  encoded.fill(0);
  return result;
}

/** 1 for 0, and 0 for 1 to 255. */
function isZero(byte: number): number {
  return (byte - 1) >>> 31;
}

function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}
