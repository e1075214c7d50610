import { BaseStringBlock, ObjectIdentifier } from "asn1js";
import { childrenOf, parseBer, type Asn1Node } from "../../keys/asn1.js";
import type { Certificate } from "./certificate.js";

/** How a message names a recipient's certificate: RFC 5652 section 6.2.1. */
export type RecipientId =
  | {
      /** The DER of the issuer's Name. */
      issuer: Uint8Array;
      /** The contents of the serial number's INTEGER. */
      serial: Uint8Array;
    }
  | { subjectKeyIdentifier: Uint8Array };

/**
 * Returns the identifiers as map keys: one of a message's recipient, up to two of a certificate.
 * They are compared by their bytes, as peers do.
 */
export function recipientIdKeys(id: RecipientId | Certificate): string[] {
  const keys: string[] = [];
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  if ("issuer" in id) keys.push(`${hex(id.issuer)} ${hex(id.serial)}`);
  if ("subjectKeyIdentifier" in id && id.subjectKeyIdentifier !== undefined) {
    keys.push(hex(id.subjectKeyIdentifier));
  }
  return keys;
}

/** Formats an identifier for people, e.g. `CN=x, serial 1f`, or `key identifier d1da…`. */
export function formatRecipientId(id: RecipientId): string {
  if ("issuer" in id) return `${formatName(id.issuer)}, serial ${formatHex(id.serial)}`;
  return `key identifier ${Buffer.from(id.subjectKeyIdentifier.subarray(0, 64)).toString("hex")}`;
}

/** A serial number has 20 octets at most: RFC 5280 section 4.1.2.2. */
function formatHex(serial: Uint8Array): string {
  const hex = Buffer.from(serial.subarray(0, 64)).toString("hex");
  return hex.replace(/^0+(?=.)/, "");
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

/**
 * Formats a distinguished name: RFC 4514 section 2. Control characters are escaped.
 *
 * @param der a Name of RFC 5280 section 4.1.2.4
 */
export function formatName(der: Uint8Array): string {
  try {
    const rdns = childrenOf(parseBer(der)).map((rdn) =>
      childrenOf(rdn).map(formatAttribute).join("+"),
    );
    const name = rdns.reverse().join(",");
    return name.length > MAX_LENGTH ? `${name.slice(0, MAX_LENGTH)}…` : name;
  } catch {
    return "an unreadable name";
  }
}

function formatAttribute(attribute: Asn1Node): string {
  const [type, value] = childrenOf(attribute);
  if (!(type instanceof ObjectIdentifier) || value === undefined) throw new Error("no attribute");
  const oid = type.getValue();
  if (value instanceof BaseStringBlock) {
    return `${ATTRIBUTES.get(oid) ?? oid}=${escapeValue(value.getValue())}`;
  }
  return `${oid}=#${Buffer.from(value.valueBeforeDecodeView).toString("hex")}`;
}

/** RFC 4514 section 2.4, with control and format characters among those that must be escaped. */
function escapeValue(value: string): string {
  return value
    .replace(/["+,;<=>\\]|^[ #]| $/g, "\\$&")
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (char) =>
      Buffer.from(char, "utf8").toString("hex").replace(/../g, "\\$&"),
    );
}
