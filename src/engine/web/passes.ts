import { MAX_THREADS } from "../../spec/limits.js";
import type * as node from "../node/passes.js";
import type { Hash } from "../types.js";
import { createHash, createHmac } from "./hash.js";

export type { HashAlgorithm, RunningHash } from "../node/passes.js";

/** A copy of a layer's key, for its HMAC. */
export type HeldKey = Uint8Array;

/** All passes run here: there are no threads. */
export interface Passes extends Omit<node.Passes, "hmacCipher"> {
  hmacCipher(key: HeldKey): node.RunningHash;
}

export function holdKey(key: Uint8Array): HeldKey {
  return key.slice();
}

export const HERE: Passes = {
  room: () => undefined,
  hashPlain: (algorithm) => hashHere(algorithm),
  hashCipher: (algorithm) => hashHere(algorithm),
  hmacCipher: (key) => hmacHere(key),
  close: () => undefined,
};

export function hashHere(algorithm: node.HashAlgorithm): node.RunningHash {
  return running(createHash(algorithm));
}

export function hmacHere(key: HeldKey): node.RunningHash {
  return running(createHmac("sha256", key));
}

function running(hash: Hash): node.RunningHash {
  return {
    update: (bytes) => void hash.update(bytes),
    digest: () => Promise.resolve(hash.digest()),
  };
}

export const openPasses = (): Promise<Passes> => Promise.resolve(HERE);

/** @throws {RangeError} for a number that is not valid on Node.js either */
export function threadCount(threads: number | undefined): number {
  if (threads === undefined || (Number.isInteger(threads) && threads >= 0 && threads <= MAX_THREADS)) return 0; // prettier-ignore
  throw new RangeError(`threads must be a whole number from 0 to ${String(MAX_THREADS)}`);
}
