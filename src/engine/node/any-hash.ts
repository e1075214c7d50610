import * as crypto from "node:crypto";
import type { AnyHashEngine } from "../types.js";

export const createAnyHash: AnyHashEngine["createAnyHash"] = (name) => crypto.createHash(name);
export const createAnyHmac: AnyHashEngine["createAnyHmac"] = (name, key) =>
  crypto.createHmac(name, key);
