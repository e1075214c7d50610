import type { CryptoKey, KeyEngine, PublicJwk } from "../types.js";
import { CURVES, isOnCurve } from "./curves.js";
import {
  ecFrom,
  ecKey,
  importDer,
  invalid,
  type Jwk,
  numberOf,
  type PlatformKey,
  RSA_MEMBERS,
  rsaFrom,
} from "./key-der.js";
import { toBigInt, toBytes } from "./numbers.js";

export { importDer, type PlatformKey };

type Engine = KeyEngine<PlatformKey>;

export const legacyPem: Engine["legacyPem"] = {
  async load() {
    const { decryptLegacyPem } = await import("./legacy-pem.js");
    return (encrypted, password) => {
      const { der, form } = decryptLegacyPem(encrypted, password);
      try {
        return importDer(der, form);
      } finally {
        der.fill(0);
      }
    };
  },
};

export const importJwk: Engine["importJwk"] = (jwk, half) => {
  const names = jwk.kty === "RSA" ? RSA_MEMBERS : (["crv", "x", "y", "d"] as const);
  const wanted = half === "public" ? names.filter((name) => "nexycrv".includes(name)) : names;
  const members = wanted.map((name) => [name, textOf(jwk[name])] as const);
  const material = { kty: jwk.kty === "RSA" ? "RSA" : "EC", ...Object.fromEntries(members) };
  if (material.kty === "RSA") return rsaFrom(material, half);
  const curve = CURVES.find(({ name }) => name === jwk.crv);
  if (curve === undefined && jwk.crv === "secp256k1") return ecKey(jwk.crv, material, half);
  if (curve === undefined) throw invalid();
  const [x, y] = [numberOf(textOf(jwk.x)), numberOf(textOf(jwk.y))];
  if (!isOnCurve(curve, { x, y })) throw invalid();
  const d = half === "private" ? numberOf(textOf(jwk.d)) : undefined;
  if (d !== undefined && (d === 0n || d >= curve.order)) throw invalid();
  const point = new Uint8Array(2 * curve.size + 1);
  point[0] = 4;
  point.set(toBytes(x, curve.size), 1);
  point.set(toBytes(y, curve.size), curve.size + 1);
  return ecFrom(curve, point, d);
};

function textOf(value: unknown): string {
  if (typeof value === "string" && /^[\w+/-]+=*$/.test(value)) return value;
  throw invalid();
}

export const isKeyObject: Engine["isKeyObject"] = (value) =>
  Object.prototype.toString.call(value) === "[object CryptoKey]";

export const fromKeyObject: Engine["fromKeyObject"] = (value) => {
  const key = value as CryptoKey;
  const { type, usages } = key;
  const algorithm = key.algorithm as Partial<RsaAlgorithm & EcAlgorithm> & { name: string };
  if (type === "secret") return { key: { type } };
  if (algorithm.namedCurve !== undefined) {
    return { key: ecKey(algorithm.namedCurve, key, type), operations: usages };
  }
  const { modulusLength = 0, publicExponent = new Uint8Array(), hash } = algorithm;
  const details = { modulusLength, publicExponent: toBigInt(publicExponent) };
  const isRsa = algorithm.name.startsWith("RSA");
  const named = isRsa
    ? { asymmetricKeyType: "rsa", asymmetricKeyDetails: details, material: key }
    : { asymmetricKeyType: algorithm.name.toLowerCase() };
  return {
    key: { type, ...named },
    operations: usages,
    ...(algorithm.name === "RSA-OAEP" && hash !== undefined && { hash: hash.name }),
  };
};

interface RsaAlgorithm {
  modulusLength: number;
  publicExponent: Uint8Array;
  hash: { name: string };
}

interface EcAlgorithm {
  namedCurve: string;
}

/** Import has checked it. */
export const isSoundPrivateKey: Engine["isSoundPrivateKey"] = () => true;

export const hasNamedCurve: Engine["hasNamedCurve"] = ({ asymmetricKeyDetails }) =>
  asymmetricKeyDetails?.namedCurve !== undefined;

export const keyId: Engine["keyId"] = (key) => {
  const { kty, n, e, crv, x, y } = publicJwk(key) ?? {};
  return JSON.stringify([key.asymmetricKeyType, kty, n, e, crv, x, y]);
};

export const publicJwk: Engine["publicJwk"] = ({ material }) => {
  if (material === undefined || isKeyObject(material)) return undefined;
  const { kty, n, e, crv, x, y } = material as Jwk;
  return { kty, n, e, crv, x, y };
};

export function joseKey({ material }: PlatformKey): Jwk | CryptoKey {
  if (material === undefined) throw invalid();
  return material;
}

export const agree: Engine["agree"] = async (key, { kty, crv, x, y }: PublicJwk) => {
  const algorithm = { name: "ECDH", namedCurve: crv ?? "" };
  const { subtle } = crypto;
  try {
    const jwk = { kty, crv, x, y } as Jwk;
    const publicKey = await subtle.importKey("jwk", jwk, algorithm, false, []);
    const material = joseKey(key);
    const privateKey = isKeyObject(material)
      ? (material as CryptoKey)
      : await subtle.importKey("jwk", material as Jwk, algorithm, false, ["deriveBits"]);
    const size = CURVES.find(({ name }) => name === crv)?.size ?? 0;
    // P-521 has 521 bits, of 66 bytes.
    const ecdh = { name: "ECDH", public: publicKey };
    return new Uint8Array(await subtle.deriveBits(ecdh, privateKey, 8 * size));
  } catch {
    return undefined;
  }
};

export const hasAes192: Engine["hasAes192"] = () =>
  importAesKw(new Uint8Array(24)).then(
    () => true,
    () => false,
  );

function importAesKw(raw: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", raw, "AES-KW", false, ["unwrapKey"]);
}

export const isWrappedWith: Engine["isWrappedWith"] = async (wrappingKey, wrapped) => {
  const raw = Uint8Array.from(wrappingKey);
  let key: CryptoKey;
  try {
    key = await importAesKw(raw);
  } catch {
    return true;
  } finally {
    raw.fill(0);
  }
  try {
    // A key for an HMAC may have any length.
    const hmac = { name: "HMAC", hash: "SHA-256" };
    await crypto.subtle.unwrapKey("raw", Uint8Array.from(wrapped), key, "AES-KW", hmac, false, [
      "sign",
    ]);
    return true;
  } catch {
    return false;
  }
};
