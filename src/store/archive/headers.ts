import { toLatin1, toUtf8 } from "#engine/bytes";
import { OcicryptError } from "../../errors.js";

/** The bytes of a block: a tar archive is a sequence of blocks. */
export const BLOCK = 512;

/** The content of the header block of an entry. */
export interface TarHeader {
  name: string;
  size: number;
  /** One character, such as `0` for a file. */
  type: string;
  /** The target of a link. */
  target: string;
}

/** The values of a pax extended header that replace those of the next header block. */
export interface PaxRecords {
  path?: string;
  size?: number;
  /** The target of a link. */
  linkpath?: string;
}

/** The size of an entry's content with its padding. */
export function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

/** Whether a block is one of the two blocks that end an archive. */
export function isEndBlock(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

/**
 * Reads the header block of an entry in a ustar, pax or GNU archive.
 * https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html, "ustar Interchange Format"
 *
 * @param where the name of the header in messages
 * @throws {@link OcicryptError} `LAYOUT_INVALID`
 */
export function parseHeader(block: Uint8Array, where: string): TarHeader {
  if (octal(block.subarray(148, 156)) !== checksum(block)) {
    throw invalid(`${where} has a wrong checksum: it is damaged, or the file is not a tar archive`);
  }
  const magic = toLatin1(block.subarray(257, 265));
  const isGnu = magic === "ustar  \0";
  if (!isGnu && magic !== "ustar\x0000") {
    throw invalid(`${where} has an unknown format; ustar, pax and GNU tar are supported`);
  }
  const size = number(block.subarray(124, 136));
  if (size === undefined) throw invalid(`${where} has no valid size`);
  // GNU's format has times where the other formats have the first part of a long name.
  const prefix = isGnu ? "" : text(block.subarray(345, 500));
  const name = text(block.subarray(0, 100));
  const type = toLatin1(block.subarray(156, 157));
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    size,
    type: type === "\0" ? "0" : type,
    target: text(block.subarray(157, 257)),
  };
}

/**
 * Reads the records of a pax extended header, each `LENGTH KEY=VALUE\n`.
 * https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html, "pax Header"
 *
 * @throws {@link OcicryptError} `LAYOUT_INVALID`, also for the records of a sparse file
 */
export function parsePaxRecords(bytes: Uint8Array, where: string): PaxRecords {
  const records: PaxRecords = {};
  const damaged = (): OcicryptError => invalid(`${where} holds a damaged pax record`);
  for (const [key, content] of splitPaxRecords(bytes, damaged)) {
    const value = toUtf8(content);
    if (key.startsWith("GNU.sparse.")) throw invalid(`${where} is that of a sparse file`);
    if (key === "path") {
      if (records.path !== undefined || value === "" || value.includes("\0")) {
        throw invalid(`${where} holds no valid path`);
      }
      records.path = value;
    } else if (key === "linkpath") {
      if (records.linkpath !== undefined) throw invalid(`${where} holds two targets of a link`);
      records.linkpath = value;
    } else if (key === "size") {
      const size = decimal(value);
      if (records.size !== undefined || size === undefined) {
        throw invalid(`${where} holds no valid size`);
      }
      records.size = size;
    }
  }
  return records;
}

const SPACE = 0x20;
const EQUALS = 0x3d;

/**
 * Splits the content of a pax extended header into its records.
 *
 * @param damaged makes the error for a record without a valid length, key or line end
 */
export function* splitPaxRecords(
  bytes: Uint8Array,
  damaged: () => OcicryptError,
): Generator<[key: string, value: Uint8Array], void, undefined> {
  for (let start = 0; start < bytes.length;) {
    const space = bytes.indexOf(SPACE, start);
    const length = space < 0 ? undefined : decimal(toLatin1(bytes.subarray(start, space)));
    const end = start + (length ?? 0);
    const equals = bytes.indexOf(EQUALS, space);
    // Reading beyond the last byte gives `undefined`, which is not a line end.
    const isWhole = equals > space && equals < end && bytes[end - 1] === 0x0a;
    if (!isWhole) throw damaged();
    yield [toUtf8(bytes.subarray(space + 1, equals)), bytes.subarray(equals + 1, end - 1)];
    start = end;
  }
}

/** The characters up to the first NUL. */
export function text(field: Uint8Array): string {
  const end = field.indexOf(0);
  return toUtf8(end < 0 ? field : field.subarray(0, end));
}

export function invalid(message: string): OcicryptError {
  return new OcicryptError("LAYOUT_INVALID", message);
}

/** The sum of all bytes; the bytes of the sum itself count as spaces. */
function checksum(block: Uint8Array): number {
  return block.reduce((sum, byte, i) => sum + (i >= 148 && i < 156 ? 0x20 : byte), 0);
}

function octal(field: Uint8Array): number | undefined {
  const digits = /^ *([0-7]+)[ \0]*$/.exec(toLatin1(field))?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 8);
}

/** Reads an octal number, or a binary number, which large sizes need. */
function number(field: Uint8Array): number | undefined {
  const isBinary = ((field[0] ?? 0) & 0x80) !== 0;
  if (!isBinary) return octal(field);
  // 0xff begins a negative number.
  if (field[0] !== 0x80) return undefined;
  // A number above all safe ones stays so, however it is rounded.
  return safe(field.subarray(1).reduce((value, byte) => 256 * value + byte, 0));
}

/** Reads a decimal number of at most 16 digits. */
export function decimal(digits: string): number | undefined {
  return /^\d{1,16}$/.test(digits) ? safe(Number(digits)) : undefined;
}

function safe(value: number): number | undefined {
  return Number.isSafeInteger(value) ? value : undefined;
}
