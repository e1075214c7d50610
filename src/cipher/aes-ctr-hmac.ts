import { createAesCtr } from "#engine/cipher";
import { isEqual, randomBytes } from "#engine/hash";
import { type HeldKey, hmacHere, holdKey, type RunningHash } from "#engine/passes";
import type { Bytes } from "../engine/types.js";

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
  /** Encrypts the next bytes, into new memory. The calls must follow each other. */
  update(plaintext: Uint8Array): Promise<Bytes>;
  /** Returns the HMAC of the whole ciphertext, and ends the encryptor. */
  finish(): Promise<Uint8Array>;
}

export interface Decryptor {
  /** Decrypts the next bytes, into new memory. They are unverified until {@link verify}. */
  update(ciphertext: Uint8Array): Promise<Bytes>;
  /** Whether the whole ciphertext has this HMAC; ends the decryptor. */
  verify(hmac: Uint8Array): Promise<boolean>;
}

/**
 * Encrypts with AES-256-CTR, and computes HMAC-SHA256 over the ciphertext alone with the same key.
 * The secret may be wiped afterwards.
 *
 * @param hmac starts the HMAC with the first bytes, on this thread by default
 */
export function createEncryptor(
  { symkey, nonce }: CipherSecret,
  hmac: (key: HeldKey) => RunningHash = hmacHere,
): Encryptor {
  const cipher = createAesCtr(symkey, nonce);
  const key = holdKey(symkey);
  let mac: RunningHash | undefined;
  return {
    async update(plaintext) {
      const ciphertext = await cipher.update(plaintext);
      mac ??= hmac(key);
      mac.update(ciphertext);
      return ciphertext;
    },
    finish: () => (mac ??= hmac(key)).digest(),
  };
}

/** The inverse of {@link createEncryptor}. */
export function createDecryptor(
  { symkey, nonce }: CipherSecret,
  hmac: (key: HeldKey) => RunningHash = hmacHere,
): Decryptor {
  const cipher = createAesCtr(symkey, nonce);
  const key = holdKey(symkey);
  let mac: RunningHash | undefined;
  return {
    async update(ciphertext) {
      mac ??= hmac(key);
      mac.update(ciphertext);
      return cipher.update(ciphertext);
    },
    async verify(expected) {
      return isEqual(await (mac ??= hmac(key)).digest(), expected);
    },
  };
}
