/** PKCS #11 tokens, at `ocicrypt/pkcs11`: `pkcs11.recipient(…)` and `pkcs11.key(…)`. */
export * as pkcs11 from "./pkcs11.js";

export type { Pkcs11KeyOptions } from "./key.js";
export type { Pkcs11RecipientOptions } from "./recipient.js";
export type { Pkcs11Config } from "./config.js";
export type { Cryptoki, Pkcs11Js } from "./cryptoki.js";
export type { OaepHash } from "./oaep.js";
export type { TokenOptions } from "./module.js";
export type { Key, Recipient } from "../types.js";
export type { KeyInput } from "../../keys/material.js";
