import { open, readdir, rename, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tmpdir } from "node:os";
import * as zlib from "node:zlib";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { archiveSource } from "../../../src/store/archive/source.js";
import { collect } from "../../support/bytes.js";
import { expectCode } from "../../support/codes.js";
import { CONFIG, digestOf, tar, temporaryDirectories, type Entry } from "../../support/image.js";
import { endOfArchive, member, paxRecord, tarHeader, type Member } from "./members.js";

const directory = temporaryDirectories();

const hasSparseFiles = process.platform !== "win32";

const MARK = '{"imageLayoutVersion":"1.0.0"}';
const BLOB = Buffer.from("content of a blob, longer than nothing");
const DIGEST = digestOf(BLOB);
const BLOB_NAME = `blobs/${DIGEST.replace(":", "/")}`;
const ENTRY: Entry = { mediaType: CONFIG, digest: DIGEST, size: BLOB.byteLength };
const INDEX = JSON.stringify({ schemaVersion: 2, manifests: [ENTRY] });

const mark = member({ name: "oci-layout" }, MARK);
const index = member({ name: "index.json" }, INDEX);
const blob = member({ name: BLOB_NAME }, BLOB);

async function file(...parts: readonly Uint8Array[]): Promise<string> {
  const path = join(directory(), "image.tar");
  await writeFile(path, Buffer.concat(parts));
  return path;
}

function archive(...members: readonly Uint8Array[]): Promise<string> {
  return file(...members, endOfArchive);
}

/** The image in an archive, and the content of its blob. */
async function look(path: string): Promise<{ image: unknown; content: Buffer }> {
  const source = archiveSource({ path });
  const image = await source.resolve();
  return { image, content: await collect(source.read(image)) };
}

const FOUND = { image: ENTRY, content: BLOB };

