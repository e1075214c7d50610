import { BLOCK, padded } from "../store/archive/headers.js";
import type { Inode } from "./tree.js";

/*
 * The interchange format of https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html.
 * tar-stream's pack writes names and attributes as UTF-8 only, and would change those of files that
 * are not.
 */

/** An entry to write; names have one character for each byte. */
export interface WrittenEntry {
  name: string;
  inode: Inode;
  /** The name of an earlier entry that this one is a hard link to. */
  linkTo?: string | undefined;
}

/** The two blocks at the end of an archive. */
export const END: Uint8Array = new Uint8Array(2 * BLOCK);

const TYPES: Readonly<Record<Inode["type"], string>> = {
  file: "0",
  symlink: "2",
  "character-device": "3",
  "block-device": "4",
  directory: "5",
  fifo: "6",
};

/** The longest name, in bytes, and the largest numbers of a header block. */
const LONGEST = 100;
const LARGEST = { id: 0o7777777, size: 0o77777777777 } as const;

/** Returns the header of an entry, with an extended header if a value has no room in it. */
export function writeHeader({ name, inode, linkTo }: WrittenEntry): Uint8Array {
  const { uid, gid, mtime, xattrs, device } = inode;
  const target = linkTo ?? (inode.type === "symlink" ? inode.target : "");
  const size = linkTo === undefined ? inode.size : 0;
  const seconds = Math.floor(Number(mtime));
  const isPlainTime = /^\d+$/.test(mtime) && seconds <= LARGEST.size;
  const records: Buffer[] = [
    ...(name.length > LONGEST ? [record("path", name)] : []),
    ...(target.length > LONGEST ? [record("linkpath", target)] : []),
    ...(size > LARGEST.size ? [record("size", String(size))] : []),
    ...(uid > LARGEST.id ? [record("uid", String(uid))] : []),
    ...(gid > LARGEST.id ? [record("gid", String(gid))] : []),
    ...(isPlainTime ? [] : [record("mtime", mtime)]),
    ...(linkTo === undefined
      ? Array.from(xattrs ?? [], ([key, value]) =>
          record(`SCHILY.xattr.${Buffer.from(key).toString("latin1")}`, value.toString("latin1")),
        )
      : []),
  ];
  const header = block({
    ...{ name, mode: inode.mode, uid, gid, size, mtime: seconds, target, device },
    type: linkTo === undefined ? TYPES[inode.type] : "1",
  });
  if (records.length === 0) return header;
  const content = Buffer.concat(records);
  const extended = block({
    ...{ name: "PaxHeaders/entry", mode: 0o644, uid: 0, gid: 0, mtime: 0, type: "x", target: "" },
    ...{ size: content.length, device: { major: 0, minor: 0 } },
  });
  return Buffer.concat([extended, content, padding(content.length), header]);
}

/** Returns the zeros that follow content of this size, in bytes. */
export function padding(size: number): Uint8Array {
  return END.subarray(0, padded(size) - size);
}

/** A pax record: its length, which counts itself, a key and a value. */
function record(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (length !== String(length).length + rest.length)
    length = String(length).length + rest.length;
  return Buffer.from(`${String(length)}${rest}`, "latin1");
}

interface Block extends Pick<Inode, "mode" | "uid" | "gid" | "size" | "target" | "device"> {
  name: string;
  type: string;
  mtime: number;
}

function block({ name, mode, uid, gid, size, mtime, type, target, device }: Block): Buffer {
  const bytes = Buffer.alloc(BLOCK);
  const text = (value: string, at: number, length: number): void => {
    bytes.write(value.slice(0, length), at, "latin1");
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
