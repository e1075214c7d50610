import { OcicryptError } from "../../errors.js";
import { MAX_CMS_SIZE, MAX_WRAPPED_KEYS } from "../../spec/limits.js";
import {
  berOctets,
  INTEGER,
  OBJECT_IDENTIFIER,
  OCTET_STRING,
  readBer,
  SEQUENCE,
  SET,
  type DerElement,
} from "../../keys/der.js";
import type { Authentication } from "../../engine/types.js";
import type { RecipientInfo } from "../types.js";
import { formatOid, formatRecipientId, type RecipientId } from "./recipient-id.js";

/** The parts of EnvelopedData or AuthEnvelopedData that decryption needs. */
export interface CmsMessage {
  recipients: CmsRecipient[];
  /** The BER of the EncryptedContentInfo. */
  content: Uint8Array;
  /**
   * Reads what only AuthEnvelopedData has; `undefined` in EnvelopedData.
   *
   * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`
   */
  readAuthentication: () => Authentication | undefined;
}

/** A recipient by key transport, or the name of the RecipientInfo of another kind. */
export type CmsRecipient = KeyTransRecipient | { otherKind: string };

export interface KeyTransRecipient {
  id: RecipientId;
  /** Of the key transport, without its parameters. */
  algorithmId: string;
  /** The BER of its AlgorithmIdentifier. */
  algorithm: Uint8Array;
  encryptedKey: Uint8Array;
}

const ENVELOPED_DATA = "1.2.840.113549.1.7.3";
const AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23";

export const RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
export const RSAES_OAEP = "1.2.840.113549.1.1.7";

/** RFC 5652 section 6.2, by their context tags. */
const OTHER_KINDS: readonly string[] = [
  "KeyAgreeRecipientInfo",
  "KEKRecipientInfo",
  "PasswordRecipientInfo",
  "OtherRecipientInfo",
];

/** The most members of any SEQUENCE here, with some to spare. */
const MAX_MEMBERS = 8;
const CONTEXT = 0x80;
const CONSTRUCTED_CONTEXT = 0xa0;

/**
 * Reads a CMS message in BER: EnvelopedData (RFC 5652 section 6.1) or AuthEnvelopedData (RFC 5083
 * section 2.1). Algorithms are not checked. pkijs takes half a second for a thousand recipients and
 * long to load, so that it gets only the parts that a key needs.
 *
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`; `WRAPPED_KEY_UNSUPPORTED` for a CMS message
 *   of another type
 */
export function parseCms(bytes: Uint8Array): CmsMessage {
  if (bytes.byteLength > MAX_CMS_SIZE) throw invalid("it is larger than any wrapped key");
  return attempt(() => {
    const [type, explicit] = members(only(bytes, SEQUENCE));
    const contentType = readObjectIdentifier(type);
    if (contentType !== ENVELOPED_DATA && contentType !== AUTH_ENVELOPED_DATA) {
      const message = `a wrapped key is a CMS message of type ${contentType.slice(0, 40)}`;
      throw new OcicryptError("WRAPPED_KEY_UNSUPPORTED", message);
    }
    const content = only(contentsOf(explicit, CONSTRUCTED_CONTEXT), SEQUENCE);
    return readEnvelopedData(content, contentType === AUTH_ENVELOPED_DATA);
  });
}

function readEnvelopedData(content: Uint8Array, authenticated: boolean): CmsMessage {
  const [, ...fields] = members(content); // version
  if (fields[0]?.tag === CONSTRUCTED_CONTEXT) fields.shift(); // originatorInfo
  const [recipientInfos, encryptedContentInfo, ...rest] = fields;
  if (recipientInfos?.tag !== SET) throw invalid("it has no recipients");
  const infos = readBer(recipientInfos.contents, MAX_WRAPPED_KEYS);
  if (infos.length === 0) throw invalid("it has no recipients");
  if (infos.length > MAX_WRAPPED_KEYS) throw invalid("it has too many recipients");
  contentsOf(encryptedContentInfo, SEQUENCE);
  return {
    recipients: infos.map(readRecipient),
    content: required(encryptedContentInfo).encoding,
    readAuthentication: () => (authenticated ? attempt(() => readTag(rest)) : undefined),
  };
}