describe("an archive is read", () => {
  const cases: Record<string, readonly Uint8Array[]> = {
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
  it.each(Object.entries(cases))("%s", async (_, members) => {
    expect(await look(await archive(...members))).toEqual(FOUND);
  });

  it.each([
    ["that lead outside", "../../../etc/hostname"],
    ["that are absolute", "/etc/hostname"],
    ["that lead nowhere", "none"],
    ["to themselves", DIGEST.slice("sha256:".length)],
    ["to a name that is there twice", "../../x"],
  ])("without the blobs that are links %s", async (_, target) => {
    const twice = [member({ name: "x" }, BLOB), member({ name: "x" }, "other")];
    const link = member({ name: BLOB_NAME, type: "2", target });
    const source = archiveSource({ path: await archive(mark, index, ...twice, link) });
    const image = await source.resolve();
    await expectCode(collect(source.read(image)), "BLOB_NOT_FOUND");
  });

  it("compressed with gzip, leaving no file behind", async () => {
    const before = (await readdir(tmpdir())).filter((name) => name.startsWith(".ocicrypt-"));
    const path = await file(gzipSync(Buffer.concat([mark, index, blob, endOfArchive])));
    expect(await look(path)).toEqual(FOUND);
    const after = (await readdir(tmpdir())).filter((name) => name.startsWith(".ocicrypt-"));
    expect(after).toEqual(before);
  });

  it.runIf("createZstdDecompress" in zlib)("compressed with zstd", async () => {
    const { zstdCompressSync } = zlib as unknown as { zstdCompressSync: (bytes: Buffer) => Buffer };
    const path = await file(zstdCompressSync(Buffer.concat([mark, index, blob, endOfArchive])));
    expect(await look(path)).toEqual(FOUND);
  });

  it("with padding after its end", async () => {
    const path = await file(mark, index, blob, endOfArchive, Buffer.alloc(8192), Buffer.from("x"));
    expect(await look(path)).toEqual(FOUND);
  });

  it("as tar-stream writes it, with names that need pax headers", async () => {
    const digest = digestOf(BLOB, "sha512");
    const manifests = [{ ...ENTRY, digest }];
    const bytes = await tar({
      "oci-layout": MARK,
      [`blobs/${digest.replace(":", "/")}`]: BLOB,
      "index.json": JSON.stringify({ schemaVersion: 2, manifests }),
    });
    expect(await look(await file(bytes))).toEqual({ image: manifests[0], content: BLOB });
  });

  it("through a symbolic link to it", async () => {
    const path = await archive(mark, index, blob);
    await symlink(path, `${path}.link`);
    expect(await look(`${path}.link`)).toEqual(FOUND);
  });

  it.runIf(hasSparseFiles)("with a blob that is too large for octal sizes", async () => {
    const size = 9 * 1024 ** 3;
    const path = await file(mark, tarHeader({ name: BLOB_NAME, size: binarySize(size) }));
    const offset = mark.byteLength + 512 + size;
    const handle = await open(path, "r+");
    await handle.write(Buffer.concat([index, endOfArchive]), 0, undefined, offset);
    await handle.close();
    const source = archiveSource({ path });
    expect(await source.resolve()).toEqual(ENTRY);
    let first: Uint8Array | undefined;
    for await (const chunk of source.read(ENTRY)) {
      first = chunk;
      break;
    }
    expect(first?.byteLength).toBeGreaterThan(0);
  });

  it("by tag and by digest", async () => {
    const annotations = { "org.opencontainers.image.ref.name": "one" };
    const manifests = [{ ...ENTRY, annotations }, ENTRY];
    const named = member({ name: "index.json" }, JSON.stringify({ schemaVersion: 2, manifests }));
    const path = await archive(mark, named, blob);
    expect(await archiveSource({ path, tag: "one" }).resolve()).toEqual(manifests[0]);
    expect(await archiveSource({ path, digest: DIGEST }).resolve()).toEqual(manifests[0]);
    await expectCode(archiveSource({ path, tag: "two" }).resolve(), "IMAGE_NOT_FOUND");
    const unknown = archiveSource({ path, digest: digestOf("unknown") });
    await expectCode(unknown.resolve(), "IMAGE_NOT_FOUND");
  });

  it("by the digest of a manifest that its index does not list", async () => {
    const manifest = '{"schemaVersion":2,"layers":[]}';
    const digest = digestOf(manifest);
    const stored = member({ name: `blobs/${digest.replace(":", "/")}` }, manifest);
    const path = await archive(mark, index, stored);
    expect(await archiveSource({ path, digest }).resolve()).toEqual({
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      ...{ digest, size: manifest.length },
    });
  });

  it("again by each resolve", async () => {
    const path = await archive(mark, index, blob);
    const source = archiveSource({ path });
    await source.resolve();
    await rename(await archive(blob, mark, index), path);
    await source.resolve();
    expect(await collect(source.read(ENTRY))).toEqual(BLOB);
  });
});

describe("what a layout lacks", () => {
  it.each([
    ["the archive", undefined, "IMAGE_NOT_FOUND"],
    ["all files", [], "IMAGE_NOT_FOUND"],
    ["oci-layout", [index, blob], "IMAGE_NOT_FOUND"],
    ["index.json", [mark, blob], "LAYOUT_INVALID"],
    ["images", [mark, member({ name: "index.json" }, '{"manifests":[]}')], "IMAGE_NOT_FOUND"],
    ["the blob", [mark, index], "BLOB_NOT_FOUND"],
  ] as const)("%s", async (_, members, code) => {
    const path = members === undefined ? join(directory(), "none") : await archive(...members);
    await expectCode(look(path), code);
  });

  it.each([
    ["oci-layout", 4097],
    ["index.json", 4 * 1024 * 1024 + 1],
  ])("a reasonable %s", async (name, size) => {
    const others = [mark, index].filter((_, i) => i === (name === "oci-layout" ? 1 : 0));
    const large = member({ name }, Buffer.alloc(size, " "));
    await expectCode(look(await archive(...others, large)), "LAYOUT_INVALID");
  });

  it("version 1.0.0", async () => {
    const other = member({ name: "oci-layout" }, '{"imageLayoutVersion":"2.0.0"}');
    await expectCode(look(await archive(other, index, blob)), "LAYOUT_INVALID");
  });
});

describe("an archive is rejected", () => {
  const GNU_SPARSE = member({ name: BLOB_NAME, type: "S", magic: "ustar  \0" }, BLOB);
  const entries: Record<string, readonly [says: string, ...Uint8Array[]]> = {
    "a blob and a hard link of its name": ["twice", blob, member({ name: BLOB_NAME, type: "1" })],
    "a blob and a symbolic link of its name": [
      "twice",
      blob,
      member({ name: BLOB_NAME, type: "2" }),
    ],
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
    "a negative binary size": [
      "no valid size",
      member({ name: "a", size: Buffer.alloc(12, 0xff) }),
    ],
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
    "a binary size beyond the file": [
      "truncated",
      member({ name: "a", size: binarySize(2 ** 52) }),
    ],
    "a size in a pax header beyond the file": [
      "truncated",
      ...pax(paxRecord("size", "9007199254740991")),
    ],
    "a pax header of 10 GB": [
      "larger than 1048576",
      member({ name: "x", type: "x", size: binarySize(1e10) }),
    ],
    "a global pax header of 10 GB": [
      "larger than 1048576",
      member({ name: "g", type: "g", size: binarySize(1e10) }),
    ],
    "a long name of 10 GB": [
      "larger than 1048576",
      member({ name: "L", type: "L", size: binarySize(1e10) }),
    ],
    "a long link of 10 GB": [
      "larger than 1048576",
      member({ name: "K", type: "K", size: binarySize(1e10) }),
    ],
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
  it.each(Object.entries(entries))("for %s", async (_, [says, ...members]) => {
    const path = await archive(mark, index, ...members);
    const error = await expectCode(look(path), "LAYOUT_INVALID");
    expect(error.message).toContain(path);
    expect(error.message).toContain(says);
  });

  it("for 100,001 entries", async () => {
    const path = await archive(Buffer.alloc(512 * 100_001, tarHeader({ name: "a" })));
    const error = await expectCode(look(path), "LAYOUT_INVALID");
    expect(error.message).toContain("100000 entries");
  });

  it("wherever it was cut off", async () => {
    const whole = Buffer.concat([blob, mark, index, endOfArchive]);
    const cuts = Array.from({ length: whole.byteLength / 64 }, (_, i) => i * 64);
    for (const size of [...cuts, whole.byteLength - 1]) {
      const error = await expectCode(look(await file(whole.subarray(0, size))), "LAYOUT_INVALID");
      expect(error.message).toContain("truncated");
    }
  });

  it("when it was cut off in a pax header", async () => {
    const header = member({ name: "x", type: "x" }, paxRecord("comment", "a".repeat(2000)));
    const error = await expectCode(look(await file(header.subarray(0, 1024))), "LAYOUT_INVALID");
    expect(error.message).toContain("truncated");
  });

  it.each([
    ["gzip", Buffer.from("1f8b08000000000000", "hex")],
    ["gzip, cut off", gzipSync(Buffer.concat([mark, index, blob, endOfArchive])).subarray(0, 200)],
    ["gzip of no archive", gzipSync("x")],
  ])("for being damaged: %s", async (_, bytes) => {
    await expectCode(look(await file(bytes)), "LAYOUT_INVALID");
  });

  it("for being Docker's, with the name that it has as a source", async () => {
    const path = await archive(
      member({ name: "manifest.json" }, '[{"Config":"c.json","Layers":["l.tar"]}]'),
      member({ name: "c.json" }, "{}"),
    );
    const error = await expectCode(look(path), "LAYOUT_INVALID");
    expect(error.message).toContain(`as a source, write docker-archive:${path}`);
  });

  it.each([["xz", Buffer.from("fd377a585a000000", "hex"), "unxz"]])(
    "for its compression with %s",
    async (_, bytes, tool) => {
      const path = await file(bytes);
      const error = await expectCode(look(path), "LAYOUT_INVALID");
      expect(error.message).toContain(`${tool} < ${path}`);
    },
  );

  it.each([
    ["text", Buffer.from("not an archive\n".repeat(100))],
    ["a zip", Buffer.concat([Buffer.from("PK\x03\x04"), Buffer.alloc(1000, 1)])],
  ])("for being %s", async (_, bytes) => {
    await expectCode(look(await file(bytes)), "LAYOUT_INVALID");
  });

  it("for being a directory", async () => {
    await expectCode(look(directory()), "LAYOUT_INVALID");
  });

  it.runIf(process.platform !== "win32")("for being a device", async () => {
    const error = await expectCode(look("/dev/null"), "LAYOUT_INVALID");
    expect(error.message).toBe("/dev/null is not a file");
  });
});

describe("a blob is not read", () => {
  it("from an archive that has replaced the scanned one", async () => {
    const path = await archive(mark, index, blob);
    const source = archiveSource({ path });
    await source.resolve();
    await rename(await archive(blob, mark, index), path);
    await expectCode(collect(source.read(ENTRY)), "SOURCE_UNREADABLE");
  });

  it("from an archive that was cut off after the scan", async () => {
    const path = await archive(mark, index, blob);
    const source = archiveSource({ path });
    await source.resolve();
    await truncate(path, 1024);
    await expectCode(collect(source.read(ENTRY)), "SOURCE_UNREADABLE");
  });

  it("for a digest that would name another file", async () => {
    const source = archiveSource({ path: await archive(mark, index, blob) });
    const read = source.read({ ...ENTRY, digest: "sha256:../../index.json" });
    await expectCode(collect(read), "DESCRIPTOR_INVALID");
  });
});

it("a scan ends when it is aborted", async () => {
  const path = await archive(mark, index, blob);
  const reason = new Error("enough");
  const resolved = archiveSource({ path }).resolve({ signal: AbortSignal.abort(reason) });
  await expect(resolved).rejects.toBe(reason);
});

it.runIf(hasSparseFiles)("only headers are read, whatever the archive contains", async () => {
  const size = 2 ** 40;
  const path = await file(mark, index, tarHeader({ name: "large", size: binarySize(size) }));
  const handle = await open(path, "r+");
  const offset = mark.byteLength + index.byteLength + 512 + size;
  await handle.write(Buffer.concat([blob, endOfArchive]), 0, undefined, offset);
  await handle.close();
  expect(await look(path)).toEqual(FOUND);
});

function pax(records: string): readonly Uint8Array[] {
  return [member({ name: "x", type: "x" }, records), member({ name: "a" })];
}

function binarySize(size: number): NonNullable<Member["size"]> {
  const field = Buffer.alloc(12);
  field[0] = 0x80;
  field.writeBigUInt64BE(BigInt(size), 4);
  return field;
}
