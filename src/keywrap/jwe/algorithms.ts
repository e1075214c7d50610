import type { KeyObject } from "node:crypto";
import { OcicryptError } from "../../errors.js";
import type { AsymmetricKey } from "../../keys/material.js";

const RSA_ALGORITHMS = ["RSA-OAEP", "RSA-OAEP-256"] as const;
const EC_ALGORITHMS = ["ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW"] as const;

/** The key algorithms that every peer since ocicrypt 1.2 reads; RFC 7518 section 4.1. */
export const KEY_ALGORITHMS: readonly string[] = [...RSA_ALGORITHMS, ...EC_ALGORITHMS];

/** All of RFC 7518 section 5.1, as Go reads them. */
export const CONTENT_ALGORITHMS: readonly string[] = [
  "A128CBC-HS256",
  "A192CBC-HS384",
  "A256CBC-HS512",
  "A128GCM",
  "A192GCM",
  "A256GCM",
];

const CURVES: ReadonlyMap<string | undefined, string> = /* @__PURE__ */ new Map([
  ["prime256v1", "P-256"],
  ["secp384r1", "P-384"],
  ["secp521r1", "P-521"],
]);

const MIN_RSA_BITS = 2048;

/**
 * The algorithm to wrap with: the JWK's own, or what Go chooses for a key that names none.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`
 */
export function keyAlgorithm({ key, alg }: AsymmetricKey): string {
  const fitting: readonly string[] = isRsa(key) ? RSA_ALGORITHMS : EC_ALGORITHMS;
  // RSA-OAEP with SHA-1 is what Go writes and the only RSA algorithm that the Rust side reads.
  if (alg === undefined) return isRsa(key) ? "RSA-OAEP" : "ECDH-ES+A256KW";
  if (fitting.includes(alg)) return alg;
  const message = `the JWK's "alg" is ${JSON.stringify(alg.slice(0, 40))}, not one of ${fitting.join(", ")}`;
  throw new OcicryptError("KEY_UNSUPPORTED", message);
}

/** @throws {@link OcicryptError} `KEY_UNSUPPORTED` for keys that no JWE recipient can have */
export function requireJweKey(key: KeyObject): void {
  if (isRsa(key)) {
    const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
    if (bits >= MIN_RSA_BITS) return;
    const message = `the RSA key has ${String(bits)} bits, at least ${String(MIN_RSA_BITS)} are needed`;
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
  if (key.asymmetricKeyType === "ec" && curve(key) !== undefined) return;
  const named = key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType ?? "unknown";
  throw new OcicryptError("KEY_UNSUPPORTED", `a JWE recipient can not have a key of type ${named}`);
}

/**
 * Passes over what a JWK Set has for other uses, such as signing, as long as one key is left; any
 * other key that can not be used is refused, lest a recipient be dropped.
 */
export function mapUsable<T>(keys: readonly AsymmetricKey[], use: (key: AsymmetricKey) => T): T[] {
  const used: T[] = [];
  let refusal: OcicryptError | undefined;
  for (const key of keys) {
    try {
      used.push(use(key));
    } catch (error) {
      if (!(error instanceof OcicryptError) || key.isOfSet !== true) throw error;
      refusal ??= error;
    }
  }
  if (used.length === 0 && refusal !== undefined) throw refusal;
  return used;
}

/** Whether a recipient with this algorithm, and this curve if it names one, can have this key. */
export function algorithmFits(key: KeyObject, algorithm: string, crv: string | undefined): boolean {
  if (isRsa(key)) return (RSA_ALGORITHMS as readonly string[]).includes(algorithm);
  return (EC_ALGORITHMS as readonly string[]).includes(algorithm) && crv === curve(key);
}

/** A key's type for people, e.g. `RSA-2048` or `EC P-256`. */
export function describeKey(key: KeyObject): string {
  if (isRsa(key)) return `RSA-${String(key.asymmetricKeyDetails?.modulusLength ?? "?")}`;
  return `EC ${curve(key) ?? "?"}`;
}

function isRsa(key: KeyObject): boolean {
  return key.asymmetricKeyType === "rsa";
}

function curve(key: KeyObject): string | undefined {
  return CURVES.get(key.asymmetricKeyDetails?.namedCurve);
}
