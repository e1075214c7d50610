import { concat, fromLatin1, fromUtf8, toLatin1 } from "#engine/bytes";
import { BLOCK, padded } from "./headers.js";

/*
 * The interchange format of https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html.
 * tar-stream's pack writes names and attributes as UTF-8 only, and would change those of files that
 * are not.
 */

/** The values of an entry. Texts have one character for each byte. */
export interface WrittenHeader {
  name: string;
  /** One character, such as `0` for a file. */
  type: string;
  mode: number;
  uid: number;
  gid: number;
  /** The size of the content, in bytes. */
  size: number;
  /** The seconds since 1970, as a decimal number. */
  mtime: string;
  /** The target of a link. */
  target: string;
  device: { major: number; minor: number };
  xattrs?: ReadonlyMap<string, Uint8Array> | undefined;
}

/** A file to be put into an archive. */
export interface ArchiveEntry {
  name: string;
  /** The size of the content, in bytes. */
  size: number;
  content: AsyncIterable<Uint8Array>;
}

/** The two blocks at the end of an archive. */
export const END: Uint8Array = new Uint8Array(2 * BLOCK);

/** The longest name, in bytes, and the largest numbers of a header block. */
const LONGEST = 100;
const LARGEST = { id: 0o7777777, size: 0o77777777777 } as const;

/** Returns the header of an entry, with an extended header if a value has no room in it. */
export function writeHeader(header: WrittenHeader): Uint8Array {
  const { name, target, size, uid, gid, mtime, xattrs } = header;
  const seconds = Math.floor(Number(mtime));
  const isPlainTime = /^\d+$/.test(mtime) && seconds <= LARGEST.size;
  const records: Uint8Array[] = [
    ...(name.length > LONGEST ? [record("path", name)] : []),
    ...(target.length > LONGEST ? [record("linkpath", target)] : []),
    ...(size > LARGEST.size ? [record("size", String(size))] : []),
    ...(uid > LARGEST.id ? [record("uid", String(uid))] : []),
    ...(gid > LARGEST.id ? [record("gid", String(gid))] : []),
    ...(isPlainTime ? [] : [record("mtime", mtime)]),
    ...Array.from(xattrs ?? [], ([key, value]) =>
      record(`SCHILY.xattr.${toLatin1(fromUtf8(key))}`, toLatin1(value)),
    ),
  ];
  const own = block({ ...header, mtime: seconds });
  if (records.length === 0) return own;
  const content = concat(records);
  const extended = block({
    ...{ name: "PaxHeaders/entry", mode: 0o644, uid: 0, gid: 0, mtime: 0, type: "x", target: "" },
    ...{ size: content.length, device: { major: 0, minor: 0 } },
  });
  return concat([extended, content, padding(content.length), own]);
}

/** The header of a file that says nothing of when, where or by whom it was written. */
export function fileHeader(name: string, size: number): Uint8Array {
  const file = { type: "0", mode: 0o644, uid: 0, gid: 0, mtime: "0", target: "" };
  return writeHeader({ ...file, name, size, device: { major: 0, minor: 0 } });
}

/**
 * Yields an archive of files. It does not contain when, where or by whom it was written: equal files
 * make equal archives.
 */
export async function* archiveOf(
  entries: readonly ArchiveEntry[],
): AsyncGenerator<Uint8Array, void, undefined> {
  for (const { name, size, content } of entries) {
    yield fileHeader(name, size);
    let written = 0;
    for await (const chunk of content) {
      written += chunk.byteLength;
      if (written > size) break;
      yield chunk;
    }
    if (written !== size)
      throw new RangeError(`Size mismatch: ${name} has not ${String(size)} bytes`);
    yield padding(size);
  }
  yield END;
}

/** Returns the zeros that follow content of this size, in bytes. */
export function padding(size: number): Uint8Array {
  return END.subarray(0, padded(size) - size);
}

/** A pax record: its length, which counts itself, a key and a value. */
function record(key: string, value: string): Uint8Array {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (length !== String(length).length + rest.length)
    length = String(length).length + rest.length;
  return fromLatin1(`${String(length)}${rest}`);
}

type Block = Omit<WrittenHeader, "mtime" | "xattrs"> & { mtime: number };

function block({ name, mode, uid, gid, size, mtime, type, target, device }: Block): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  const text = (value: string, at: number, length: number): void => {
    bytes.set(fromLatin1(value.slice(0, length)), at);
  };
  const number = (value: number, at: number, length: number): void => {
    const digits = value.toString(8).padStart(length - 1, "0");
    // A value without room is in the extended header.
    text(value >= 0 && digits.length < length ? digits : "0".repeat(length - 1), at, length);
  };
  text(name, 0, LONGEST);
  number(mode, 100, 8);
  number(uid, 108, 8);
  number(gid, 116, 8);
  number(size, 124, 12);
  number(mtime, 136, 12);
  text("        ", 148, 8);
  text(type, 156, 1);
  text(target, 157, LONGEST);
  text("ustar\x0000", 257, 8);
  number(device.major, 329, 8);
  number(device.minor, 337, 8);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  text(`${sum.toString(8).padStart(6, "0")}\0`, 148, 7);
  return bytes;
}
