import { createCipheriv } from "node:crypto";
import type { CipherEngine } from "../types.js";

export const createAesCtr: CipherEngine["createAesCtr"] = (key, nonce) =>
  createCipheriv(`aes-${String(8 * key.byteLength)}-ctr`, key, nonce);
