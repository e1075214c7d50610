import { CONFIG, digestOf, type Entry } from "../../support/image.js";
import { member, paxRecord, type Member } from "./members.js";

/** A layout with one blob, in archives that readers accept and in archives that they reject. */

export const MARK = '{"imageLayoutVersion":"1.0.0"}';
export const BLOB: Buffer = Buffer.from("content of a blob, longer than nothing");
export const DIGEST = digestOf(BLOB);
export const BLOB_NAME = `blobs/${DIGEST.replace(":", "/")}`;
export const ENTRY: Entry = { mediaType: CONFIG, digest: DIGEST, size: BLOB.byteLength };
export const INDEX = JSON.stringify({ schemaVersion: 2, manifests: [ENTRY] });

export const mark: Buffer = member({ name: "oci-layout" }, MARK);
export const index: Buffer = member({ name: "index.json" }, INDEX);
export const blob: Buffer = member({ name: BLOB_NAME }, BLOB);

/** The members of archives that are read. */
export const ACCEPTED: Record<string, readonly Uint8Array[]> = {
  "in any order": [blob, index, mark],
  "with directories": [
    member({ name: "blobs/", type: "5" }),
    member({ name: "blobs/sha256", type: "5" }),
    ...[mark, index, blob],
  ],
  "with ./ before its names": [
    member({ name: "./", type: "5" }),
    member({ name: "./blobs/", type: "5" }),
    member({ name: "./oci-layout" }, MARK),
    member({ name: "././index.json" }, INDEX),
    member({ name: `./${BLOB_NAME}` }, BLOB),
  ],
  "in a directory": [
    member({ name: "my/layout/", type: "5" }),
    member({ name: "my/layout/oci-layout" }, MARK),
    member({ name: "my/layout/index.json" }, INDEX),
    member({ name: `my/layout/${BLOB_NAME}` }, BLOB),
    member({ name: "my/notes.txt" }, "unrelated"),
  ],
  "in a directory, with ./ before its names and links": [
    member({ name: "./layout/oci-layout" }, MARK),
    member({ name: "./layout/index.json" }, INDEX),
    member({ name: "./layout/content" }, BLOB),
    member({ name: `./layout/${BLOB_NAME}`, type: "1", target: "./layout/content" }),
  ],
  "of GNU tar": [
    member({ name: "oci-layout", magic: "ustar  \0" }, MARK),
    // Where ustar has a prefix, GNU tar has times.
    member({ name: "index.json", magic: "ustar  \0", prefix: "14000000000" }, INDEX),
    member({ name: BLOB_NAME, magic: "ustar  \0" }, BLOB),
  ],
  "with a long name of GNU tar": [
    ...[mark, index],
    member({ name: "././@LongLink", type: "L" }, `${BLOB_NAME}\0`),
    member({ name: "cut" }, BLOB),
  ],
  "with a name in two parts": [
    ...[mark, index],
    member({ name: DIGEST.slice("sha256:".length), prefix: "blobs/sha256" }, BLOB),
  ],
  "with a name in a pax header": [
    ...[mark, index],
    member({ name: "PaxHeader", type: "x" }, paxRecord("path", BLOB_NAME)),
    member({ name: "cut" }, BLOB),
  ],
  "with its size in a pax header": [
    ...[mark, index],
    member({ name: "PaxHeader", type: "x" }, paxRecord("size", String(BLOB.byteLength))),
    member({ name: BLOB_NAME, size: "00000000000\0" }, BLOB),
  ],
  "with pax headers that say nothing of names and sizes": [
    member({ name: "g", type: "g" }, paxRecord("comment", "made by hand")),
    member(
      { name: "x", type: "x" },
      paxRecord("mtime", "1.5") + paxRecord("__proto__", "a=b\n\0c") + paxRecord("é", ""),
    ),
    ...[mark, index, blob],
  ],
  "with a binary size": [
    ...[mark, index],
    member({ name: BLOB_NAME, size: binarySize(BLOB.byteLength) }, BLOB),
  ],
  "with its blob as a hard link": [
    ...[mark, index],
    member({ name: "cache/blob" }, BLOB),
    member({ name: BLOB_NAME, type: "1", target: "./cache/blob" }),
  ],
  "with its files as symbolic links": [
    member({ name: "index.json", type: "2", target: "all/index" }),
    member({ name: "all/index" }, INDEX),
    member({ name: BLOB_NAME, type: "2", target: "../../all/one" }),
    member({ name: "all/one", type: "2", target: "two" }),
    member({ name: "all/two" }, BLOB),
    mark,
  ],
  "with a link of a long target": [
    ...[mark, index],
    member({ name: `${"a".repeat(90)}/${"b".repeat(9)}`, prefix: "c".repeat(99) }, BLOB),
    member({ name: "K", type: "K" }, `${"c".repeat(99)}/${"a".repeat(90)}/${"b".repeat(9)}\0`),
    member({ name: BLOB_NAME, type: "1", target: "cut" }),
  ],
  "with a target in a pax header": [
    ...[mark, index],
    member({ name: "x", type: "x" }, paxRecord("linkpath", "é")),
    member({ name: BLOB_NAME, type: "1", target: "cut" }),
    member({ name: "é" }, BLOB),
  ],
  "with links and devices that layouts do not have": [
    ...[mark, index, blob],
    member({ name: "current", type: "2", target: "index.json" }),
    member({ name: "outside", type: "2", target: "../../etc/passwd" }),
    member({ name: "nowhere", type: "1", target: "none" }),
    member({ name: "null", type: "3" }),
    member({ name: "pipe", type: "6" }),
  ],
  "with files that layouts do not have": [
    ...[mark, index],
    member({ name: "manifest.json" }, "[]"),
    member({ name: "manifest.json" }, "[]"),
    member({ name: "blobs/sha256/README", type: "\0" }, "no blob"),
    member({ name: "blobs/md5/d41d8cd98f00b204e9800998ecf8427e" }),
    blob,
  ],
};

