/**
 * Recipients and keys for OpenPGP: `pgp.recipient("a@example.org")`, `pgp.key(secretKeys)`.
 *
 * @module ocicrypt/pgp
 */
export * as pgp from "./pgp.js";

export type { PgpKeyOptions, PgpRecipientOptions } from "./key.js";
export type { PgpKeyInput } from "./key-ring.js";
export type { Key, Recipient } from "../types.js";
