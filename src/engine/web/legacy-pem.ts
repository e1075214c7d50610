import { cbc } from "@noble/ciphers/aes.js";
import type { KeyForm, LegacyPem } from "../types.js";
import { missingCipher, oldCipher } from "../unsupported.js";
import { concat, fromBase64, fromHex } from "./bytes.js";
import { createAnyHash } from "./any-hash.js";

const LEGACY = /^-----BEGIN ([A-Z ]+)-----\n.*\nDEK-Info: [^,]*,([0-9A-Fa-f]*)\n\n([^-]*)/;

/** The ciphers that OpenSSL 3 has only in its legacy provider. */
const OLD = /^(?:BF|CAST5?|DES|IDEA|RC[245]|SEED)-(?!EDE)/;

/**
 * Decrypts PEM as in RFC 1421 section 4.6, with AES in CBC; Web Cryptography lacks 192 bits in
 * Chromium.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED` for another cipher
 * @throws {Error} if the password is wrong
 */
export function decryptLegacyPem(
  { cipher, pem }: LegacyPem,
  password: Uint8Array,
): { der: Uint8Array; form: KeyForm } {
  const [, bits] = /^AES-(128|192|256)-CBC$/.exec(cipher) ?? [];
  if (bits === undefined) throw OLD.test(cipher) ? oldCipher(cipher) : missingCipher(cipher);
  const [, label = "", ivText = "", body = ""] = LEGACY.exec(pem) ?? [];
  const iv = fromHex(ivText);
  const key = deriveKey(password, iv.subarray(0, 8), Number(bits) / 8);
  try {
    const der = cbc(key, iv).decrypt(fromBase64(body));
    const form = label === "RSA PRIVATE KEY" ? "pkcs1-private" : "sec1";
    return { der, form: label === "PRIVATE KEY" ? "pkcs8" : form };
  } finally {
    key.fill(0);
  }
}

/** EVP_BytesToKey of OpenSSL with MD5 and one round. */
function deriveKey(password: Uint8Array, salt: Uint8Array, size: number): Uint8Array {
  let derived: Uint8Array = new Uint8Array();
  let block: Uint8Array = new Uint8Array();
  while (derived.byteLength < size) {
    block = createAnyHash("md5").update(block).update(password).update(salt).digest();
    derived = concat([derived, block]);
  }
  return derived.subarray(0, size);
}
