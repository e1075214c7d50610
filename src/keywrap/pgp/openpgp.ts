import type { Config } from "openpgp";
import { OcicryptError } from "../../errors.js";

export type OpenPgp = typeof import("openpgp");

/** OpenPGP.js is megabytes large, so only what wraps or unwraps loads it. */
export function loadOpenPgp(): Promise<OpenPgp> {
  return import("openpgp");
}

/** The smallest RSA and ElGamal keys that are encrypted to. */
export const MIN_BITS = 2048;

/** Far above the private options of a layer: a compressed message of 1 MiB could hold 1 GiB. */
const MAX_MESSAGE_SIZE = 1024 * 1024;

/** Settings with which OpenPGP.js takes the keys and messages that gpg takes. */
export function configure({ config }: OpenPgp): Config {
  return {
    ...config,
    // A user id or signature that cannot be read must not make the key unusable.
    ignoreMalformedPackets: true,
    // DSA with ElGamal is what GnuPG made by default until 2009.
    rejectPublicKeyAlgorithms: new Set(),
    rejectCurves: new Set(),
    minRSABits: MIN_BITS,
    // Old keys have none, and neither have those of some programs; gpg uses them for all they can.
    allowMissingKeyFlags: true,
    maxDecompressedMessageSize: MAX_MESSAGE_SIZE,
  };
}

/**
 * What OpenPGP.js says of a key that it cannot use, as an error of this library.
 *
 * @param what the key, as it is called in the message
 */
export function keyError(error: unknown, what: string): OcicryptError {
  if (error instanceof OcicryptError) return error;
  const why = error instanceof Error ? error.message : "unknown reason";
  if (/revoked/i.test(why)) return new OcicryptError("KEY_REVOKED", `${what} is revoked`);
  if (/expired/i.test(why)) return new OcicryptError("KEY_EXPIRED", `${what} has expired`);
  if (why.includes("eckey-utils")) {
    // OpenPGP.js requires that package for these curves and does not bring it along.
    const message = `${what} is on a Brainpool or secp256k1 curve, for which the npm package eckey-utils must be installed`;
    return new OcicryptError("KEY_UNSUPPORTED", message);
  }
  return new OcicryptError("KEY_UNSUPPORTED", `${what} cannot be used: ${why}`);
}

/** A key by its key id, as people and gpg know it. */
export function nameOfKey(keyId: string | undefined): string {
  return keyId === undefined ? "an OpenPGP key of an unknown kind" : `the OpenPGP key 0x${keyId}`;
}

/** The public-key algorithms that encrypt and can be used here; RFC 9580 section 9.1. */
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

/** The name of an algorithm for people. */
export function algorithmName(algorithm: number): string {
  return ENCRYPTION_ALGORITHMS.get(algorithm) ?? `algorithm ${String(algorithm)}`;
}
