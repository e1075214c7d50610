import { constants, privateDecrypt, randomBytes, type KeyObject } from "node:crypto";

/**
 * RSAES-PKCS1-v1_5 decryption (RFC 8017 section 7.2.2) of a key whose size is known, with a random
 * key in place of an error. Node 20 refuses this padding for private keys (CVE-2023-46809), and
 * the OpenSSL of later ones gives random bytes of a random length, so it is taken off here.
 *
 * @param size of the key in bytes, at least 11 less than the modulus
 */
export function decryptPkcs1v15(key: KeyObject, encrypted: Uint8Array, size: number): Uint8Array {
  const substitute = randomBytes(size);
  let encoded: Buffer;
  try {
    encoded = privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, encrypted);
  } catch {
    // Not less than the modulus, which everybody can see.
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
