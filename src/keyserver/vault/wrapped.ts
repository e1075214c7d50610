import type { RecipientInfo } from "../../keywrap/types.js";
import { type Envelope, optionalTextIn, readEnvelope, textIn } from "../envelope.js";

export const SYSTEM = "vault";

/** Keys and mounts have such names, each part of a path: vault/sdk/framework GenericNameRegex. */
const NAME = /^\w(?:[\w.-]{0,254}\w)?$/;
const PATH = /^\w(?:[\w.-]*\w)?(?:\/\w(?:[\w.-]*\w)?)*$/;

/** The ciphertext of a transit engine: its format, the version of the key, base64. */
const CIPHERTEXT = /^[\w-]{1,32}:v[1-9]\d{0,8}:[A-Za-z0-9+/]{1,20000}={0,2}$/;

/** The place of a key in a server. */
export interface KeyPlace {
  /** The address of the server. In a wrapped key it is information that nobody has verified. */
  server: string;
  namespace: string | undefined;
  mount: string;
  key: string;
}

export interface VaultWrapped extends KeyPlace {
  ciphertext: string;
}

export function isKeyName(text: string): boolean {
  return NAME.test(text);
}

export function isPath(text: string): boolean {
  return text.length <= 512 && PATH.test(text);
}

export function isCiphertext(text: string): boolean {
  return CIPHERTEXT.test(text);
}

/** The version of the key that made a ciphertext, such as `v3`. */
export function versionOf(ciphertext: string): string {
  return ciphertext.split(":")[1] ?? "";
}

/** @throws {@link OcicryptError} `WRAPPED_KEY_INVALID` */
export function wrappedIn(envelope: Envelope): VaultWrapped {
  return {
    server: textIn(envelope, "server", /^https?:\/\/[!-~]{1,500}$/),
    namespace: optionalTextIn(envelope, "namespace", PATH),
    mount: textIn(envelope, "mount", PATH),
    key: textIn(envelope, "key", NAME),
    ciphertext: textIn(envelope, "ciphertext", CIPHERTEXT),
  };
}

/** The key's name with its namespace and mount, such as `team/transit/app`. */
export function shownKey({ namespace, mount, key }: Omit<KeyPlace, "server">): string {
  return [...(namespace === undefined ? [] : [namespace]), mount, key].join("/");
}

/**
 * Describes a wrapped key. Empty if it was not written by this library.
 *
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`
 */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  const envelope = readEnvelope(SYSTEM, wrapped);
  if (envelope === undefined) return [];
  const found = wrappedIn(envelope);
  const algorithm = `transit-${versionOf(found.ciphertext)}`;
  return [{ algorithm, keyId: shownKey(found), server: found.server }];
}
