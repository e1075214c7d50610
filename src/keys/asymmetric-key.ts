import { fromBase64, fromUtf8, toBase64url } from "#engine/bytes";
import { createHash } from "#engine/hash";
import {
  hasNamedCurve,
  fromKeyObject as importKeyObject,
  isSoundPrivateKey,
  type PlatformKey,
  publicJwk,
} from "#engine/keys";
import { OcicryptError, unrecognizedKey } from "../errors.js";
import { MAX_KEYS_PER_FILE, MAX_RSA_BITS } from "../spec/limits.js";

/** One half of an RSA, EC or other key pair, with the properties in its JWK. */
export interface AsymmetricKey {
  key: PlatformKey;
  kid?: string;
  alg?: string;
  /** Whether it comes from a JWK Set, which can contain keys for other uses: RFC 7517 section 5. */
  isOfSet?: boolean;
}

/** The smallest RSA key that is accepted, in bits: RFC 7518 section 4.3 and NIST SP 800-57. */
export const MIN_RSA_BITS = 2048;

/** Go's crypto/rsa rejects larger exponents (rsa.go, checkPub), so no peer could use the key. */
const MAX_RSA_EXPONENT = 2n ** 31n - 1n;

/** The JOSE names of the curves of RFC 7518 section 6.2.1.1. */
const CURVES: ReadonlyMap<string | undefined, string> = /* @__PURE__ */ new Map([
  ["prime256v1", "P-256"],
  ["secp384r1", "P-384"],
  ["secp521r1", "P-521"],
]);

export function isRsa(key: PlatformKey): boolean {
  return key.asymmetricKeyType === "rsa";
}

/** Returns the length of the modulus in bits; 0 for keys that are not RSA. */
export function rsaBits(key: PlatformKey): number {
  return key.asymmetricKeyDetails?.modulusLength ?? 0;
}

/** Returns the JOSE name of an EC key's curve; `undefined` for other curves and keys. */
export function curveOf(key: PlatformKey): string | undefined {
  return CURVES.get(key.asymmetricKeyDetails?.namedCurve);
}

/** Describes the type of a key for people, such as `RSA-2048` or `EC P-256`. */
export function describeKey(key: PlatformKey): string {
  if (isRsa(key)) return `RSA-${String(rsaBits(key))}`;
  const { namedCurve } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === "ec") return `EC ${curveOf(key) ?? namedCurve ?? "?"}`;
  return key.asymmetricKeyType ?? "unknown";
}

/**
 * Checks that an RSA key has a size that is accepted for wrapping keys.
 *
 * @param name the name of the key or its file in the message
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`
 */
export function requireRsaSize(key: PlatformKey, name: string): void {
  const bits = rsaBits(key);
  if (bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS) return;
  const range = `from ${String(MIN_RSA_BITS)} to ${String(MAX_RSA_BITS)} are supported`;
  throw new OcicryptError("KEY_UNSUPPORTED", `${name} has ${String(bits)} bits; ${range}`);
}

/**
 * Rejects public keys that OpenSSL reads but that protect nothing, or that peers reject: RSA keys
 * whose exponent is 1, even or larger than Go accepts, RSA keys with an even modulus, and EC keys
 * with their own curve parameters (RFC 5480 section 2.1.1 allows only named curves).
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`
 */
export function requireSoundKey(key: PlatformKey): void {
  if (isRsa(key)) {
    const { publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
    const isOdd = publicExponent % 2n === 1n;
    if (publicExponent < 3n || !isOdd || publicExponent > MAX_RSA_EXPONENT) {
      const range = "odd numbers from 3 to 2^31 - 1 are supported";
      throw new OcicryptError("KEY_UNSUPPORTED", `the RSA key has an unsafe exponent; ${range}`);
    }
    const { n } = publicJwk(key) ?? {};
    if (n !== undefined && ((fromBase64(n).at(-1) ?? 0) & 1) === 0) {
      throw new OcicryptError("KEY_UNSUPPORTED", "the RSA key has an even modulus");
    }
  } else if (key.asymmetricKeyType === "ec" && !hasNamedCurve(key)) {
    const message = "the EC key describes its curve by parameters; only named curves are supported";
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
}

/**
 * Rejects an EC private key whose number is longer than its curve's order.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`
 */
export function requireSoundPrivateKey(key: PlatformKey): PlatformKey {
  if (key.asymmetricKeyType !== "ec" || isSoundPrivateKey(key)) return key;
  throw unrecognizedKey("its private number does not fit its curve");
}

/**
 * Returns the JWK thumbprint (RFC 7638) of an RSA or EC key with SHA-256, which is the same for
 * both halves; `undefined` for a `CryptoKey` in a browser.
 */
export function thumbprint(key: PlatformKey): string | undefined {
  const jwk = publicJwk(key);
  if (jwk === undefined) return undefined;
  const { crv, e, kty, n, x, y } = jwk;
  // Section 3.2: the required members in the order of their names. JSON omits undefined members,
  // which this type of key does not have.
  const json = fromUtf8(JSON.stringify({ crv, e, kty, n, x, y }));
  return toBase64url(createHash("sha256").update(json).digest());
}

/** The names of RFC 7518 section 4.1 for the hashes of RSA-OAEP in Web Cryptography. */
const OAEP_NAMES: ReadonlyMap<string | undefined, string> = /* @__PURE__ */ new Map([
  ["SHA-1", "RSA-OAEP"],
  ["SHA-256", "RSA-OAEP-256"],
  ["SHA-384", "RSA-OAEP-384"],
  ["SHA-512", "RSA-OAEP-512"],
]);

/** Returns a key with the algorithm and the operations of a `CryptoKey`. */
export function fromKeyObject(value: unknown): AsymmetricKey & { operations?: readonly string[] } {
  const { hash, ...key } = importKeyObject(value);
  const alg = OAEP_NAMES.get(hash);
  return { ...key, ...(alg !== undefined && { alg }) };
}

/** @returns {@link OcicryptError} `KEY_UNSUPPORTED` */
export function tooManyKeys(): OcicryptError {
  const message = `the file holds more than ${String(MAX_KEYS_PER_FILE)} keys`;
  return new OcicryptError("KEY_UNSUPPORTED", message);
}

/** @returns {@link OcicryptError} `KEY_UNSUPPORTED` */
export function notAsymmetric(): OcicryptError {
  return new OcicryptError("KEY_UNSUPPORTED", "this is a symmetric key; a key pair is needed");
}

/** @returns {@link OcicryptError} `PASSWORD_WRONG` */
export function wrongPassword(cause?: unknown): OcicryptError {
  const message = "the password does not open the private key";
  return new OcicryptError("PASSWORD_WRONG", message, cause === undefined ? {} : { cause });
}
