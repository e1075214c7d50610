import { concat, fromBase64, fromLatin1 } from "#engine/bytes";
import { createHash } from "#engine/hash";
import { agree, hasAes192, type PlatformKey } from "#engine/keys";
import { type ErrorCode, OcicryptError, shown } from "../../errors.js";
import {
  curveOf,
  describeKey,
  isRsa,
  requireRsaSize,
  rsaBits,
  type AsymmetricKey,
} from "../../keys/asymmetric-key.js";
import type { JweRecipient } from "./message.js";

const RSA_ALGORITHMS: readonly string[] = ["RSA-OAEP", "RSA-OAEP-256"];

/** The sizes of the keys of AES key wrap, in bytes: RFC 7518 section 4.6. */
const EC_ALGORITHMS: ReadonlyMap<string, number> = /* @__PURE__ */ new Map([
  ["ECDH-ES+A128KW", 16],
  ["ECDH-ES+A192KW", 24],
  ["ECDH-ES+A256KW", 32],
]);

/** The key algorithms that every peer since ocicrypt 1.2 reads; RFC 7518 section 4.1. */
export const KEY_ALGORITHMS: readonly string[] = [...RSA_ALGORITHMS, ...EC_ALGORITHMS.keys()];

/**
 * The sizes of the content's keys in bytes, for all algorithms of RFC 7518 section 5.1, which Go
 * reads.
 */
export const CONTENT_ALGORITHMS: ReadonlyMap<string, number> = /* @__PURE__ */ new Map([
  ["A128CBC-HS256", 32],
  ["A192CBC-HS384", 48],
  ["A256CBC-HS512", 64],
  ["A128GCM", 16],
  ["A192GCM", 24],
  ["A256GCM", 32],
]);

/**
 * Returns the algorithm to wrap with: the JWK's own, or otherwise the one that Go chooses.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`
 */
export function keyAlgorithm({ key, alg }: AsymmetricKey): string {
  const fitting = isRsa(key) ? RSA_ALGORITHMS : [...EC_ALGORITHMS.keys()];
  // Go writes RSA-OAEP with SHA-1, and Rust reads no other RSA algorithm.
  if (alg === undefined) return isRsa(key) ? "RSA-OAEP" : "ECDH-ES+A256KW";
  if (fitting.includes(alg)) return alg;
  const message = `the key's "alg" is ${shown(alg)}, not one of ${fitting.join(", ")}`;
  throw new OcicryptError("KEY_UNSUPPORTED", message);
}

/** Whether an algorithm uses AES with 192 bits and the platform lacks it. */
export async function isMissing(algorithm: string): Promise<boolean> {
  return algorithm.includes("A192") && !(await hasAes192());
}

export function noAes192(code: ErrorCode, algorithm: string): OcicryptError {
  return new OcicryptError(code, `${algorithm} needs AES-192, which this runtime lacks`);
}

/** @throws {@link OcicryptError} `KEY_UNSUPPORTED` for keys that no JWE recipient can have */
export function requireJweKey(key: PlatformKey): void {
  if (isRsa(key)) {
    requireRsaSize(key, "the RSA key");
    return;
  }
  if (key.asymmetricKeyType === "ec" && curveOf(key) !== undefined) return;
  const message = `JWE needs an RSA key or an EC key on P-256, P-384 or P-521, not ${describeKey(key)}`;
  throw new OcicryptError("KEY_UNSUPPORTED", message);
}

/**
 * Skips keys of a JWK Set that have other uses, such as signing, if at least one other key is left.
 * Any other key that cannot be used is rejected, because skipping it would drop a recipient.
 */
export function mapUsable<K extends object, T>(keys: readonly K[], use: (key: K) => T): T[] {
  const used: T[] = [];
  let refusal: OcicryptError | undefined;
  for (const key of keys) {
    try {
      used.push(use(key));
    } catch (error) {
      const isOfSet = "isOfSet" in key && key.isOfSet === true;
      if (!(error instanceof OcicryptError) || !isOfSet) throw error;
      refusal ??= error;
    }
  }
  if (used.length === 0 && refusal !== undefined) throw refusal;
  return used;
}

/** Whether a recipient with this algorithm, and this curve if it names one, can have this key. */
export function algorithmFits(key: PlatformKey, { algorithm, crv }: JweRecipient): boolean {
  if (isRsa(key)) return RSA_ALGORITHMS.includes(algorithm);
  return EC_ALGORITHMS.has(algorithm) && crv === curveOf(key);
}

/**
 * Whether a recipient's encrypted key has the size that its algorithm produces: the size of the
 * modulus (RFC 8017 section 7.1.1), or 8 bytes more than the content's key (RFC 3394 section 2.2).
 */
export function sizeFits(key: PlatformKey, { enc, encryptedKey }: JweRecipient): boolean {
  const size = CONTENT_ALGORITHMS.get(enc ?? "");
  if (size === undefined) return false;
  const expected = isRsa(key) ? Math.ceil(rsaBits(key) / 8) : size + 8;
  return Math.floor((encryptedKey.length * 3) / 4) === expected;
}

/**
 * Derives the key that wraps the content's key: RFC 7518 section 4.6.2. One round is enough for
 * AES. The wrapping key alone shows whether a recipient matches, without the rest of the message.
 *
 * @returns `undefined` for an ephemeral key that is not on the curve
 */
export async function deriveWrappingKey(
  key: PlatformKey,
  recipient: JweRecipient,
): Promise<Uint8Array | undefined> {
  const { algorithm, epk = {}, apu = "", apv = "" } = recipient;
  const size = EC_ALGORITHMS.get(algorithm) ?? 0;
  const field = (bytes: Uint8Array): Uint8Array => concat([uint32(bytes.byteLength), bytes]);
  const secret = await agree(key, epk);
  if (secret === undefined) return undefined;
  const derived = createHash("sha256")
    .update(uint32(1))
    .update(secret)
    .update(field(fromLatin1(algorithm)))
    .update(field(fromBase64(apu)))
    .update(field(fromBase64(apv)))
    .update(uint32(size * 8))
    .digest();
  secret.fill(0);
  return derived.subarray(0, size);
}

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}
