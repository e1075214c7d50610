import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";

export const KEY_SIZE = 32;
/** The nonce is the whole first counter block, incremented as a 128-bit big-endian number. */
export const NONCE_SIZE = 16;
export const HMAC_SIZE = 32;

export interface CipherSecret {
  symkey: Uint8Array;
  nonce: Uint8Array;
}

/** Creates a random key and nonce for one layer. */
export function generateSecret(): CipherSecret {
  return { symkey: randomBytes(KEY_SIZE), nonce: randomBytes(NONCE_SIZE) };
}

export interface Encryptor {
  /** Encrypts the next bytes, into new memory. */
  update(plaintext: Uint8Array): Uint8Array<ArrayBuffer>;
  /** Returns the HMAC of the whole ciphertext, and ends the encryptor. */
  finish(): Uint8Array;
}

export interface Decryptor {
  /** Decrypts the next bytes, into new memory. They are unverified until {@link verify}. */
  update(ciphertext: Uint8Array): Uint8Array<ArrayBuffer>;
  /** Whether the whole ciphertext has this HMAC; ends the decryptor. */
  verify(hmac: Uint8Array): boolean;
}

/**
 * Encrypts with AES-256-CTR, and computes HMAC-SHA256 over the ciphertext alone with the same key.
 */
export function createEncryptor({ symkey, nonce }: CipherSecret): Encryptor {
  const cipher = createCipheriv("aes-256-ctr", symkey, nonce);
  const mac = createHmac("sha256", symkey);
  return {
    update(plaintext) {
      const ciphertext = cipher.update(plaintext);
      mac.update(ciphertext);
      return ciphertext;
    },
    finish: () => mac.digest(),
  };
}

/** The inverse of {@link createEncryptor}. */
export function createDecryptor({ symkey, nonce }: CipherSecret): Decryptor {
  const cipher = createDecipheriv("aes-256-ctr", symkey, nonce);
  const mac = createHmac("sha256", symkey);
  return {
    update(ciphertext) {
      mac.update(ciphertext);
      return cipher.update(ciphertext);
    },
    verify(hmac) {
      const actual = mac.digest();
      return actual.byteLength === hmac.byteLength && timingSafeEqual(actual, hmac);
    },
  };
}
