import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";

/** The name of the only cipher there is, in the public options. */
export const CIPHER = "AES_256_CTR_HMAC_SHA256";
export const KEY_SIZE = 32;
/** The nonce is the whole first counter block, incremented as a 128-bit big-endian number. */
export const NONCE_SIZE = 16;
export const HMAC_SIZE = 32;

export interface CipherSecret {
  symkey: Uint8Array;
  nonce: Uint8Array;
}

/** A new random key and nonce for one layer. */
export function generateSecret(): CipherSecret {
  return { symkey: randomBytes(KEY_SIZE), nonce: randomBytes(NONCE_SIZE) };
}

export interface Encryptor {
  /** Encrypts the next bytes, into new memory. */
  update(plaintext: Uint8Array): Uint8Array<ArrayBuffer>;
  /** The HMAC of all ciphertext; ends the encryptor. */
  finish(): Uint8Array;
}

export interface Decryptor {
  /** Decrypts the next bytes, into new memory. They are not verified before {@link verify}. */
  update(ciphertext: Uint8Array): Uint8Array<ArrayBuffer>;
  /** Whether the HMAC of all ciphertext is the expected one; ends the decryptor. */
  verify(hmac: Uint8Array): boolean;
}

/** AES-256-CTR, with HMAC-SHA256 over the ciphertext and nothing else, both with the same key. */
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
