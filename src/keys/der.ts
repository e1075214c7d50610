/** What a DER file holds, told from its outermost members. */
export type DerKind =
  | "pkcs8"
  | "encrypted-pkcs8"
  | "pkcs1-private"
  | "sec1"
  | "spki"
  | "pkcs1-public"
  | "certificate"
  | "pkcs12";

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OID = 0x06;
const SEQUENCE = 0x30;

interface Element {
  tag: number;
  value: Uint8Array;
  end: number;
}

/**
 * Tells the kind of key or certificate without parsing it: Node's errors for the wrong kind do not
 * say what it is, and its `createPublicKey` silently takes a private key for a public one.
 */
export function derKind(bytes: Uint8Array): DerKind | undefined {
  const outer = readElement(bytes, 0);
  if (outer?.tag !== SEQUENCE || outer.end !== bytes.byteLength) return undefined;
  const first = readElement(outer.value, 0);
  if (first === undefined) return undefined;
  const second = readElement(outer.value, first.end);
  if (second === undefined) return undefined;

  if (first.tag === INTEGER) {
    const version = first.value.byteLength === 1 ? first.value[0] : undefined;
    if (second.tag === SEQUENCE) return version === 3 ? "pkcs12" : "pkcs8"; // RFC 7292, RFC 5958
    if (second.tag === OCTET_STRING) return "sec1"; // RFC 5915
    if (second.tag !== INTEGER) return undefined;
    return second.end === outer.value.byteLength ? "pkcs1-public" : "pkcs1-private"; // RFC 8017 A.1
  }
  if (first.tag !== SEQUENCE) return undefined;
  const isAlgorithm = readElement(first.value, 0)?.tag === OID;
  if (isAlgorithm && second.tag === OCTET_STRING) return "encrypted-pkcs8"; // RFC 5958, section 3
  if (isAlgorithm && second.tag === BIT_STRING) return "spki"; // RFC 5280, section 4.1
  return second.tag === SEQUENCE && !isAlgorithm ? "certificate" : undefined;
}

/** One element with a definite length that lies within the bytes. */
function readElement(bytes: Uint8Array, offset: number): Element | undefined {
  const tag = bytes[offset];
  let length = bytes[offset + 1];
  if (tag === undefined || length === undefined) return undefined;
  let start = offset + 2;
  if (length >= 0x80) {
    const count = length - 0x80;
    if (count === 0 || count > 4) return undefined;
    length = 0;
    for (const byte of bytes.subarray(start, start + count)) length = length * 256 + byte;
    start += count;
  }
  const end = start + length;
  return end > bytes.byteLength ? undefined : { tag, value: bytes.subarray(start, end), end };
}
