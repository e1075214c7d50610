import * as crypto from "node:crypto";
import type { HashEngine } from "../types.js";

export const createHash: HashEngine["createHash"] = (name) => crypto.createHash(name);
export const createHmac: HashEngine["createHmac"] = (name, key) => crypto.createHmac(name, key);
export const randomBytes: HashEngine["randomBytes"] = (size) => crypto.randomBytes(size);
export const isEqual: HashEngine["isEqual"] = (a, b) =>
  a.byteLength === b.byteLength && crypto.timingSafeEqual(a, b);
