/**
 * age: layers for age recipients, with X25519 or post-quantum keys. The wrapped key is an age file
 * in the annotation `…enc.keys.provider.age`.
 *
 * @module ocicrypt/age
 */
export * as age from "./age.js";
export type { AgeKeyOptions } from "./age.js";
export type { Key, Recipient } from "../../keywrap/types.js";
