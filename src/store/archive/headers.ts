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
export function isEndBlock(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}

/**
 * Reads the header block of an entry in a ustar, pax or GNU archive.
 * https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html, "ustar Interchange Format"
 *
 * @param where the name of the header in messages
 * @throws {@link OcicryptError} `LAYOUT_INVALID`
 */
export function parseHeader(block: Buffer, where: string): TarHeader {
  if (octal(block.subarray(148, 156)) !== checksum(block)) {
    throw invalid(`${where} has a wrong checksum: it is damaged, or the file is not a tar archive`);
  }
  const magic = block.toString("latin1", 257, 265);
  const isGnu = magic === "ustar  \0";
  if (!isGnu && magic !== "ustar\x0000") {
    throw invalid(`${where} has an unknown format; ustar, pax and GNU tar are supported`);
  }
  const size = number(block.subarray(124, 136));
  if (size === undefined) throw invalid(`${where} has no valid size`);
  // GNU's format has times where the other formats have the first part of a long name.
  const prefix = isGnu ? "" : text(block.subarray(345, 500));
  const name = text(block.subarray(0, 100));
  const type = block.toString("latin1", 156, 157);
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
export function parsePaxRecords(bytes: Buffer, where: string): PaxRecords {
  const records: PaxRecords = {};
  for (let start = 0; start < bytes.length;) {
    const space = bytes.indexOf(" ", start);
    const length = space < 0 ? undefined : decimal(bytes.toString("latin1", start, space));
    const end = start + (length ?? 0);
    const equals = bytes.indexOf("=", space);
    // Reading beyond the last byte gives `undefined`, which is not a line end.
    const isWhole = equals > space && equals < end && bytes[end - 1] === 0x0a;
    if (!isWhole) throw invalid(`${where} holds a damaged pax record`);
    const key = bytes.toString("utf8", space + 1, equals);
    const value = bytes.toString("utf8", equals + 1, end - 1);
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
    start = end;
  }
  return records;
}

/** The characters up to the first NUL. */
export function text(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? field.length : end);
}

export function invalid(message: string): OcicryptError {
  return new OcicryptError("LAYOUT_INVALID", message);
}

/** The sum of all bytes; the bytes of the sum itself count as spaces. */
function checksum(block: Buffer): number {
  return block.reduce((sum, byte, i) => sum + (i >= 148 && i < 156 ? 0x20 : byte), 0);
}

function octal(field: Buffer): number | undefined {
  const digits = /^ *([0-7]+)[ \0]*$/.exec(field.toString("latin1"))?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 8);
}

/** Reads an octal number, or a binary number, which large sizes need. */
function number(field: Buffer): number | undefined {
  const isBinary = ((field[0] ?? 0) & 0x80) !== 0;
  if (!isBinary) return octal(field);
  // 0xff begins a negative number.
  if (field[0] !== 0x80) return undefined;
  return safe(Number(BigInt(`0x${field.toString("hex", 1)}`)));
}

function decimal(digits: string): number | undefined {
  return /^\d{1,16}$/.test(digits) ? safe(Number(digits)) : undefined;
}

function safe(value: number): number | undefined {
  return Number.isSafeInteger(value) ? value : undefined;
}
