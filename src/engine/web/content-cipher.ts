import { cbc, gcm } from "@noble/ciphers/aes.js";
import type { Bytes, ContentCipherEngine } from "../types.js";
import { isEqual } from "./hash.js";

const AES = /^aes-(?:128|192|256)-(cbc|gcm)$/;

/** In bytes; also the block of AES. */
const TAG_SIZE = 16;
/** The smallest nonce that the package takes; other programs write 12 bytes. */
const MIN_NONCE = 8;

/**
 * Neither the package nor Web Cryptography has Triple DES. Web Cryptography also lacks AES-192 in
 * Chromium, and its CBC fails on a wrong padding, which must look like any other failure.
 */
export const hasContentCipher: ContentCipherEngine["hasContentCipher"] = (name, ivSize) => {
  const [, mode] = AES.exec(name) ?? [];
  return mode === "cbc" || (mode === "gcm" && ivSize >= MIN_NONCE);
};

export const decryptCbc: ContentCipherEngine["decryptCbc"] = ({ key, iv }, ciphertext) =>
  cbc(key, iv, { disablePadding: true }).decrypt(ciphertext);

/**
 * Decryption of the package takes only whole tags. GCM encrypts with the same stream of bytes, so
 * the ciphertext encrypted is the plaintext; the plaintext encrypted has the whole tag.
 */
export const decryptGcm: ContentCipherEngine["decryptGcm"] = (
  { key, iv },
  ciphertext,
  { tag, additional },
) => {
  const size = ciphertext.byteLength;
  const plaintext = gcm(key, iv, additional).encrypt(ciphertext).subarray(0, size) as Bytes;
  const again = gcm(key, iv, additional).encrypt(plaintext);
  const expected = again.subarray(size, size + tag.byteLength);
  if (tag.byteLength <= TAG_SIZE && isEqual(tag, expected)) return plaintext;
  plaintext.fill(0);
  return undefined;
};

export const encryptGcm: ContentCipherEngine["encryptGcm"] = ({ key, iv }, plaintext) =>
  gcm(key, iv).encrypt(plaintext);
