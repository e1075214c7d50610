import type { Config, Key } from "openpgp";
import { concat } from "#engine/bytes";
import { OcicryptError, unrecognizedKey } from "../../errors.js";
import { readKeyRing } from "./key-ring.js";

export type OpenPgp = typeof import("openpgp");

/** Loads OpenPGP.js, which is large: only wrapping and unwrapping need it. */
export function loadOpenPgp(): Promise<OpenPgp> {
  return import("openpgp");
}

/**
 * Reads all keys of a key ring, for what needs no more than their ids.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`
 */
export async function openPgpKeys(content: string | Uint8Array): Promise<Key[]> {
  const { readKeys } = await loadOpenPgp();
  const binaryKeys = concat(readKeyRing(content).map(({ bytes }) => bytes));
  try {
    return await readKeys({ binaryKeys });
  } catch (cause) {
    throw unrecognizedKey("its OpenPGP key is damaged", cause);
  }
}

/** The minimum size of RSA and ElGamal keys for encryption. */
export const MIN_BITS = 2048;

/** Far above the private options of a layer: 1 MiB of compressed data could expand to 1 GiB. */
const MAX_MESSAGE_SIZE = 1024 * 1024;

/** Settings with which OpenPGP.js accepts the keys and messages that gpg accepts. */
export function configure({ config }: OpenPgp): Config {
  return {
    ...config,
    // A user id or signature that cannot be read must not make the key unusable.
    ignoreMalformedPackets: true,
    // GnuPG generated DSA with ElGamal by default until 2009.
    rejectPublicKeyAlgorithms: new Set(),
    rejectCurves: new Set(),
    minRSABits: MIN_BITS,
    // Old keys and those of some programs have no flags; gpg uses them for everything they can do.
    allowMissingKeyFlags: true,
    maxDecompressedMessageSize: MAX_MESSAGE_SIZE,
  };
}

/**
 * Converts the error of OpenPGP.js for an unusable key.
 *
 * @param what the key's name in the message
 */
export function keyError(error: unknown, what: string): OcicryptError {
  if (error instanceof OcicryptError) return error;
  const why = error instanceof Error ? error.message : "unknown reason";
  if (/revoked/i.test(why)) return new OcicryptError("KEY_REVOKED", `${what} is revoked`);
  if (/expired/i.test(why)) return new OcicryptError("KEY_EXPIRED", `${what} has expired`);
  if (why.includes("eckey-utils")) {
    // OpenPGP.js needs this package for these curves but does not depend on it.
    const message = `${what} uses a Brainpool or secp256k1 curve, which needs the npm package eckey-utils`;
    return new OcicryptError("KEY_UNSUPPORTED", message);
  }
  return new OcicryptError("KEY_UNSUPPORTED", `${what} cannot be used: ${why}`);
}

/** Names a key by its key id, as gpg does. */
export function nameOfKey(keyId: string | undefined): string {
  return keyId === undefined ? "an OpenPGP key of an unknown kind" : `the OpenPGP key 0x${keyId}`;
}

/** The supported public-key algorithms for encryption; RFC 9580 section 9.1. */
const ENCRYPTION_ALGORITHMS: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [1, "RSA"],
  [2, "RSA"],
  [16, "ElGamal"],
  [18, "ECDH"],
  [25, "X25519"],
  [26, "X448"],
]);

/** Whether keys with this algorithm can be recipients. */
export function canEncrypt(algorithm: number): boolean {
  return ENCRYPTION_ALGORITHMS.has(algorithm);
}

/** The name of an algorithm, for messages. */
export function algorithmName(algorithm: number): string {
  return ENCRYPTION_ALGORITHMS.get(algorithm) ?? `algorithm ${String(algorithm)}`;
}
