import { toHex, toLatin1 } from "#engine/bytes";
import { OcicryptError } from "../errors.js";
import { MAX_FILE_NAME } from "../spec/limits.js";
import { decimal, splitPaxRecords } from "../store/archive/headers.js";

/*
 * The formats of https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html ("ustar
 * Interchange Format", "pax Header Block"), and GNU's and star's forms of them as Go's archive/tar
 * reads them (reader.go, format.go): container runtimes unpack layers with it. Names are "binary"
 * strings with one character for each byte, because tar does not say how they are encoded.
 */

/** The content of a header block, before extended headers change it. */
export interface Header {
  name: string;
  mode: number;
  uid: number;
  gid: number;
  /** The bytes of content in the archive. */
  size: number;
  /** The seconds since 1970, as a decimal number. */
  mtime: string;
  /** One character, such as `0` for a file. */
  type: string;
  target: string;
  device: Device;
}

export interface Device {
  major: number;
  minor: number;
}

/** A part of a sparse file that is stored. Everything between the parts is zeros. */
export interface Segment {
  offset: number;
  size: number;
}

/** The values of extended headers for one entry. */
export interface Extension {
  name?: string;
  target?: string;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: string;
  /** The extended attributes of the file by their names, in the order of the archive. */
  xattrs?: Map<string, Uint8Array>;
  sparse?: SparseRecords;
}

/** The records about a sparse file, in GNU tar's versions 0.0, 0.1 and 1.0 of the format. */
export interface SparseRecords {
  name?: string;
  /** The size of the file with its holes. */
  size?: number;
  segments?: Segment[];
  /** Whether the segments are at the start of the content. */
  isInContent?: boolean;
}

export function unreadable(message: string): OcicryptError {
  return new OcicryptError("LAYER_UNREADABLE", message);
}

/**
 * Reads the header block of an entry.
 *
 * @param where the name of the header in messages
 * @throws {@link OcicryptError} `LAYER_UNREADABLE`
 */
export function readHeader(block: Uint8Array, where: string): Header {
  const sum = number(block, 148, 8);
  if (sum === undefined || !checksums(block).includes(sum)) {
    throw unreadable(
      `${where} has a wrong checksum: the layer is not a tar archive, or is damaged`,
    );
  }
  const magic = toLatin1(block.subarray(257, 265));
  const isUstar = magic.startsWith("ustar\0");
  const isGnu = magic === "ustar  \0";
  // Version 7 has neither devices nor a prefix; GNU and star have times in a part of the prefix.
  const isStar = isUstar && toLatin1(block.subarray(508, 512)) === "tar\0";
  const prefix = isUstar ? text(block, 345, isStar ? 131 : 155) : "";
  const name = text(block, 0, 100);
  const type = toLatin1(block.subarray(156, 157));
  const value = (start: number, length: number): number => {
    const found = number(block, start, length);
    if (found !== undefined) return found;
    throw unreadable(`${where} holds no valid number at byte ${String(start)}`);
  };
  const natural = (start: number, length: number): number => {
    const found = value(start, length);
    if (found >= 0) return found;
    throw unreadable(`${where} holds a negative number at byte ${String(start)}`);
  };
  const hasDevice = (isUstar || isGnu) && (type === "3" || type === "4");
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    mode: natural(100, 8) & 0o7777,
    uid: natural(108, 8),
    gid: natural(116, 8),
    size: natural(124, 12),
    mtime: String(value(136, 12)),
    type: type === "\0" ? "0" : type,
    target: text(block, 157, 100),
    device: {
      major: hasDevice ? natural(329, 8) : 0,
      minor: hasDevice ? natural(337, 8) : 0,
    },
  };
}

/**
 * Reads the records of a pax extended header. Unknown records are ignored.
 *
 * @throws {@link OcicryptError} `LAYER_UNREADABLE`
 */
