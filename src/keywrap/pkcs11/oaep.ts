import { constants, privateDecrypt, publicEncrypt, type KeyObject } from "node:crypto";
import { OcicryptError, shown } from "../../errors.js";
import type { AsymmetricKey } from "../../keys/asymmetric-key.js";

/** The hash of RSA-OAEP, for both its (empty) label and its mask. */
export type OaepHash = "sha1" | "sha256";

const HASH_VARIABLE = "OCICRYPT_OAEP_HASHALG";
const HASH_SIZES: Readonly<Record<OaepHash, number>> = { sha1: 20, sha256: 32 };
const MIN_RSA_BITS = 2048;

/**
 * The default hash for wrapping, from the same environment variable that Go reads, in any case
 * (crypto/pkcs11/pkcs11helpers.go).
 *
 * @throws {@link OcicryptError} `PKCS11_CONFIG_INVALID`
 */
export function defaultOaepHash(): OaepHash {
  const value = process.env[HASH_VARIABLE]?.toLowerCase() ?? "";
  if (value === "") return "sha256";
  if (value === "sha1" || value === "sha256") return value;
  const message = `the environment variable ${HASH_VARIABLE} is neither sha1 nor sha256`;
  throw new OcicryptError("PKCS11_CONFIG_INVALID", message);
}

/** The algorithm's name in RFC 7518 section 4.3. */
export function oaepAlgorithm(hash: OaepHash): string {
  return hash === "sha1" ? "RSA-OAEP" : "RSA-OAEP-256";
}

/**
 * Encrypts the private options with RSA directly: this scheme has no intermediate key.
 *
 * @throws {@link OcicryptError} `WRAP_FAILED` if they are too long for the key
 */
export function encryptOaep(key: KeyObject, hash: OaepHash, plaintext: Uint8Array): Buffer {
  const bits = rsaBits(key);
  const capacity = Math.ceil(bits / 8) - 2 * HASH_SIZES[hash] - 2; // RFC 8017, section 7.1.1
  if (plaintext.byteLength > capacity) {
    const advice =
      hash === "sha256"
        ? `set ${HASH_VARIABLE}=sha1 or the option hash to "sha1", or use an RSA key of at least 3072 bits`
        : "use a larger RSA key";
    const message =
      `RSA-${String(bits)} with OAEP and ${hash} can hold ${String(capacity)} bytes, ` +
      `but the options of the layer have ${String(plaintext.byteLength)}; ${advice}`;
    throw new OcicryptError("WRAP_FAILED", message);
  }
  return publicEncrypt(padding(key, hash), plaintext);
}

/** Returns `null` for a ciphertext of another key or a damaged one, which look the same. */
export function decryptOaep(key: KeyObject, hash: OaepHash, ciphertext: Uint8Array): Buffer | null {
  try {
    return privateDecrypt(padding(key, hash), ciphertext);
  } catch {
    return null;
  }
}

/** @throws {@link OcicryptError} `KEY_UNSUPPORTED` */
export function requireRsa({ key, alg }: AsymmetricKey): KeyObject {
  if (key.asymmetricKeyType !== "rsa") {
    const type = key.asymmetricKeyType ?? "unknown";
    throw unsupported(`a PKCS#11 recipient needs an RSA key, not one of type ${type}`);
  }
  if (alg !== undefined && !/^RSA-OAEP(?:-256)?$/.test(alg)) {
    const named = shown(alg);
    throw unsupported(`the JWK's "alg" is ${named}, not RSA-OAEP or RSA-OAEP-256`);
  }
  return key;
}

/** @throws {@link OcicryptError} `KEY_UNSUPPORTED` */
export function requireWrappingSize(key: KeyObject): KeyObject {
  const bits = rsaBits(key);
  if (bits >= MIN_RSA_BITS) return key;
  throw unsupported(
    `the RSA key has ${String(bits)} bits; at least ${String(MIN_RSA_BITS)} are required`,
  );
}

export function rsaBits(key: KeyObject): number {
  return key.asymmetricKeyDetails?.modulusLength ?? 0;
}

function padding(key: KeyObject, oaepHash: OaepHash) {
  return { key, oaepHash, padding: constants.RSA_PKCS1_OAEP_PADDING };
}

function unsupported(message: string): OcicryptError {
  return new OcicryptError("KEY_UNSUPPORTED", message);
}
