/** OpenPGP, at `ocicrypt/pgp`: `pgp.recipient("a@example.org")` and `pgp.key(secretKeys)`. */
export * as pgp from "./pgp.js";

export type { PgpKeyOptions } from "./key.js";
export type { PgpRecipientOptions } from "./recipient.js";
export type { PgpKeyInput } from "./key-ring.js";
export type { Key, Recipient } from "../types.js";
