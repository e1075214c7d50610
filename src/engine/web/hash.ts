import { hmac } from "@noble/hashes/hmac.js";
import { sha256, sha512 } from "@noble/hashes/sha2.js";
import type { ForkableHash, Hash, HashEngine } from "../types.js";

/** Web Cryptography cannot hash a stream. */
const HASHES = { sha256, sha512 };

export const createHash: HashEngine["createHash"] = (name) => forkable(HASHES[name].create());
export const createHmac: HashEngine["createHmac"] = (name, key) => hmac.create(HASHES[name], key);

export interface Forkable extends Hash {
  clone(): Forkable;
}

export function forkable(hash: Forkable): ForkableHash {
  return {
    update(bytes) {
      hash.update(bytes);
      return this;
    },
    digest: () => hash.digest(),
    copy: () => forkable(hash.clone()),
  };
}

export const randomBytes: HashEngine["randomBytes"] = (size) =>
  crypto.getRandomValues(new Uint8Array(size));

export const isEqual: HashEngine["isEqual"] = (a, b) => {
  if (a.byteLength !== b.byteLength) return false;
  let difference = 0;
  for (const [at, byte] of a.entries()) difference |= byte ^ (b[at] ?? 0);
  return difference === 0;
};
