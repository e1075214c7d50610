/**
 * Recipients and keys for PKCS#7 (CMS): `pkcs7.recipient(certificate)`,
 * `pkcs7.group(certificates)`, `pkcs7.key(privateKey)`.
 *
 * @module ocicrypt/pkcs7
 */
export * as pkcs7 from "./pkcs7.js";

export type { CertificateInput } from "./certificate.js";
export type { Pkcs7KeyOptions, Pkcs7RecipientOptions } from "./key.js";
export type { Key, Recipient } from "../types.js";
export type { KeyInput } from "../../keys/material.js";
