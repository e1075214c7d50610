import { pbkdf2Async } from "@noble/hashes/pbkdf2.js";
import { scryptAsync } from "@noble/hashes/scrypt.js";
import type { Bytes, CryptoKey, FileCipher, HashName, KeyCipherEngine } from "../types.js";
import { HASHES } from "./any-hash.js";
import { missingCipher } from "../unsupported.js";
import { concat } from "./bytes.js";

/** Bytes that no thread shares, as Web Cryptography requires. */
function own(bytes: Uint8Array): Bytes {
  return Uint8Array.from(bytes);
}

const CIPHER = /^aes-(?:128|192|256)-(cbc|ctr|gcm)$/;

export const hasCipher: KeyCipherEngine["hasCipher"] = (name) => CIPHER.test(name);

export const decryptFile: KeyCipherEngine["decryptFile"] = async (cipher, ciphertext) => {
  const [, mode] = CIPHER.exec(cipher.name) ?? [];
  if (mode === undefined) throw missingCipher(cipher.name);
  const name = `AES-${mode.toUpperCase()}`;
  const key = await importAes(cipher, name);
  const iv = own(cipher.iv);
  try {
    if (mode === "ctr") {
      const algorithm = { name, counter: iv, length: 128 };
      return new Uint8Array(await crypto.subtle.decrypt(algorithm, key, own(ciphertext)));
    }
    const whole =
      mode === "gcm" || cipher.isPadded
        ? concat([ciphertext, cipher.tag ?? new Uint8Array()])
        : concat([ciphertext, await paddingAfter(key, iv, ciphertext)]);
    return new Uint8Array(await crypto.subtle.decrypt({ name, iv }, key, whole));
  } catch {
    return undefined;
  }
};

async function importAes({ name, key }: FileCipher, algorithm: string): Promise<CryptoKey> {
  const raw = own(key);
  try {
    return await crypto.subtle.importKey("raw", raw, algorithm, false, ["encrypt", "decrypt"]);
  } catch (cause) {
    throw missingCipher(name, cause);
  } finally {
    raw.fill(0);
  }
}

/** Web Cryptography requires padding in CBC: a block of its own after ciphertext that has none. */
async function paddingAfter(key: CryptoKey, iv: Bytes, ciphertext: Uint8Array): Promise<Bytes> {
  const last = ciphertext.byteLength === 0 ? iv : own(ciphertext.subarray(-16));
  const algorithm = { name: "AES-CBC", iv: last };
  return new Uint8Array(await crypto.subtle.encrypt(algorithm, key, new Uint8Array()));
}

/** The hashes of Web Cryptography. */
const NAMES: ReadonlyMap<HashName, string> = /* @__PURE__ */ new Map([
  ["sha1", "SHA-1"],
  ["sha256", "SHA-256"],
  ["sha384", "SHA-384"],
  ["sha512", "SHA-512"],
]);

export const pbkdf2: KeyCipherEngine["pbkdf2"] = async (input, size) => {
  const { hash, password, salt, iterations } = input;
  const name = NAMES.get(hash);
  if (name === undefined) {
    return own(await pbkdf2Async(HASHES[hash], password, salt, { c: iterations, dkLen: size }));
  }
  const key = await crypto.subtle.importKey("raw", own(password), "PBKDF2", false, ["deriveBits"]);
  const algorithm = { name: "PBKDF2", hash: name, salt: own(salt), iterations };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, 8 * size));
};

export const scrypt: KeyCipherEngine["scrypt"] = async (input, size) => {
  const { password, salt, N, r, p, maxMemory } = input;
  return own(await scryptAsync(password, salt, { N, r, p, dkLen: size, maxmem: maxMemory }));
};
