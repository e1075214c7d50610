import type { RecipientInfo } from "../../keywrap/types.js";
import { damaged, type Envelope, optionalTextIn, readEnvelope, textIn } from "../envelope.js";

export const SYSTEM = "key-protect";

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** The id of a key, or its alias: https://cloud.ibm.com/docs/key-protect?topic=key-protect-create-key-alias */
const KEY = /^[\w-]{2,90}$/;

/** The service stores none of the strings, and limits their length. */
const MAX_AAD = 255;
const MAX_AAD_STRINGS = 16;

export interface KeyProtectWrapped {
  /** The URL of the service. In a wrapped key it is information that nobody has verified. */
  server: string;
  instance: string;
  key: string;
  /** Only the service understands it. */
  ciphertext: string;
  /** The id of the version of the root key. */
  keyVersion: string | undefined;
  aad: readonly string[];
}

export function isInstance(text: string): boolean {
  return UUID.test(text);
}

export function isKeyName(text: string): boolean {
  return KEY.test(text);
}

export function isCiphertext(text: string): boolean {
  return text.length <= 20_000 && /^[A-Za-z0-9+/]+={0,2}$/.test(text);
}

export function isAad(value: unknown): value is readonly string[] {
  const isOne = (text: unknown): boolean =>
    typeof text === "string" && text !== "" && text.length <= MAX_AAD;
  return Array.isArray(value) && value.length <= MAX_AAD_STRINGS && value.every(isOne);
}

/** The id of a key's version in an answer or a wrapped key. */
export function isVersion(text: string): boolean {
  return UUID.test(text);
}

/** @throws {@link OcicryptError} `WRAPPED_KEY_INVALID` */
export function wrappedIn(envelope: Envelope): KeyProtectWrapped {
  const aad = Object.hasOwn(envelope, "aad") ? envelope.aad : [];
  if (!isAad(aad)) throw damaged(SYSTEM, "its aad is not valid");
  const ciphertext = textIn(envelope, "ciphertext", /^[^]*$/);
  if (!isCiphertext(ciphertext)) throw damaged(SYSTEM, "its ciphertext is not valid");
  return {
    server: textIn(envelope, "server", /^https?:\/\/[!-~]{1,500}$/),
    instance: textIn(envelope, "instance", UUID),
    key: textIn(envelope, "key", KEY),
    ciphertext,
    keyVersion: optionalTextIn(envelope, "keyVersion", UUID),
    aad,
  };
}

/**
 * Describes a wrapped key. Empty if it was not written by this library.
 *
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`
 */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  const envelope = readEnvelope(SYSTEM, wrapped);
  if (envelope === undefined) return [];
  const { keyVersion, instance, key, server } = wrappedIn(envelope);
  const version = keyVersion === undefined ? "" : `-${keyVersion.slice(0, 8)}`;
  return [{ algorithm: `root-key${version}`, keyId: `${instance}/${key}`, server }];
}
