import * as crypto from "node:crypto";
import { types } from "node:util";
import { errno } from "../../errors.js";
import type { KeyEngine, OpenLegacyPem } from "../types.js";
import { missingCipher, oldCipher } from "../unsupported.js";

export type PlatformKey = crypto.KeyObject;

type Engine = KeyEngine<PlatformKey>;

const TYPES = {
  pkcs8: "pkcs8",
  "pkcs1-private": "pkcs1",
  sec1: "sec1",
  spki: "spki",
  "pkcs1-public": "pkcs1",
} as const;

export const importDer: Engine["importDer"] = (der, form) => {
  const key = Buffer.from(der.buffer, der.byteOffset, der.byteLength);
  switch (form) {
    case "certificate":
      return certificateKey(new crypto.X509Certificate(key));
    case "spki":
    case "pkcs1-public":
      return crypto.createPublicKey({ key, format: "der", type: TYPES[form] });
    default:
      return crypto.createPrivateKey({ key, format: "der", type: TYPES[form] });
  }
};

/**
 * Reads the key again from its SPKI: the key that workerd makes from a certificate cannot be exported
 * as a JWK, and equals no other key.
 */
function certificateKey({ publicKey }: crypto.X509Certificate): PlatformKey {
  const key = publicKey.export({ type: "spki", format: "der" });
  return crypto.createPublicKey({ key, type: "spki", format: "der" });
}

export const importJwk: Engine["importJwk"] = (jwk, half) => {
  const input = { key: { ...jwk }, format: "jwk" } as const;
  return half === "public" ? crypto.createPublicKey(input) : crypto.createPrivateKey(input);
};

const openLegacyPem: OpenLegacyPem<PlatformKey> = ({ cipher, pem }, password) => {
  const passphrase = Buffer.from(password.buffer, password.byteOffset, password.byteLength);
  try {
    return crypto.createPrivateKey({ key: pem, format: "pem", passphrase });
  } catch (cause) {
    if (cipher === "DES-CBC" || errno(cause) === "ERR_OSSL_EVP_UNSUPPORTED")
      throw oldCipher(cipher);
    // Deno has AES with 192 bits, but does not list it.
    const isOffered =
      cipher.startsWith("AES-") || crypto.getCiphers().includes(cipher.toLowerCase());
    throw isOffered ? cause : missingCipher(cipher, cause);
  }
};

export const legacyPem: Engine["legacyPem"] = { open: openLegacyPem };

export const isKeyObject: Engine["isKeyObject"] = (value) =>
  types.isKeyObject(value) || types.isCryptoKey(value);

export const fromKeyObject: Engine["fromKeyObject"] = (value) => {
  if (types.isKeyObject(value)) return { key: value };
  const cryptoKey = value as crypto.webcrypto.CryptoKey;
  const { hash } = cryptoKey.algorithm as { hash?: { name: string } };
  return {
    key: crypto.KeyObject.from(cryptoKey),
    operations: cryptoKey.usages,
    ...(cryptoKey.algorithm.name === "RSA-OAEP" && hash !== undefined && { hash: hash.name }),
  };
};

/**
 * OpenSSL imports an EC key whose number is longer than its curve's order. Exporting it as a JWK,
 * as jose does, ends the process with a failed assertion (EncodeBignum in
 * src/crypto/crypto_util.cc of Node.js), whereas exporting it as SEC1 only fails.
 */
export const isSoundPrivateKey: Engine["isSoundPrivateKey"] = (key) => {
  try {
    key.export({ type: "sec1", format: "der" }).fill(0);
    return true;
  } catch {
    return false;
  }
};

/** OBJECT IDENTIFIER: X.690 section 8.19. */
const OBJECT_IDENTIFIER = 0x06;

/**
 * For named curves, the algorithm parameters of SubjectPublicKeyInfo are an OBJECT IDENTIFIER. They
 * follow the identifier of EC keys, 1.2.840.10045.2.1.
 */
export const hasNamedCurve: Engine["hasNamedCurve"] = (key) => {
  const spki = publicHalf(key).export({ type: "spki", format: "der" });
  const ecPublicKey = Buffer.from("06072a8648ce3d0201", "hex");
  const at = spki.indexOf(ecPublicKey);
  return at >= 0 && spki[at + ecPublicKey.byteLength] === OBJECT_IDENTIFIER;
};

function publicHalf(key: PlatformKey): PlatformKey {
  return key.type === "private" ? crypto.createPublicKey(key) : key;
}

const keyIds = /* @__PURE__ */ new WeakMap<PlatformKey, string>();

/** Kept for each key, because the export takes as long as reading a key. */
export const keyId: Engine["keyId"] = (key) => {
  const known = keyIds.get(key);
  if (known !== undefined) return known;
  const id = publicHalf(key).export({ type: "spki", format: "der" }).toString("base64");
  keyIds.set(key, id);
  return id;
};

export const publicJwk: Engine["publicJwk"] = (key) => publicHalf(key).export({ format: "jwk" });

export function joseKey(key: PlatformKey): PlatformKey {
  return key;
}

export const agree: Engine["agree"] = (privateKey, { kty, crv, x, y }) => {
  try {
    const jwk = { kty, crv, x, y } as crypto.JsonWebKey;
    const publicKey = crypto.createPublicKey({ key: jwk, format: "jwk" });
    return crypto.diffieHellman({ privateKey, publicKey });
  } catch {
    return undefined;
  }
};

export const hasAes192: Engine["hasAes192"] = () => true;

export const isWrappedWith: Engine["isWrappedWith"] = (wrappingKey, wrapped) => {
  const name = `id-aes${String(wrappingKey.byteLength * 8)}-wrap`;
  let decipher: crypto.Decipher;
  try {
    decipher = crypto.createDecipheriv(name, wrappingKey, Buffer.alloc(8, 0xa6));
  } catch {
    return true;
  }
  try {
    decipher.update(wrapped).fill(0);
    decipher.final();
    return true;
  } catch {
    return false;
  }
};
