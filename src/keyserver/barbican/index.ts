/**
 * OpenStack Barbican: a secret there protects each layer. The wrapped key is JSON in the
 * annotation `…enc.keys.provider.barbican`.
 *
 * @module ocicrypt/barbican
 */
export * as barbican from "./barbican.js";
export type { BarbicanKeyOptions, BarbicanRecipientOptions } from "./barbican.js";
export type { BarbicanAuth, BarbicanOptions } from "./session.js";
export type { KeystoneAuth, KeystoneDomain, KeystoneName, KeystoneScope } from "./keystone.js";
export type { KeyServerOptions } from "../client.js";
export type { Key, Recipient } from "../../keywrap/types.js";