/** authAttrs, mac and unauthAttrs: RFC 5083 section 2.1. */
function readTag(fields: readonly DerElement[]): Authentication {
  const [first, second] = fields;
  if (first?.tag !== CONSTRUCTED_CONTEXT + 1) {
    return { tag: octetString(first), additional: new Uint8Array() };
  }
  // RFC 5083 section 2.2: what is authenticated has the tag of a SET OF, not [1].
  const attributes = Uint8Array.from(first.encoding);
  attributes[0] = SET;
  return { tag: octetString(second), additional: attributes };
}

function readRecipient(element: DerElement): CmsRecipient {
  const otherKind = OTHER_KINDS[(element.tag & 0x1f) - 1];
  if ((element.tag & 0xc0) === CONTEXT && otherKind !== undefined) return { otherKind };
  const [, rid, algorithm, encryptedKey] = members(contentsOf(element, SEQUENCE));
  const [algorithmId] = members(contentsOf(algorithm, SEQUENCE));
  return {
    id: readRecipientId(required(rid)),
    algorithmId: readObjectIdentifier(algorithmId),
    algorithm: required(algorithm).encoding,
    encryptedKey: octetString(encryptedKey),
  };
}

function readRecipientId(rid: DerElement): RecipientId {
  if (rid.tag !== SEQUENCE) {
    if ((rid.tag & 0xdf) !== CONTEXT) throw new Error("another kind of recipient identifier");
    return { subjectKeyIdentifier: berOctets(rid) };
  }
  const [issuer, serial] = members(rid.contents);
  contentsOf(issuer, SEQUENCE);
  return { issuer: required(issuer).encoding, serial: contentsOf(serial, INTEGER) };
}

function members(contents: Uint8Array): DerElement[] {
  const elements = readBer(contents, MAX_MEMBERS);
  if (elements.length > MAX_MEMBERS) throw new Error("there are too many elements");
  return elements;
}

/** The contents of the only element in `bytes`. */
function only(bytes: Uint8Array, tag: number): Uint8Array {
  const [element, ...more] = readBer(bytes, 1);
  if (more.length > 0) throw new Error("there is more than one element");
  return contentsOf(element, tag);
}

function contentsOf(element: DerElement | undefined, tag: number): Uint8Array {
  if (element?.tag !== tag) throw new Error("there is another element");
  return element.contents;
}

function required(element: DerElement | undefined): DerElement {
  if (element === undefined) throw new Error("an element is missing");
  return element;
}

function octetString(element: DerElement | undefined): Uint8Array {
  const present = required(element);
  if ((present.tag & 0xdf) !== OCTET_STRING) throw new Error("there is another element");
  return berOctets(present);
}

function readObjectIdentifier(element: DerElement | undefined): string {
  return formatOid(contentsOf(element, OBJECT_IDENTIFIER));
}

/** Any other error of the parsers means that the message is malformed. */
export function attempt<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof OcicryptError) throw error;
    throw invalid("it is damaged");
  }
}

function invalid(why: string): OcicryptError {
  return new OcicryptError("WRAPPED_KEY_INVALID", `a wrapped key is not a CMS message: ${why}`);
}

/** Returns the name in the standards, or the object identifier of an unknown algorithm. */
export function keyTransportName({ algorithmId }: { algorithmId: string }): string {
  if (algorithmId === RSA_ENCRYPTION) return "RSAES-PKCS1-v1_5";
  return algorithmId === RSAES_OAEP ? "RSAES-OAEP" : algorithmId.slice(0, 40);
}

/** Returns the key transport and the certificate of each recipient of a CMS message. */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  return parseCms(wrapped).recipients.map((recipient) =>
    "otherKind" in recipient
      ? { algorithm: recipient.otherKind }
      : {
          algorithm: keyTransportName(recipient),
          keyId: formatRecipientId(recipient.id),
        },
  );
}
