import { constants, privateDecrypt, publicEncrypt, type KeyObject, createHash } from "node:crypto";
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

/**
 * Decodes the result of raw RSA for an OAEP ciphertext with an empty label; RFC 8017 section 7.1.2,
 * step 3. Neither the result nor the time reveals which check fails: an attacker who knew could
 * decrypt a ciphertext without the key (Manger, CRYPTO 2001). Therefore no branch and no index
 * depends on the bytes until all have been read.
 *
 * @param encoded as many bytes as the modulus has; overwritten
 */
export function decodeOaep(encoded: Buffer, hash: OaepHash): Buffer | null {
  const labelHash = createHash(hash).digest();
  const size = labelHash.byteLength;
  if (encoded.byteLength < 2 * size + 2) return null;
  const seed = encoded.subarray(1, 1 + size);
  const block = encoded.subarray(1 + size);
  xorMask(seed, block, hash);
  xorMask(block, seed, hash);

  let bad = encoded.readUInt8(0);
  labelHash.forEach((byte, i) => {
    bad |= byte ^ block.readUInt8(i);
  });
  let searching = 1;
  let separator = 0;
  for (let i = size; i < block.byteLength; i++) {
    const byte = block.readUInt8(i);
    const isOne = isZero(byte ^ 1);
    separator |= -(searching & isOne) & i;
    bad |= searching & (1 ^ isOne ^ isZero(byte));
    searching &= 1 ^ isOne;
  }
  bad |= searching;

  const message = bad === 0 ? Buffer.from(block.subarray(separator + 1)) : null;
  encoded.fill(0);
  return message;
}

/** 1 for zero and 0 for any other byte. */
function isZero(byte: number): number {
  return (byte - 1) >>> 31;
}

/** MGF1, RFC 8017 appendix B.2.1. */
function xorMask(target: Buffer, seed: Buffer, hash: OaepHash): void {
  const counter = Buffer.alloc(4);
  for (let offset = 0, i = 0; offset < target.byteLength; i++) {
    counter.writeUInt32BE(i);
    for (const byte of createHash(hash).update(seed).update(counter).digest()) {
      if (offset === target.byteLength) break;
      target.writeUInt8(target.readUInt8(offset) ^ byte, offset);
      offset++;
    }
  }
}
