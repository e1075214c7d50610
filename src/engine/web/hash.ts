import { hmac } from "@noble/hashes/hmac.js";
import { md5, sha1 } from "@noble/hashes/legacy.js";
import { sha224, sha256, sha384, sha512, sha512_224, sha512_256 } from "@noble/hashes/sha2.js";
import type { CHash } from "@noble/hashes/utils.js";
import type { ForkableHash, Hash, HashEngine, HashName } from "../types.js";

/** Web Cryptography cannot hash a stream. */
export const HASHES: Readonly<Record<HashName, CHash>> = {
  ...{ md5, sha1, sha224, sha256, sha384, sha512 },
  ...{ "sha512-224": sha512_224, "sha512-256": sha512_256 },
};

export const createHash: HashEngine["createHash"] = (name) =>
  forkable(HASHES[name].create() as Forkable);
export const createHmac: HashEngine["createHmac"] = (name, key) => hmac.create(HASHES[name], key);

interface Forkable extends Hash {
  clone(): Forkable;
}

function forkable(hash: Forkable): ForkableHash {
  return {
    update(bytes) {
      hash.update(bytes);
      return this;
    },
    digest: () => hash.digest(),
    copy: () => forkable(hash.clone()),
  };
}

/** The most that one call of getRandomValues returns, in bytes. */
const MAX_RANDOM = 65_536;

export const randomBytes: HashEngine["randomBytes"] = (size) => {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += MAX_RANDOM) {
    crypto.getRandomValues(bytes.subarray(at, at + MAX_RANDOM));
  }
  return bytes;
};

export const isEqual: HashEngine["isEqual"] = (a, b) => {
  if (a.byteLength !== b.byteLength) return false;
  let difference = 0;
  for (const [at, byte] of a.entries()) difference |= byte ^ (b[at] ?? 0);
  return difference === 0;
};
