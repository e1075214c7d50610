import { createHash, createPublicKey, KeyObject, type webcrypto } from "node:crypto";
import { types } from "node:util";
import { OcicryptError } from "../errors.js";
import { MAX_KEYS_PER_FILE, MAX_RSA_BITS } from "../spec/limits.js";
import { OBJECT_IDENTIFIER, readElements, readOnly, SEQUENCE } from "./der.js";

/** One half of an RSA, EC or other key pair, with the properties in its JWK. */
export interface AsymmetricKey {
  key: KeyObject;
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

export function isRsa(key: KeyObject): boolean {
  return key.asymmetricKeyType === "rsa";
}

/** Returns the length of the modulus in bits; 0 for keys that are not RSA. */
export function rsaBits(key: KeyObject): number {
  return key.asymmetricKeyDetails?.modulusLength ?? 0;
}

/** Returns the JOSE name of an EC key's curve; `undefined` for other curves and keys. */
export function curveOf(key: KeyObject): string | undefined {
  return CURVES.get(key.asymmetricKeyDetails?.namedCurve);
}

/** Describes the type of a key for people, such as `RSA-2048` or `EC P-256`. */
export function describeKey(key: KeyObject): string {
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
export function requireRsaSize(key: KeyObject, name: string): void {
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
export function requireSoundKey(key: KeyObject): void {
  if (isRsa(key)) {
    const { publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
    const isOdd = publicExponent % 2n === 1n;
    if (publicExponent < 3n || !isOdd || publicExponent > MAX_RSA_EXPONENT) {
      const range = "odd numbers from 3 to 2^31 - 1 are supported";
      throw new OcicryptError("KEY_UNSUPPORTED", `the RSA key has an unsafe exponent; ${range}`);
    }
    const { n = "" } = key.export({ format: "jwk" });
    if (((Buffer.from(n, "base64url").at(-1) ?? 0) & 1) === 0) {
      throw new OcicryptError("KEY_UNSUPPORTED", "the RSA key has an even modulus");
    }
  } else if (key.asymmetricKeyType === "ec" && !hasNamedCurve(key)) {
    const message = "the EC key describes its curve by parameters; named curves are supported";
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
}

/**
 * Rejects an EC private key whose number is longer than its curve's order. OpenSSL imports such a
 * key. Exporting it as a JWK, as jose does, ends the process with a failed assertion (EncodeBignum
 * in src/crypto/crypto_util.cc of Node.js), whereas exporting it as SEC1 only fails.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`
 */
export function requireSoundPrivateKey(key: KeyObject): KeyObject {
  if (key.asymmetricKeyType !== "ec") return key;
  try {
    key.export({ type: "sec1", format: "der" }).fill(0);
    return key;
  } catch {
    throw unrecognized("its private number does not fit its curve");
  }
}

/** For named curves, the algorithm parameters of SubjectPublicKeyInfo are an OBJECT IDENTIFIER. */
function hasNamedCurve(key: KeyObject): boolean {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  const [algorithm] = readElements(
    readOnly(publicKey.export({ type: "spki", format: "der" }), SEQUENCE),
  );
  return readElements(algorithm?.contents ?? new Uint8Array())[1]?.tag === OBJECT_IDENTIFIER;
}

/**
 * Returns the JWK thumbprint (RFC 7638) of an RSA or EC key with SHA-256, which is the same for
 * both halves.
 */
export function thumbprint(key: KeyObject): string {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  const { crv, e, kty, n, x, y } = publicKey.export({ format: "jwk" });
  // Section 3.2: the required members in the order of their names. JSON omits undefined members,
  // which this type of key does not have.
  const json = JSON.stringify({ crv, e, kty, n, x, y });
  return createHash("sha256").update(json).digest("base64url");
}

/** The names of RFC 7518 section 4.1 for the hashes of RSA-OAEP in Web Cryptography. */
const OAEP_NAMES: ReadonlyMap<string | undefined, string> = /* @__PURE__ */ new Map([
  ["SHA-1", "RSA-OAEP"],
  ["SHA-256", "RSA-OAEP-256"],
  ["SHA-384", "RSA-OAEP-384"],
  ["SHA-512", "RSA-OAEP-512"],
]);

/** Whether a value is a key of Node.js or of Web Cryptography rather than a parsed JWK. */
export function isKeyObject(value: unknown): value is KeyObject | webcrypto.CryptoKey {
  return types.isKeyObject(value) || types.isCryptoKey(value);
}

/** Returns a key with the algorithm and the operations of a `CryptoKey`. */
export function fromKeyObject(
  value: KeyObject | webcrypto.CryptoKey,
): AsymmetricKey & { operations?: readonly string[] } {
  if (types.isKeyObject(value)) return { key: value };
  const { hash } = value.algorithm as { hash?: { name: string } };
  const alg = value.algorithm.name === "RSA-OAEP" ? OAEP_NAMES.get(hash?.name) : undefined;
  return {
    key: KeyObject.from(value),
    operations: value.usages,
    ...(alg !== undefined && { alg }),
  };
}

/** @returns {@link OcicryptError} `KEY_UNRECOGNIZED` */
export function unrecognized(why: string, cause?: unknown): OcicryptError {
  const message = `this is not a key that can be used here: ${why}`;
  return new OcicryptError("KEY_UNRECOGNIZED", message, cause === undefined ? {} : { cause });
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

/** @returns {@link OcicryptError} `KEY_UNSUPPORTED`, with the command that converts a copy */
export function oldCipher(name: string): OcicryptError {
  const command = "openssl pkey -provider legacy -provider default -in FILE -aes256 -out NEW";
  const message = `the private key is encrypted with ${name.slice(0, 40)}, which OpenSSL 3 no longer offers; convert it with ${command}`;
  return new OcicryptError("KEY_UNSUPPORTED", message);
}
