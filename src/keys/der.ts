import { concat } from "#engine/bytes";
import { MAX_ASN1_DEPTH, MAX_ASN1_NODES } from "../spec/limits.js";

/** The kinds of DER files, recognised by their outermost members. */
export type DerKind =
  | "pkcs8"
  | "encrypted-pkcs8"
  | "pkcs1-private"
  | "sec1"
  | "spki"
  | "pkcs1-public"
  | "certificate"
  | "pkcs12";

export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const OBJECT_IDENTIFIER = 0x06;
export const SEQUENCE = 0x30;
export const SET = 0x31;

const CONSTRUCTED = 0x20;
const INDEFINITE = 0x80;
const MALFORMED = "the BER is malformed or cut off";

/** One element: X.690 section 8.1, with a tag below 31 and a definite length. */
export interface DerElement {
  tag: number;
  contents: Uint8Array;
  /** Tag, length and contents. */
  encoding: Uint8Array;
}

/**
 * The position of an element's contents. In a file that is cut off, `end` can be beyond the last
 * byte.
 */
interface Extent {
  tag: number;
  start: number;
  end: number;
}

/**
 * Recognises a key or certificate without parsing it. Node's errors do not say which kind of file
 * it is, and `createPublicKey` silently derives a public key from a private key.
 */
export function derKind(bytes: Uint8Array): DerKind | undefined {
  const [outer, ...rest] = elementsOf(bytes) ?? [];
  if (outer?.tag !== SEQUENCE || rest.length > 0) return undefined;
  const [first, second, ...more] = elementsOf(outer.contents) ?? [];
  if (first === undefined || second === undefined) return undefined;

  if (first.tag === INTEGER) {
    const version = first.contents.byteLength === 1 ? first.contents[0] : undefined;
    if (second.tag === SEQUENCE) return version === 3 ? "pkcs12" : "pkcs8"; // RFC 7292, RFC 5958
    if (second.tag === OCTET_STRING) return "sec1"; // RFC 5915
    if (second.tag !== INTEGER) return undefined;
    return more.length === 0 ? "pkcs1-public" : "pkcs1-private"; // RFC 8017 A.1
  }
  if (first.tag !== SEQUENCE) return undefined;
  const isAlgorithm = elementsOf(first.contents)?.[0]?.tag === OBJECT_IDENTIFIER;
  if (isAlgorithm && second.tag === OCTET_STRING) return "encrypted-pkcs8"; // RFC 5958, section 3
  if (isAlgorithm && second.tag === BIT_STRING) return "spki"; // RFC 5280, section 4.1
  return second.tag === SEQUENCE && !isAlgorithm ? "certificate" : undefined;
}

/**
 * Returns the size that the outermost element states, or `undefined` if no SEQUENCE starts here.
 */
export function claimedSize(bytes: Uint8Array): number | undefined {
  const extent = readExtent(bytes, 0);
  return extent?.tag === SEQUENCE ? extent.end : undefined;
}

/**
 * Returns the consecutive elements in `bytes`.
 *
 * @throws {Error} if they do not end where `bytes` ends
 */
export function readElements(bytes: Uint8Array): DerElement[] {
  const elements = elementsOf(bytes);
  if (elements === undefined) throw new Error("the DER is malformed or cut off");
  return elements;
}

/**
 * Returns the contents of the only element in `bytes`.
 *
 * @throws {Error} if there is another tag, or another number of elements
 */
export function readOnly(bytes: Uint8Array, tag: number): Uint8Array {
  const [element, ...more] = readElements(bytes);
  if (element?.tag !== tag || more.length > 0) throw new Error("the DER holds something else");
  return element.contents;
}

/**
 * Returns the consecutive elements of BER in `bytes`, with definite or indefinite lengths (X.690
 * section 8.1.3.6). Nested elements are read only if the length depends on them.
 *
 * @param most the most elements that are read; if there are more, one more is returned
 * @throws {Error} when they are malformed or cut off
 */
export function readBer(bytes: Uint8Array, most: number): DerElement[] {
  const elements: DerElement[] = [];
  for (let offset = 0; offset < bytes.byteLength && elements.length <= most;) {
    const { tag, start, last, end } = berExtent(bytes, offset, 0);
    const encoding = bytes.subarray(offset, end);
    elements.push({ tag, contents: bytes.subarray(start, last), encoding });
    offset = end;
  }
  return elements;
}

/** The contents of an OCTET STRING, or of a tag in its place, in one part or several. */
export function berOctets({ tag, contents }: DerElement): Uint8Array {
  if ((tag & CONSTRUCTED) === 0) return contents;
  const parts = readBer(contents, MAX_ASN1_NODES);
  // X.690 section 8.21.5 allows nested parts, but no program writes them.
  if (!parts.every((part) => part.tag === OCTET_STRING)) throw new Error(MALFORMED);
  return concat(parts.map((part) => part.contents));
}

function berExtent(bytes: Uint8Array, offset: number, depth: number): Extent & { last: number } {
  const tag = bytes[offset] ?? 0;
  // Tags from 31 on take more bytes, and no format here has one; 0 ends an indefinite length.
  if (tag === 0 || (tag & 0x1f) === 0x1f || depth > MAX_ASN1_DEPTH) throw new Error(MALFORMED);
  if (bytes[offset + 1] !== INDEFINITE) {
    const extent = readExtent(bytes, offset);
    if (extent === undefined || extent.end > bytes.byteLength) throw new Error(MALFORMED);
    return { ...extent, last: extent.end };
  }
  if ((tag & CONSTRUCTED) === 0) throw new Error(MALFORMED);
  const start = offset + 2;
  let last = start;
  while (bytes[last] !== 0 || bytes[last + 1] !== 0) last = berExtent(bytes, last, depth + 1).end;
  return { tag, start, last, end: last + 2 };
}

function elementsOf(bytes: Uint8Array): DerElement[] | undefined {
  const elements: DerElement[] = [];
  let offset = 0;
  while (offset < bytes.byteLength) {
    const extent = readExtent(bytes, offset);
    if (extent === undefined || extent.end > bytes.byteLength) return undefined;
    if (elements.length === MAX_ASN1_NODES) return undefined;
    const { tag, start, end } = extent;
    const encoding = bytes.subarray(offset, end);
    elements.push({ tag, contents: bytes.subarray(start, end), encoding });
    offset = end;
  }
  return elements;
}

function readExtent(bytes: Uint8Array, offset: number): Extent | undefined {
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
  return { tag, start, end: start + length };
}

/**
 * Encodes one element with the shortest form of its length, as DER requires: X.690 section 10.1.
 */
export function encodeElement(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const length = contents.reduce((sum, part) => sum + part.byteLength, 0);
  return concat([Uint8Array.of(tag, ...encodeLength(length)), ...contents]);
}

function encodeLength(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [0x80 + bytes.length, ...bytes];
}
