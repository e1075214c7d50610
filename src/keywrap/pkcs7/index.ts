/**
 * PKCS#7 (CMS), at `ocicrypt/pkcs7`: `pkcs7.recipient(certificate)`, `pkcs7.key(privateKey)` and
 * `pkcs7.group(certificates)`.
 */
export * as pkcs7 from "./pkcs7.js";

export type { CertificateInput } from "./certificate.js";
export type { Pkcs7RecipientOptions } from "./recipient.js";
export type { Pkcs7KeyOptions } from "./key.js";
export type { Key, Recipient } from "../types.js";
export type { KeyInput } from "../../keys/material.js";
