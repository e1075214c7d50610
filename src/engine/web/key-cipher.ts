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

const CIPHER = /^aes-(128|192|256)-(cbc|ctr|gcm)$/;

export const hasCipher: KeyCipherEngine["hasCipher"] = (name) => CIPHER.test(name);

export const decryptFile: KeyCipherEngine["decryptFile"] = async (cipher, ciphertext) => {
  const [, bits, mode] = CIPHER.exec(cipher.name) ?? [];
  if (mode === undefined) throw missingCipher(cipher.name);
  const whole = concat([ciphertext, cipher.tag ?? new Uint8Array()]);
  // Outside of the try: a module that cannot be loaded must not look like a wrong password.
  const decrypt = bits === "192" ? await load192() : decryptWhole;
  try {
    return await decrypt(cipher, mode, whole);
  } catch {
    return undefined;
  }
};

async function decryptWhole(cipher: FileCipher, mode: string, whole: Bytes): Promise<Bytes> {
  const name = `AES-${mode.toUpperCase()}`;
  const raw = own(cipher.key);
  const key = await crypto.subtle
    .importKey("raw", raw, name, false, ["encrypt", "decrypt"])
    .finally(() => raw.fill(0));
  const iv = own(cipher.iv);
  if (mode === "ctr") {
    const algorithm = { name, counter: iv, length: 128 };
    return new Uint8Array(await crypto.subtle.decrypt(algorithm, key, whole));
  }
  const isPadded = mode === "gcm" || cipher.isPadded;
  const padded = isPadded ? whole : concat([whole, await paddingAfter(key, iv, whole)]);
  return new Uint8Array(await crypto.subtle.decrypt({ name, iv }, key, padded));
}

/** Web Cryptography lacks this size in Chromium. */
async function load192(): Promise<typeof decryptWhole> {
  const { cbc, ctr, gcm } = await import("@noble/ciphers/aes.js");
  // eslint-disable-next-line @typescript-eslint/require-await -- errors become rejections
  return async ({ key, iv, isPadded }, mode, whole) => {
    if (mode === "ctr") return ctr(key, iv).decrypt(whole);
    if (mode === "gcm") return gcm(key, iv).decrypt(whole);
    return cbc(key, iv, { disablePadding: !isPadded }).decrypt(whole);
  };
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
