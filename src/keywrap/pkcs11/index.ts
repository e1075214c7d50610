/**
 * Recipients and keys for PKCS#11 tokens: `pkcs11.recipient(publicKey)`, `pkcs11.key(keyFile)`.
 *
 * @module ocicrypt/pkcs11
 */
export * as pkcs11 from "./pkcs11.js";

export type { Pkcs11KeyOptions, Pkcs11RecipientOptions } from "./key.js";
export type { Pkcs11Config } from "./config.js";
export type { Cryptoki, Pkcs11Js, TokenOptions } from "./module.js";
export type { OaepHash } from "./oaep.js";
export type { Key, Recipient } from "../types.js";
export type { KeyInput } from "../../keys/material.js";