const GNU_SPARSE = member({ name: BLOB_NAME, type: "S", magic: "ustar  \0" }, BLOB);

/** A part of the message about an archive, and its members after the mark and the index. */
export const REJECTED: Record<string, readonly [says: string, ...Uint8Array[]]> = {
  "a blob and a hard link of its name": ["twice", blob, member({ name: BLOB_NAME, type: "1" })],
  "a blob and a symbolic link of its name": ["twice", blob, member({ name: BLOB_NAME, type: "2" })],
  "a link with content": ["link with content", member({ name: "other", type: "1" }, BLOB)],
  "a character device": ["is a device", member({ name: "index.json", type: "3" })],
  "a block device": ["is a device", member({ name: "index.json", type: "4" })],
  "a pipe": ["is a pipe", member({ name: "index.json", type: "6" })],
  "a contiguous file": ["unknown type", member({ name: "index.json", type: "7" }, INDEX)],
  "an unknown type": ["unknown type", member({ name: "index.json", type: "Z" }, INDEX)],
  "a sparse file of GNU tar": ["is a sparse file", GNU_SPARSE],
  "a sparse file of pax": [
    "a sparse file",
    member({ name: "x", type: "x" }, paxRecord("GNU.sparse.major", "1")),
    blob,
  ],
  "an absolute path": ["below", member({ name: `/${BLOB_NAME}` }, BLOB)],
  "an absolute directory": ["below", member({ name: "/", type: "5" })],
  "a path upwards": ["below", member({ name: "../index.json" }, INDEX)],
  "a path up and down": ["below", member({ name: "blobs/../index.json" }, INDEX)],
  "a path with a dot inside": ["below", member({ name: "blobs/./sha256" })],
  "a path with two slashes": ["below", member({ name: BLOB_NAME.replace("/", "//") }, BLOB)],
  "a file that is named like a directory": ["below", member({ name: "index.json/" }, INDEX)],
  "an empty name": ["below", member({ name: "" })],
  "index.json twice": ["twice", index],
  "index.json twice in two spellings": ["twice", member({ name: "./index.json" }, INDEX)],
  "oci-layout twice": ["twice", mark],
  "a blob twice": ["twice", blob, blob],
  "a directory with content": [
    "directory with content",
    member({ name: "blobs", type: "5" }, BLOB),
  ],
  "half a pax entry": ["half an entry", member({ name: "x", type: "x" }, paxRecord("path", "a"))],
  "a size for all entries": [
    "all entries",
    member({ name: "g", type: "g" }, paxRecord("size", "0")),
  ],
  "a path for all entries": [
    "all entries",
    member({ name: "g", type: "g" }, paxRecord("path", "index.json")),
  ],
  "two names for one entry": [
    "one of two",
    member({ name: "L", type: "L" }, "a\0"),
    member({ name: "x", type: "x" }, paxRecord("path", BLOB_NAME)),
    member({ name: "c" }, BLOB),
  ],
  "two paths in one header": [
    "no valid path",
    ...pax(paxRecord("path", "a") + paxRecord("path", "b")),
  ],
  "an empty path": ["no valid path", ...pax(paxRecord("path", ""))],
  "a path with a NUL": ["no valid path", ...pax(paxRecord("path", "index.json\0"))],
  "a path upwards in a pax header": ["below", ...pax(paxRecord("path", "../index.json"))],
  "a path of a megabyte": ["below", ...pax(paxRecord("path", `${"./".repeat(500_000)}../x`))],
  "two sizes in one header": [
    "no valid size",
    ...pax(paxRecord("size", "1") + paxRecord("size", "1")),
  ],
  "a negative size in a pax header": ["no valid size", ...pax(paxRecord("size", "-1"))],
  "a size with an exponent": ["no valid size", ...pax(paxRecord("size", "1e3"))],
  "a size beyond all numbers": ["no valid size", ...pax(paxRecord("size", "9".repeat(16)))],
  "a record of no length": ["damaged pax record", ...pax("path=a\n")],
  "a record of length 0": ["damaged pax record", ...pax("0 path=a\n")],
  "a record of a negative length": ["damaged pax record", ...pax("-9 path=a\n")],
  "a record that is longer than its header": ["damaged pax record", ...pax("11 path=a\n")],
  "a record without a line end": ["damaged pax record", ...pax("9 path=ab")],
  "a record without an equals sign": ["damaged pax record", ...pax("7 path\n")],
  "a record whose equals sign is that of the next one": [
    "damaged pax record",
    ...pax(`7 path\n${paxRecord("a", "b")}`),
  ],
  "a record that is shorter than its length": ["damaged pax record", ...pax("3 path=a\n")],
  "a negative binary size": ["no valid size", member({ name: "a", size: Buffer.alloc(12, 0xff) })],
  "a binary size beyond all numbers": [
    "no valid size",
    member({ name: "a", size: Buffer.concat([Buffer.of(0x80), Buffer.alloc(11, 0xff)]) }),
  ],
  "a binary size with more bits": [
    "no valid size",
    member({ name: "a", size: Buffer.from("81".repeat(12), "hex") }),
  ],
  "a small binary size with more bits": [
    "no valid size",
    member({ name: "a", size: Buffer.from(`81${"00".repeat(10)}01`, "hex") }, "a"),
  ],
  "a negative size": ["no valid size", member({ name: "a", size: "-0000000001\0" })],
  "a size with other digits": ["no valid size", member({ name: "a", size: "00000000009\0" })],
  "an empty size": ["no valid size", member({ name: "a", size: "\0".repeat(12) })],
  "a size beyond the file": ["truncated", member({ name: "a", size: "77777777777\0" })],
  "a binary size beyond the file": ["truncated", member({ name: "a", size: binarySize(2 ** 52) })],
  "a size in a pax header beyond the file": [
    "truncated",
    ...pax(paxRecord("size", "9007199254740991")),
  ],
  "a pax header of 10 GB": ["larger than 1048576", describing("x")],
  "a global pax header of 10 GB": ["larger than 1048576", describing("g")],
  "a long name of 10 GB": ["larger than 1048576", describing("L")],
  "a long link of 10 GB": ["larger than 1048576", describing("K")],
  "a pax header over a megabyte": [
    "larger than 1048576",
    ...pax(paxRecord("comment", "a".repeat(1024 * 1024))),
  ],
  "a header without a magic": ["unknown format", member({ name: "a", magic: "\0".repeat(8) })],
  "a header with a wrong checksum": [
    "wrong checksum",
    member({ name: "a", checksum: "0000000\0" }),
  ],
  "a header without a checksum": [
    "wrong checksum",
    member({ name: "a", checksum: "\0".repeat(8) }),
  ],
  "one empty block": ["truncated", Buffer.alloc(512), member({ name: "a" })],
};

/** A member of 10 GB whose content would describe other members. */
function describing(type: string): Uint8Array {
  return member({ name: type, type, size: binarySize(1e10) });
}

function pax(records: string): readonly Uint8Array[] {
  return [member({ name: "x", type: "x" }, records), member({ name: "a" })];
}

export function binarySize(size: number): NonNullable<Member["size"]> {
  const field = Buffer.alloc(12);
  field[0] = 0x80;
  field.writeBigUInt64BE(BigInt(size), 4);
  return field;
}
