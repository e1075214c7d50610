import * as crypto from "node:crypto";
import { promisify } from "node:util";
import type { KeyCipherEngine } from "../types.js";
import { missingCipher } from "../unsupported.js";

const TAG_SIZE = 16;

export const hasCipher: KeyCipherEngine["hasCipher"] = (name) =>
  crypto.getCipherInfo(name)?.ivLength !== undefined;

export const decryptFile: KeyCipherEngine["decryptFile"] = (cipher, ciphertext) => {
  const { tag, isPadded } = cipher;
  const decipher = createDecipher(cipher);
  const plaintext = Buffer.alloc(ciphertext.byteLength);
  try {
    if (tag !== undefined) (decipher as crypto.DecipherGCM).setAuthTag(tag);
    if (!isPadded) decipher.setAutoPadding(false);
    // Not Buffer.concat(), which would make another copy of a private key to wipe.
    const start = decipher.update(ciphertext);
    start.copy(plaintext);
    const size = start.byteLength;
    start.fill(0);
    const end = decipher.final();
    end.copy(plaintext, size);
    const whole = size + end.byteLength;
    end.fill(0);
    return plaintext.subarray(0, whole);
  } catch {
    plaintext.fill(0);
    return undefined;
  }
};

/** The key and the IV have the right sizes, so that only the cipher itself can be rejected. */
function createDecipher({ name, key, iv, tag }: Parameters<KeyCipherEngine["decryptFile"]>[0]) {
  try {
    const options = tag === undefined ? undefined : { authTagLength: TAG_SIZE };
    return crypto.createDecipheriv(name, key, iv, options as crypto.CipherGCMOptions);
  } catch (cause) {
    throw missingCipher(name, cause);
  }
}

export const pbkdf2: KeyCipherEngine["pbkdf2"] = (input, size) => {
  const { hash, password, salt, iterations } = input;
  return promisify(crypto.pbkdf2)(password, salt, iterations, size, hash);
};

export const scrypt: KeyCipherEngine["scrypt"] = (input, size) => {
  const { password, salt, N, r, p, maxMemory } = input;
  return new Promise((resolve, reject) => {
    crypto.scrypt(password, salt, size, { N, r, p, maxmem: maxMemory }, (error, key) => {
      // Bun passes undefined in place of null.
      if (error instanceof Error) reject(error);
      else resolve(key);
    });
  });
};
