/**
 * HashiCorp Vault and OpenBao: the transit engine wraps the keys of layers. The wrapped key is JSON
 * in the annotation `…enc.keys.provider.vault`.
 *
 * @module ocicrypt/vault
 */
export * as vault from "./vault.js";
export type { VaultKeyOptions } from "./vault.js";
export type { VaultAuth, VaultOptions } from "./session.js";
export type { KeyServerOptions } from "../client.js";
export type { Key, Recipient } from "../../keywrap/types.js";
