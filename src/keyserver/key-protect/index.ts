/**
 * IBM Key Protect and Hyper Protect Crypto Services: a root key wraps the keys of layers. The
 * wrapped key is JSON in the annotation `…enc.keys.provider.key-protect`.
 *
 * @module ocicrypt/key-protect
 */
export * as keyProtect from "./key-protect.js";
export type {
  KeyProtectFileOptions,
  KeyProtectKeyOptions,
  KeyProtectRecipientOptions,
} from "./key-protect.js";
export type { KeyProtectOptions } from "./session.js";
export type { KeyServerOptions } from "../client.js";
export type { Key, Recipient } from "../../keywrap/types.js";
