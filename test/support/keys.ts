import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
} from "node:crypto";

export interface KeyPair {
  publicKey: KeyObject;
  privateKey: KeyObject;
}

export const ecPair = (namedCurve = "P-256"): KeyPair => generateKeyPairSync("ec", { namedCurve });
export const rsaPair = (modulusLength = 2048): KeyPair =>
  generateKeyPairSync("rsa", { modulusLength });

/** Makes key pairs that no JWE recipient can have, by name. */
export const UNFIT_PAIRS: Record<string, () => KeyPair> = {
  "RSA of 1024 bits": () => rsaPair(1024),
  "RSA of 2040 bits": () => rsaPair(2040),
  "RSA-PSS": () => generateKeyPairSync("rsa-pss", { modulusLength: 2048 }),
  "EC on secp256k1": () => ecPair("secp256k1"),
  "EC on P-224": () => ecPair("secp224r1"),
  "EC on brainpoolP256r1": () => ecPair("brainpoolP256r1"),
  Ed25519: () => generateKeyPairSync("ed25519"),
  X25519: () => generateKeyPairSync("x25519"),
  Ed448: () => generateKeyPairSync("ed448"),
  DSA: () => generateKeyPairSync("dsa", { modulusLength: 1024, divisorLength: 160 }),
};

export const spkiPem = (key: KeyObject): string =>
  key.export({ type: "spki", format: "pem" }).toString();
export const pkcs8Pem = (key: KeyObject): string =>
  key.export({ type: "pkcs8", format: "pem" }).toString();

/** A key that was read, as Node.js has it: the engine for browsers keeps a JWK instead. */
export function nodeKey(key: KeyObject): KeyObject {
  const { material } = key as { material?: JsonWebKey };
  if (material === undefined) return key;
  const input = { key: material, format: "jwk" } as const;
  return key.type === "public" ? createPublicKey(input) : createPrivateKey(input);
}
