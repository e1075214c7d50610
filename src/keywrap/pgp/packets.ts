import { decodeBase64 } from "../../spec/base64.js";
import { bodyOf, pemBlocks, type PemBlock } from "../../keys/pem.js";

/** A block of ASCII armor; RFC 9580 section 6. */
export interface ArmoredBlock {
  /** The text after `BEGIN `, such as `PGP MESSAGE`. */
  label: string;
  /** `undefined` when the base64 is damaged. */
  bytes: Uint8Array | undefined;
}

/** Whether bytes are text: packets start with a byte above 127, armor never does. */
export function isArmored(bytes: Uint8Array): boolean {
  return (bytes[0] ?? 0x80) < 0x80 || (bytes[0] === 0xef && bytes[1] === 0xbb);
}

/** Reads all blocks of a text and skips the text around them. */
export function readArmor(text: string): ArmoredBlock[] {
  return pemBlocks(text)
    .filter(({ label }) => label.startsWith("PGP "))
    .map((block) => ({ label: block.label, bytes: decodeBody(block) }));
}

function decodeBody(block: PemBlock): Uint8Array | undefined {
  const lines = bodyOf(block).split(/[\r\n]/);
  if (lines.length === 1) return decodeJoined(lines.join(""));
  const body: string[] = [];
  let isHeader = true;
  for (const line of lines.map((each) => each.trim())) {
    // RFC 9580 section 6.1 forbids rejecting armor because of its checksum.
    if (line.startsWith("=")) break;
    if (isHeader && line.includes(":")) continue;
    if (line !== "") isHeader = false;
    body.push(line);
  }
  return decodeBase64(body.join("")) ?? undefined;
}

/** Decodes a block that has lost its line ends, and has no headers, as GnuPG writes it. */
function decodeJoined(text: string): Uint8Array | undefined {
  const body = text.replace(/\s/g, "");
  const [, base64] = /^([A-Za-z0-9+/]+={0,2})(?:=[A-Za-z0-9+/]{4})?$/.exec(body) ?? [];
  return base64 === undefined ? undefined : (decodeBase64(base64) ?? undefined);
}

/** The packet types used here; RFC 9580 section 5. */
export const TAG = {
  publicKeySessionKey: 1,
  signature: 2,
  symmetricKeySessionKey: 3,
  secretKey: 5,
  publicKey: 6,
  secretSubkey: 7,
  compressedData: 8,
  unprotectedData: 9,
  marker: 10,
  literalData: 11,
  userId: 13,
  publicSubkey: 14,
  userAttribute: 17,
  protectedData: 18,
  ocbData: 20,
  padding: 21,
} as const;

export interface Packet {
  tag: number;
  /** The content; for a packet in parts, the content of the first part. */
  body: Uint8Array;
  /** The complete packet, including its header. */
  raw: Uint8Array;
}

interface Extent {
  bodyStart: number;
  bodyEnd: number;
  end: number;
}

/** RFC 9580 section 4.2.1.4: only these may come in parts or extend to the end. */
const DATA_TAGS: readonly number[] = [
  TAG.compressedData,
  TAG.unprotectedData,
  TAG.literalData,
  TAG.protectedData,
  TAG.ocbData,
];

/** Splits a sequence of packets; `undefined` if a header is wrong or there are more than `limit`. */
export function readPackets(bytes: Uint8Array, limit: number): Packet[] | undefined {
  const packets: Packet[] = [];
  let start = 0;
  while (start < bytes.byteLength) {
    const header = bytes[start] ?? 0;
    if ((header & 0x80) === 0 || packets.length === limit) return undefined;
    const isCurrent = (header & 0x40) !== 0;
    const tag = isCurrent ? header & 0x3f : (header >> 2) & 0x0f;
    const extent = isCurrent
      ? currentExtent(bytes, start + 1, DATA_TAGS.includes(tag))
      : legacyExtent(bytes, start + 1, header & 0x03, DATA_TAGS.includes(tag));
    if (extent === undefined || extent.end > bytes.byteLength) return undefined;
    packets.push({
      tag,
      body: bytes.subarray(extent.bodyStart, extent.bodyEnd),
      raw: bytes.subarray(start, extent.end),
    });
    start = extent.end;
  }
  return packets;
}

/** RFC 9580 section 4.2.1. */
function currentExtent(bytes: Uint8Array, at: number, mayBePartial: boolean): Extent | undefined {
  const first = readLength(bytes, at);
  if (first === undefined) return undefined;
  const bodyEnd = first.start + first.length;
  let last = first;
  while (last.isPartial) {
    if (!mayBePartial) return undefined;
    const next = readLength(bytes, last.start + last.length);
    if (next === undefined) return undefined;
    last = next;
  }
  return { bodyStart: first.start, bodyEnd, end: last.start + last.length };
}

function readLength(
  bytes: Uint8Array,
  at: number,
): { start: number; length: number; isPartial: boolean } | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  if (first < 192) return { start: at + 1, length: first, isPartial: false };
  if (first < 224) {
    const second = bytes[at + 1];
    if (second === undefined) return undefined;
    return { start: at + 2, length: (first - 192) * 256 + second + 192, isPartial: false };
  }
  if (first < 255) return { start: at + 1, length: 2 ** (first & 0x1f), isPartial: true };
  const length = readUint(bytes, at + 1, 4);
  return length === undefined ? undefined : { start: at + 5, length, isPartial: false };
}

/** RFC 9580 section 4.2.2. */
function legacyExtent(
  bytes: Uint8Array,
  at: number,
  lengthType: number,
  mayBeOpen: boolean,
): Extent | undefined {
  if (lengthType === 3) {
    const end = bytes.byteLength;
    return mayBeOpen ? { bodyStart: at, bodyEnd: end, end } : undefined;
  }
  const size = 2 ** lengthType;
  const length = readUint(bytes, at, size);
  if (length === undefined) return undefined;
  const bodyStart = at + size;
  return { bodyStart, bodyEnd: bodyStart + length, end: bodyStart + length };
}

/** Reads a big-endian number; `undefined` if it exceeds the bytes. */
export function readUint(bytes: Uint8Array, at: number, size: number): number | undefined {
  if (at + size > bytes.byteLength) return undefined;
  let value = 0;
  for (const byte of bytes.subarray(at, at + size)) value = value * 256 + byte;
  return value;
}
