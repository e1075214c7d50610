import type { RecipientInfo } from "../../keywrap/types.js";
import { type Envelope, optionalTextIn, readEnvelope, textIn } from "../envelope.js";

export const SYSTEM = "barbican";

/** The reference of a secret, as Barbican writes it: barbican/common/hrefs.py. */
const REFERENCE =
  /^(https?:\/\/[!-~]{1,500})\/v1\/secrets\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/** A data key of 32 bytes, wrapped as in RFC 3394, in base64. */
const WRAPPED = /^[A-Za-z0-9+/]{54}==$/;

/** A secret in Barbican. */
export interface SecretPlace {
  /** The endpoint. In a wrapped key it is information that nobody has verified. */
  server: string;
  id: string;
}

export interface BarbicanWrapped extends SecretPlace {
  /** The data key, wrapped by the secret; `undefined` if the secret is the data key. */
  wrapped: string | undefined;
}

export function isId(text: string): boolean {
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);
}

/** Reads the reference of a secret; `undefined` if it is something else. */
export function placeOf(reference: string): SecretPlace | undefined {
  const [, server, id] = REFERENCE.exec(reference) ?? [];
  return server === undefined || id === undefined ? undefined : { server, id };
}

/** @throws {@link OcicryptError} `WRAPPED_KEY_INVALID` */
export function wrappedIn(envelope: Envelope): BarbicanWrapped {
  const reference = textIn(envelope, "secretRef", REFERENCE);
  const wrapped = optionalTextIn(envelope, "wrapped", WRAPPED);
  const [, server = "", id = ""] = REFERENCE.exec(reference) ?? [];
  return { server, id, wrapped };
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
  const algorithm = found.wrapped === undefined ? "stored-secret" : "A256KW";
  return [{ algorithm, keyId: found.id, server: found.server }];
}
