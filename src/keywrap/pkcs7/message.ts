import { Set as SetOf } from "asn1js";
import {
  ContentInfo,
  EncryptedContentInfo,
  IssuerAndSerialNumber,
  KeyTransRecipientInfo,
  type AlgorithmIdentifier,
} from "pkijs";
import { OcicryptError } from "../../errors.js";
import { MAX_CMS_SIZE, MAX_WRAPPED_KEYS } from "../../spec/limits.js";
import { childrenOf, hasContextTag, octetsOf, parseBer, type Asn1Node } from "../../keys/asn1.js";
import type { RecipientInfo } from "../types.js";
import { keyTransportName } from "./key-transport.js";
import { formatRecipientId, type RecipientId } from "./recipient-id.js";

/** The parts of EnvelopedData or AuthEnvelopedData that decryption needs. */
export interface CmsMessage {
  recipients: CmsRecipient[];
  content: EncryptedContent;
}

/** A recipient by key transport, or the name of the RecipientInfo of another kind. */
export type CmsRecipient = KeyTransRecipient | { otherKind: string };

export interface KeyTransRecipient {
  id: RecipientId;
  algorithm: AlgorithmIdentifier;
  encryptedKey: Uint8Array;
}

export interface EncryptedContent {
  algorithm: AlgorithmIdentifier;
  ciphertext: Uint8Array;
  /** Only AuthEnvelopedData has the authentication tag apart from the ciphertext. */
  authentication?: { tag: Uint8Array; attributes: Uint8Array };
}

const ENVELOPED_DATA = "1.2.840.113549.1.7.3";
const AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23";

/** RFC 5652 section 6.2, by their context tags. */
const OTHER_KINDS: readonly string[] = [
  "KeyAgreeRecipientInfo",
  "KEKRecipientInfo",
  "PasswordRecipientInfo",
  "OtherRecipientInfo",
];

/**
 * Reads a CMS message in BER: EnvelopedData (RFC 5652 section 6.1) or AuthEnvelopedData (RFC 5083
 * section 2.1). Algorithms are not checked.
 *
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`; `WRAPPED_KEY_UNSUPPORTED` for a CMS message
 *   of another type
 */
export function parseCms(bytes: Uint8Array): CmsMessage {
  if (bytes.byteLength > MAX_CMS_SIZE) throw invalid("it is larger than any wrapped key");
  const info = attempt(() => new ContentInfo({ schema: parseBer(bytes) }));
  const { contentType } = info;
  const content: unknown = info.content;
  if (contentType === ENVELOPED_DATA) return attempt(() => readEnvelopedData(content, false));
  if (contentType === AUTH_ENVELOPED_DATA) return attempt(() => readEnvelopedData(content, true));
  const message = `a wrapped key is a CMS message of type ${contentType.slice(0, 40)}`;
  throw new OcicryptError("WRAPPED_KEY_UNSUPPORTED", message);
}

/** pkijs knows no AuthEnvelopedData and reads all kinds of recipients, so the parts are read here. */
function readEnvelopedData(envelopedData: unknown, authenticated: boolean): CmsMessage {
  const [, ...fields] = childrenOf(envelopedData); // version
  if (hasContextTag(fields[0], 0)) fields.shift(); // originatorInfo
  const [recipientInfos, encryptedContentInfo, ...rest] = fields;
  if (!(recipientInfos instanceof SetOf)) throw invalid("it has no recipients");
  const infos = childrenOf(recipientInfos);
  if (infos.length === 0) throw invalid("it has no recipients");
  if (infos.length > MAX_WRAPPED_KEYS) throw invalid("it has too many recipients");
  const info = new EncryptedContentInfo({ schema: encryptedContentInfo });
  return {
    recipients: infos.map(readRecipient),
    content: {
      algorithm: info.contentEncryptionAlgorithm,
      ciphertext: new Uint8Array(info.getEncryptedContent()),
      ...(authenticated && { authentication: readAuthentication(rest) }),
    },
  };
}

/** authAttrs, mac and unauthAttrs: RFC 5083 section 2.1. */
function readAuthentication(fields: readonly Asn1Node[]): {
  tag: Uint8Array;
  attributes: Uint8Array;
} {
  const [first, second] = fields;
  if (!hasContextTag(first, 1)) return { tag: octetsOf(first), attributes: new Uint8Array() };
  // RFC 5083 section 2.2: what is authenticated has the tag of a SET OF, not [1].
  const attributes = Uint8Array.from(first.valueBeforeDecodeView);
  attributes[0] = 0x31;
  return { tag: octetsOf(second), attributes };
}

function readRecipient(node: Asn1Node): CmsRecipient {
  for (const [index, otherKind] of OTHER_KINDS.entries()) {
    if (hasContextTag(node, index + 1)) return { otherKind };
  }
  const info = new KeyTransRecipientInfo({ schema: node });
  return {
    id: readRecipientId(info.rid),
    algorithm: info.keyEncryptionAlgorithm,
    encryptedKey: octetsOf(info.encryptedKey),
  };
}

function readRecipientId(rid: KeyTransRecipientInfo["rid"]): RecipientId {
  if (!(rid instanceof IssuerAndSerialNumber)) return { subjectKeyIdentifier: octetsOf(rid) };
  return {
    issuer: new Uint8Array(rid.issuer.valueBeforeDecode),
    serial: rid.serialNumber.valueBlock.valueHexView,
  };
}

/** Any other error of the parsers means that the message is malformed. */
function attempt<T>(read: () => T): T {
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

/** Returns the key transport and the certificate of each recipient of a CMS message. */
export function describe(wrapped: Uint8Array): RecipientInfo[] {
  return parseCms(wrapped).recipients.map((recipient) =>
    "otherKind" in recipient
      ? { algorithm: recipient.otherKind }
      : {
          algorithm: keyTransportName(recipient.algorithm),
          keyId: formatRecipientId(recipient.id),
        },
  );
}
