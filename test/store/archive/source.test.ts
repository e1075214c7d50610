import { open, readdir, rename, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tmpdir } from "node:os";
import * as zlib from "node:zlib";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { archiveSource } from "../../../src/store/archive/source.js";
import { collect } from "../../support/bytes.js";
import { expectCode } from "../../support/codes.js";
import { digestOf, tar, temporaryDirectories } from "../../support/image.js";
import {
  ACCEPTED,
  binarySize,
  BLOB,
  blob,
  BLOB_NAME,
  DIGEST,
  ENTRY,
  INDEX,
  index,
  mark,
  MARK,
  REJECTED,
} from "./archives.js";
import { endOfArchive, member, paxRecord, tarHeader } from "./members.js";

const directory = temporaryDirectories();

const hasSparseFiles = process.platform !== "win32";

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
  it.each(Object.entries(ACCEPTED))("%s", async (_, members) => {
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

  it.each([
    ["bzip2", "425a6839314159", "compressed with bzip2", "bunzip2 <"],
    ["xz", "fd377a585a0000", "compressed with xz", "unxz <"],
    ["lz4", "04224d186440", "compressed with lz4", "unlz4 <"],
    ["ZIP", "504b03041400", "a ZIP file", "unzip -p"],
    ["cpio", "303730373031", "a cpio archive", "pack it with tar"],
    ["nothing", "", "is empty", ""],
  ])("not of %s, which is named", async (_, magic, what, program) => {
    const bytes = Buffer.from(magic, "hex");
    const path = await file(bytes, Buffer.alloc(magic === "" ? 0 : 2000, 1));
    const { message } = await expectCode(look(path), "LAYOUT_INVALID");
    expect(message).toContain(what);
    expect(message).toContain(program);
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
  it.each(Object.entries(REJECTED))("for %s", async (_, [says, ...members]) => {
    const path = await archive(mark, index, ...members);
    const error = await expectCode(look(path), "LAYOUT_INVALID");
    expect(error.message).toContain(path);
    expect(error.message).toContain(says);
  });

  it.each<[string, string, Buffer[]]>([
    [
      "two layouts",
      'several OCI layouts: "a", "b/c"; unpack it',
      [member({ name: "a/oci-layout" }, MARK), member({ name: "b/c/oci-layout" }, MARK)],
    ],
    [
      "a file that a layout in a directory has twice",
      "holds a/index.json twice",
      [
        member({ name: "a/oci-layout" }, MARK),
        member({ name: "a/index.json" }, INDEX),
        member({ name: "a/index.json" }, INDEX),
      ],
    ],
  ])("for %s", async (_, says, members) => {
    const error = await expectCode(look(await archive(...members)), "LAYOUT_INVALID");
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
      expect(error.message).toMatch(size === 0 ? "is empty" : "truncated");
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
