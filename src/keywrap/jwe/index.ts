/**
 * Recipients and keys for JSON Web Encryption: `jwe.recipient(publicKey)`, `jwe.key(privateKey)`.
 *
 * @module ocicrypt/jwe
 */
export * as jwe from "./jwe.js";

export type { JweKeyOptions, JweRecipientOptions } from "./key.js";
export type { Key, Recipient } from "../types.js";
export type { KeyInput } from "../../keys/material.js";
