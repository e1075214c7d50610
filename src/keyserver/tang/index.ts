/**
 * Tang: layers that open only with the help of one or several Tang servers, like disks that Clevis
 * binds to a network (NBDE). The wrapped key has the form of Clevis, in the annotation
 * `…enc.keys.provider.tang`.
 *
 * @module ocicrypt/tang
 */
export * as tang from "./tang.js";
export type { TangKeyOptions, TangRecipientOptions, TangServerOptions } from "./tang.js";
export type { AllowedServersOptions } from "./servers.js";
export type { KeyServerOptions } from "../client.js";
export type { Key, Recipient } from "../../keywrap/types.js";
