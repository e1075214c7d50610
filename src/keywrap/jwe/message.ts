import { fromBase64, toUtf8 } from "#engine/bytes";
import type { FlattenedJWE } from "jose";
import { OcicryptError } from "../../errors.js";
import { MAX_JWE_PART_LENGTH, MAX_WRAPPED_KEY_SIZE, MAX_WRAPPED_KEYS } from "../../spec/limits.js";
import { parseJson, requireObject, type JsonObject } from "../../text/json.js";
import type { RecipientInfo } from "../types.js";

/**
 * One recipient of a JWE, with the JWE in the form that it would have with this recipient alone.
 */
export interface JweRecipient {
  algorithm: string;
  kid?: string;
  /** The algorithm of the content. */
  enc?: string;
  /** The sender's ephemeral key and its curve, for ECDH. */
  epk?: JsonObject;
  crv?: string;
  /** Information about the parties, for ECDH: RFC 7518 section 4.6.1. */
  apu?: string;
  apv?: string;
  /** In base64url. */
  encryptedKey: string;
  flattened: FlattenedJWE;
}

/**
 * Reads the compact, flattened or general serialization; RFC 7516 section 7.
 *
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`
 */
export function parseJwe(bytes: Uint8Array): JweRecipient[] {
  if (bytes.byteLength > MAX_WRAPPED_KEY_SIZE) throw invalid("it is larger than any wrapped key");
  const text = toUtf8(bytes).trim();
  // go-jose ignores white space in the compact form (jose-util in its parser).
  const jwe = text.startsWith("{") ? parseObject(text) : fromCompact(text.replace(/\s/g, ""));
  // go-jose also writes the "encrypted_key" of the first recipient next to "recipients", so this
  // member does not distinguish the flattened form from the general form.
  const shared = sharedHeader(jwe);
  const { recipients } = jwe;
  if (recipients === undefined || recipients === null)
    return named([readRecipient(jwe, shared, jwe)]);
  if (!Array.isArray(recipients) || recipients.length === 0) throw invalid("it has no recipients");
  if (recipients.length > MAX_WRAPPED_KEYS) throw invalid("it has too many recipients");
  return named(recipients.map((recipient) => readRecipient(jwe, shared, objectOf(recipient))));
}

/** Skips recipients without an algorithm, so that the others can be used. */
function named(recipients: readonly (JweRecipient | undefined)[]): JweRecipient[] {
  const found = recipients.filter((recipient) => recipient !== undefined);
  if (found.length === 0) throw invalid("no recipient names an algorithm");
  return found;
}

/** Returns the members of the headers that all recipients share. */
function sharedHeader(jwe: JsonObject): JsonObject {
  const text = optionalString(jwe, "protected") ?? "";
  // Each attempt to decrypt reads both of these again.
  if (
    text.length > MAX_JWE_PART_LENGTH ||
    (optionalString(jwe, "ciphertext") ?? "").length > MAX_JWE_PART_LENGTH
  ) {
    throw invalid("its header or its content is larger than that of any wrapped key");
  }
  const header = text === "" ? {} : parseObject(toUtf8(fromBase64(text)));
  return { ...header, ...optionalObject(jwe, "unprotected") };
}

function readRecipient(
  jwe: JsonObject,
  shared: JsonObject,
  own: JsonObject,
): JweRecipient | undefined {
  const header = optionalObject(own, "header");
  // Single members and not a spread, which would copy a large shared header for each of many
  // recipients.
  const { alg = shared.alg, kid = shared.kid, epk = shared.epk, enc = shared.enc } = header ?? {};
  const { apu = shared.apu, apv = shared.apv } = header ?? {};
  if (typeof alg !== "string") return undefined;
  const ephemeral = typeof epk === "object" && epk !== null ? (epk as JsonObject) : undefined;
  const crv = ephemeral?.crv;
  return {
    algorithm: alg,
    ...(typeof kid === "string" && { kid }),
    ...(typeof enc === "string" && { enc }),
    ...(ephemeral !== undefined && { epk: ephemeral }),
    ...(typeof crv === "string" && { crv }),
    ...(typeof apu === "string" && { apu }),
    ...(typeof apv === "string" && { apv }),
    encryptedKey: optionalString(own, "encrypted_key") ?? "",
    flattened: pickMembers(jwe, own),
  };
}

function pickMembers(jwe: JsonObject, own: JsonObject): FlattenedJWE {
  const flattened: FlattenedJWE = { ciphertext: optionalString(jwe, "ciphertext") ?? "" };
  for (const name of ["protected", "iv", "tag", "aad"] as const) {
    const value = optionalString(jwe, name);
    if (value !== undefined) flattened[name] = value;
  }
  const encryptedKey = optionalString(own, "encrypted_key");
  if (encryptedKey !== undefined) flattened.encrypted_key = encryptedKey;
  const header = optionalObject(own, "header");
  if (header !== undefined) flattened.header = { ...header };
  const unprotected = optionalObject(jwe, "unprotected");
  if (unprotected !== undefined) flattened.unprotected = { ...unprotected };
  return flattened;
}

function fromCompact(text: string): JsonObject {
  const parts = text.split(".", 6);
  if (parts.length !== 5) throw invalid("it is neither JSON nor compact");
  const [header, encryptedKey, iv, ciphertext, tag] = parts;
  return { protected: header, encrypted_key: encryptedKey, iv, ciphertext, tag };
}

/** go-jose compares names exactly (its fork of encoding/json), as every other JOSE library does. */
function parseObject(text: string): JsonObject {
  return objectOf(parseJson(text, { maxSize: MAX_WRAPPED_KEY_SIZE, refuse: invalid }));
}

function objectOf(value: unknown): JsonObject {
  return requireObject(value, () => invalid("a member that must be an object is not one"));
}

function optionalObject(object: JsonObject, name: string): JsonObject | undefined {
  const value = object[name] ?? undefined;
  return value === undefined ? undefined : objectOf(value);
}

function optionalString(object: JsonObject, name: string): string | undefined {
  const value = object[name];
  if (value === undefined || typeof value === "string") return value;
  throw invalid(`its member "${name}" is not a string`);
}

function invalid(why: string): OcicryptError {
  return new OcicryptError("WRAPPED_KEY_INVALID", `a wrapped key is not a JWE: ${why}`);
}

/** Returns the algorithm and the `kid` of each recipient of a JWE. */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  return parseJwe(wrapped).map(({ algorithm, kid }) => ({
    algorithm,
    ...(kid !== undefined && { keyId: kid }),
  }));
}
