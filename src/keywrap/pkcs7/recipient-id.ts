import { fromUtf8, toHex, toLatin1, toUtf8 } from "#engine/bytes";
import { OBJECT_IDENTIFIER, readBer, readOnly, SEQUENCE, type DerElement } from "../../keys/der.js";

/** How a message names a recipient's certificate: RFC 5652 section 6.2.1. */
export type RecipientId =
  | {
      /** The DER of the issuer's Name. */
      issuer: Uint8Array;
      /** The contents of the serial number's INTEGER. */
      serial: Uint8Array;
    }
  | { subjectKeyIdentifier: Uint8Array };

/** The fields of a certificate that a message can name it by. */
interface CertificateId {
  issuer: Uint8Array;
  serial: Uint8Array;
  subjectKeyIdentifier: Uint8Array | undefined;
}

/**
 * Returns the identifiers as map keys: one of a message's recipient, up to two of a certificate.
 * They are compared by their bytes, as peers do.
 */
export function recipientIdKeys(id: RecipientId | CertificateId): string[] {
  const keys: string[] = [];
  if ("issuer" in id) keys.push(`${toHex(id.issuer)} ${toHex(id.serial)}`);
  if ("subjectKeyIdentifier" in id && id.subjectKeyIdentifier !== undefined) {
    keys.push(toHex(id.subjectKeyIdentifier));
  }
  return keys;
}

/** Formats an identifier for people, e.g. `CN=x, serial 1f`, or `key identifier d1da…`. */
export function formatRecipientId(id: RecipientId): string {
  if ("issuer" in id) return `${formatName(id.issuer)}, serial ${formatHex(id.serial)}`;
  return `key identifier ${toHex(id.subjectKeyIdentifier.subarray(0, 64))}`;
}

/** A serial number has 20 octets at most: RFC 5280 section 4.1.2.2. */
function formatHex(serial: Uint8Array): string {
  return toHex(serial.subarray(0, 64)).replace(/^0+(?=.)/, "");
}

/** RFC 4514 section 3, and emailAddress, which many names have. */
const ATTRIBUTES: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([
  ["2.5.4.3", "CN"],
  ["2.5.4.6", "C"],
  ["2.5.4.7", "L"],
  ["2.5.4.8", "ST"],
  ["2.5.4.9", "STREET"],
  ["2.5.4.10", "O"],
  ["2.5.4.11", "OU"],
  ["0.9.2342.19200300.100.1.1", "UID"],
  ["0.9.2342.19200300.100.1.25", "DC"],
  ["1.2.840.113549.1.9.1", "emailAddress"],
]);

const MAX_LENGTH = 300;
/** Names have less than ten attributes, and there can be a thousand names in a message. */
const MAX_ATTRIBUTES = 20;

/**
 * Formats a distinguished name: RFC 4514 section 2. Control characters are escaped.
 *
 * @param der a Name of RFC 5280 section 4.1.2.4
 */
export function formatName(der: Uint8Array): string {
  try {
    const rdns = readBer(readOnly(der, SEQUENCE), MAX_ATTRIBUTES);
    const parts = rdns.slice(0, MAX_ATTRIBUTES).map(({ contents }) => {
      const attributes = readBer(contents, MAX_ATTRIBUTES).slice(0, MAX_ATTRIBUTES);
      return attributes.map(formatAttribute).join("+");
    });
    const name = [...(rdns.length > MAX_ATTRIBUTES ? ["…"] : []), ...parts.reverse()].join(",");
    return name.length > MAX_LENGTH ? `${name.slice(0, MAX_LENGTH)}…` : name;
  } catch {
    return "an unreadable name";
  }
}

/** How the string types of X.680 section 41 hold text, by their tags. */
const DECODERS: ReadonlyMap<number, (bytes: Uint8Array) => string> = /* @__PURE__ */ new Map([
  [0x0c, toUtf8], // UTF8String
  [0x12, toLatin1], // NumericString
  [0x13, toLatin1], // PrintableString
  [0x14, toLatin1], // TeletexString, as everybody uses it
  [0x16, toLatin1], // IA5String
  [0x1a, toLatin1], // VisibleString
  [0x1e, fromBmpString],
]);

function fromBmpString(bytes: Uint8Array): string {
  if (bytes.byteLength % 2 !== 0) throw new Error("half a character");
  let text = "";
  for (let at = 0; at < bytes.byteLength; at += 2) {
    text += String.fromCharCode(((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0));
  }
  return text;
}

function formatAttribute(attribute: DerElement): string {
  const [type, value] = readBer(attribute.contents, 2);
  if (type?.tag !== OBJECT_IDENTIFIER || value === undefined) throw new Error("no attribute");
  const oid = formatOid(type.contents);
  const decode = DECODERS.get(value.tag);
  if (decode === undefined) return `${oid}=#${toHex(value.encoding)}`;
  return `${ATTRIBUTES.get(oid) ?? oid}=${escapeValue(decode(value.contents))}`;
}

/** The numbers of an OBJECT IDENTIFIER: X.690 section 8.19. */
export function formatOid(contents: Uint8Array): string {
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of contents.subarray(0, MAX_OID_SIZE)) {
    arc = arc * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    if (arcs.length === 0) {
      const first = Math.min(2, Math.floor(arc / 40));
      arcs.push(first, arc - 40 * first);
    } else {
      arcs.push(arc);
    }
    arc = 0;
  }
  return arcs.join(".");
}

const MAX_OID_SIZE = 32;

/** RFC 4514 section 2.4, with control and format characters among those that must be escaped. */
function escapeValue(value: string): string {
  return value
    .replace(/["+,;<=>\\]|^[ #]| $/g, "\\$&")
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (char) => toHex(fromUtf8(char)).replace(/../g, "\\$&"));
}
