export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const OBJECT_IDENTIFIER = 0x06;
export const SEQUENCE = 0x30;
export const SET = 0x31;

/** One element: X.690 section 8.1, with a tag below 31 and a definite length. */
export interface DerElement {
  tag: number;
  contents: Uint8Array;
  /** Tag, length and contents. */
  encoding: Uint8Array;
}

/**
 * The elements that follow one another in `bytes`.
 *
 * @throws {RangeError} when they do not end where `bytes` does
 */
export function readElements(bytes: Uint8Array): DerElement[] {
  const elements: DerElement[] = [];
  let start = 0;
  while (start < bytes.byteLength) {
    const tag = bytes[start];
    let length = bytes[start + 1];
    if (tag === undefined || length === undefined) throw new RangeError("DER is cut off");
    let from = start + 2;
    if (length >= 0x80) {
      const count = length - 0x80;
      if (count === 0 || count > 4) throw new RangeError("a DER length is not usable");
      length = 0;
      for (const byte of bytes.subarray(from, from + count)) length = length * 256 + byte;
      from += count;
    }
    const end = from + length;
    if (end > bytes.byteLength) throw new RangeError("DER is cut off");
    elements.push({
      tag,
      contents: bytes.subarray(from, end),
      encoding: bytes.subarray(start, end),
    });
    start = end;
  }
  return elements;
}

/**
 * The contents of the one element that `bytes` holds.
 *
 * @throws {RangeError} when there is another tag, or another number of elements
 */
export function readOnly(bytes: Uint8Array, tag: number): Uint8Array {
  const [element, ...more] = readElements(bytes);
  if (element?.tag !== tag || more.length > 0) throw new RangeError("DER holds something else");
  return element.contents;
}

/** Encodes one element with the shortest length, as DER has it: X.690 section 10.1. */
export function encodeElement(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const length = contents.reduce((sum, part) => sum + part.byteLength, 0);
  return Buffer.concat([Buffer.from([tag, ...encodeLength(length)]), ...contents]);
}

function encodeLength(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [0x80 + bytes.length, ...bytes];
}
