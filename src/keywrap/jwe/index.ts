/** JSON Web Encryption, at `ocicrypt/jwe`: `jwe.recipient(publicKey)` and `jwe.key(privateKey)`. */
export * as jwe from "./jwe.js";

export type { JweKeyOptions } from "./key.js";
export type { Key, Recipient } from "../types.js";
export type { KeyInput } from "../../keys/material.js";
