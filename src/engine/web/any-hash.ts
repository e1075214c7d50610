import { hmac } from "@noble/hashes/hmac.js";
import { md5, sha1 } from "@noble/hashes/legacy.js";
import { sha224, sha256, sha384, sha512, sha512_224, sha512_256 } from "@noble/hashes/sha2.js";
import type { CHash } from "@noble/hashes/utils.js";
import type { AnyHashEngine, HashName } from "../types.js";
import { type Forkable, forkable } from "./hash.js";

export const HASHES: Readonly<Record<HashName, CHash>> = {
  ...{ md5, sha1, sha224, sha256, sha384, sha512 },
  ...{ "sha512-224": sha512_224, "sha512-256": sha512_256 },
};

export const createAnyHash: AnyHashEngine["createAnyHash"] = (name) =>
  forkable(HASHES[name].create() as Forkable);
export const createAnyHmac: AnyHashEngine["createAnyHmac"] = (name, key) =>
  hmac.create(HASHES[name], key);
