import { createSecretKey, type KeyObject } from "node:crypto";

export { HERE, hashHere, hmacHere, openPasses } from "../../threads/passes.js";
export { threadCount } from "../../threads/pool.js";
export type { HashAlgorithm, Passes, RunningHash } from "../../threads/passes.js";

/** A copy of a layer's key, for its HMAC. */
export type HeldKey = KeyObject;

export function holdKey(key: Uint8Array): HeldKey {
  return createSecretKey(key);
}