export function readExtension(bytes: Uint8Array, where: string): Extension {
  const extension: Extension = {};
  const fail = (): OcicryptError => unreadable(`${where} holds a damaged pax record`);
  for (const [key, bytesOfValue] of splitPaxRecords(bytes, fail)) {
    const value = toLatin1(bytesOfValue);
    if (key.startsWith(XATTR)) {
      (extension.xattrs ??= new Map()).set(key.slice(XATTR.length), new Uint8Array(bytesOfValue));
    } else if (key.startsWith(SPARSE)) {
      readSparse((extension.sparse ??= {}), key.slice(SPARSE.length), value, fail);
    } else if (value === "") {
      // An empty value means that of the header block.
    } else if (key === "path") extension.name = requireName(value, where);
    else if (key === "linkpath") extension.target = requireName(value, where);
    else if (key === "size") extension.size = whole(value, fail);
    else if (key === "uid") extension.uid = whole(value, fail);
    else if (key === "gid") extension.gid = whole(value, fail);
    else if (key === "mtime") {
      const [, time] = /^(-?\d{1,12}(?:\.\d{1,9})?)\d*$/.exec(value) ?? [];
      if (time === undefined) throw fail();
      extension.mtime = time;
    }
  }
  return extension;
}

const XATTR = "SCHILY.xattr.";
const SPARSE = "GNU.sparse.";

/** https://www.gnu.org/software/tar/manual/html_section/Sparse-Formats.html */
function readSparse(
  records: SparseRecords,
  key: string,
  value: string,
  fail: () => OcicryptError,
): void {
  if (key === "name") records.name = value;
  else if (key === "size" || key === "realsize") records.size = whole(value, fail);
  else if (key === "major") records.isInContent = value === "1";
  else if (key === "offset")
    (records.segments ??= []).push({ offset: whole(value, fail), size: -1 });
  else if (key === "numbytes") {
    const last = records.segments?.at(-1);
    if (last?.size !== -1) throw fail();
    last.size = whole(value, fail);
  } else if (key === "map") {
    const numbers = value === "" ? [] : value.split(",").map((each) => whole(each, fail));
    records.segments = [];
    for (let i = 0; i < numbers.length; i += 2) {
      const [offset = -1, size = -1] = numbers.slice(i, i + 2);
      records.segments.push({ offset, size });
    }
  }
}

/** Reads a decimal number of a pax record. */
function whole(digits: string, fail: () => OcicryptError): number {
  const found = decimal(digits);
  if (found === undefined) throw fail();
  return found;
}

/**
 * Returns a name from an extended header.
 *
 * @throws {@link OcicryptError} `LAYER_UNREADABLE`
 */
export function requireName(name: string, where: string): string {
  if (name.length > MAX_FILE_NAME) {
    throw unreadable(`${where} has a name of more than ${String(MAX_FILE_NAME)} bytes`);
  }
  if (name.includes("\0")) throw unreadable(`${where} has a name with a NUL character`);
  return name;
}

/** The characters up to the first NUL. */
export function text(block: Uint8Array, start = 0, length: number = block.length): string {
  const field = toLatin1(block.subarray(start, start + length));
  const end = field.indexOf("\0");
  return end < 0 ? field : field.slice(0, end);
}

/** Reads a number of a header block: octal, or binary with the sign in the second bit. */
export function number(block: Uint8Array, start: number, length: number): number | undefined {
  const first = block[start] ?? 0;
  if ((first & 0x80) === 0) {
    const digits = toLatin1(block.subarray(start, start + length)).replace(/^[ \0]+|[ \0]+$/g, "");
    return /^[0-7]*$/.test(digits) ? Number.parseInt(`0${digits}`, 8) : undefined;
  }
  const isNegative = (first & 0x40) !== 0;
  const bits = BigInt(8 * length);
  const raw = BigInt(`0x${toHex(block.subarray(start, start + length))}`);
  const value = Number(isNegative ? raw - (1n << bits) : raw - (1n << (bits - 1n)));
  return Number.isSafeInteger(value) ? value : undefined;
}

/** The sums of all bytes, without and with sign; the bytes of the sum itself count as spaces. */
function checksums(block: Uint8Array): [number, number] {
  let unsigned = 0;
  let signed = 0;
  for (const [i, byte] of block.entries()) {
    const counted = i >= 148 && i < 156 ? 0x20 : byte;
    unsigned += counted;
    signed += counted > 127 ? counted - 256 : counted;
  }
  return [unsigned, signed];
}
