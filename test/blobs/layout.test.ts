import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { openBlobs, type BlobFile } from "../../src/blobs/index.js";
import { decryptImage } from "../../src/image/decrypt.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { memoryImage } from "../../src/store/memory.js";
import {
  ACCEPTED,
  binarySize,
  BLOB,
  blob,
  BLOB_NAME,
  DIGEST,
  ENTRY,
  index,
  INDEX,
  MARK,
  mark,
  REJECTED,
} from "../store/archive/archives.js";
import { endOfArchive, member } from "../store/archive/members.js";
import { collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { compress, digestOf, HAS_ZSTD, TAR_ZSTD } from "../support/image.js";
import { vectorFile } from "../support/vectors.js";

function archive(...members: readonly Uint8Array[]): File {
  const bytes = Buffer.concat([...members, endOfArchive]);
  return new File([Uint8Array.from(bytes)], "image.tar");
}

function directory(files: Readonly<Record<string, string | Uint8Array>>): BlobFile[] {
  return Object.entries(files).map(([path, content]) => ({
    path,
    content: new Blob([typeof content === "string" ? content : Uint8Array.from(content)]),
  }));
}

const LAYOUT = { "oci-layout": MARK, "index.json": INDEX, [BLOB_NAME]: BLOB };

function below(root: string): Record<string, string | Uint8Array> {
  return Object.fromEntries(Object.entries(LAYOUT).map(([name, all]) => [root + name, all]));
}

async function look(input: Blob | readonly BlobFile[]): Promise<unknown> {
  const source = (await openBlobs(input)).source();
  const image = await source.resolve();
  return { image, content: await collect(source.read(image)) };
}

const FOUND = { image: ENTRY, content: BLOB };

describe("an archive is read", () => {
  it.each(Object.entries(ACCEPTED))("%s", async (_, members) => {
    expect(await look(archive(...members))).toEqual(FOUND);
  });

  it("with 20 GB of content, reading only headers and one blob", async () => {
    const size = 20 * 1024 ** 3;
    const large = member({ name: "large", size: binarySize(size) });
    const start = Buffer.concat([mark, index, large]);
    const end = Buffer.concat([blob, endOfArchive]);
    const huge = new HugeBlob(start, size, end);
    expect(await look(huge)).toEqual(FOUND);
    expect(huge.bytesRead).toBeLessThan(1024 * 1024);
  });
});

describe("an archive is rejected", () => {
  it.each(Object.entries(REJECTED))("for %s", async (_, [says, ...members]) => {
    const error = await expectCode(look(archive(mark, index, ...members)), "LAYOUT_INVALID");
    expect(error.message).toContain("image.tar");
    expect(error.message).toContain(says);
  });

  it("wherever it was cut off", async () => {
    const whole = Buffer.concat([blob, mark, index, endOfArchive]);
    for (let size = 0; size < whole.byteLength; size += 192) {
      const cut = new Blob([Uint8Array.from(whole.subarray(0, size))]);
      const error = await expectCode(look(cut), "LAYOUT_INVALID");
      expect(error.message).toContain("the archive is truncated");
    }
  });

  it.each([
    ["damaged gzip", gzipSync(mark).fill(0xff, 20, 30), "image.tar is not valid gzip"],
    ["cut gzip", gzipSync(mark).subarray(0, -1), "image.tar is not valid gzip"],
    ["something else in gzip", gzipSync("not an archive\n".repeat(100)), "wrong checksum"],
    ["xz", Buffer.from("fd377a585a00", "hex"), "unxz < image.tar"],
    ["text", Buffer.from("not an archive\n".repeat(100)), "wrong checksum"],
    ["a zip", Buffer.concat([Buffer.from("PK\x03\x04"), Buffer.alloc(1000, 1)]), "wrong checksum"],
  ])("for being %s", async (_, bytes, says) => {
    const error = await expectCode(look(new File([Uint8Array.from(bytes)], "image.tar")), "LAYOUT_INVALID"); // prettier-ignore
    expect(error.message).toContain(says);
  });

  it("for being an archive of docker save", async () => {
    const saved = archive(member({ name: "manifest.json" }, '[{"Config":"c","Layers":[]}]'));
    await expectCode(look(saved), "LAYOUT_INVALID");
  });

  it.each([
    ["a mark", [index], "IMAGE_NOT_FOUND"],
    ["an index", [mark], "LAYOUT_INVALID"],
    ["its blob", [mark, index], "BLOB_NOT_FOUND"],
  ] as const)("without %s", async (_, members, code) => {
    await expectCode(look(archive(...members)), code);
  });
});

describe("a directory is read", () => {
  it.each([
    ["that is the layout", ""],
    ["that was dropped", "/app/"],
    ["in which the layout is", "dropped/images/app/"],
  ])("%s", async (_, root) => {
    expect(await look(directory(below(root)))).toEqual(FOUND);
  });

  it("with a name for messages", async () => {
    expect((await openBlobs(directory(below("/app/")))).name).toBe("app");
    expect((await openBlobs(directory(LAYOUT))).name).toBe("the directory");
    expect((await openBlobs(directory(LAYOUT), { name: "mine" })).name).toBe("mine");
  });
});

describe("a directory is rejected", () => {
  it.each([
    ["without files", {}, "IMAGE_NOT_FOUND", "oci-layout"],
    ["with a mark of another name", { "no-oci-layout": MARK }, "IMAGE_NOT_FOUND", "oci-layout"],
    ["with two layouts", { ...below("a/"), ...below("b/") }, "LAYOUT_INVALID", '"a/", "b/"'],
    ["with a layout in a layout", { ...LAYOUT, ...below("b/") }, "LAYOUT_INVALID", '"", "b/"'],
    ["with a path upwards", { ...LAYOUT, "a/../index.json": "" }, "LAYOUT_INVALID", "not the path"],
    ["with a path of dots", { ...LAYOUT, "./index.json": "" }, "LAYOUT_INVALID", "not the path"],
    ["with an empty path", { ...LAYOUT, "": "" }, "LAYOUT_INVALID", "not the path"],
    ["with two slashes", { ...LAYOUT, "a//b": "" }, "LAYOUT_INVALID", "not the path"],
    ["with two spellings", { ...LAYOUT, "/index.json": "" }, "LAYOUT_INVALID", "two files"],
    ["with a long path", { ...LAYOUT, ["a".repeat(4097)]: "" }, "LAYOUT_INVALID", "not the path"],
    ["of another version", { ...LAYOUT, "oci-layout": "{}" }, "LAYOUT_INVALID", "1.0.0"],
    [
      "with a large mark",
      { ...LAYOUT, "oci-layout": " ".repeat(4097) },
      "LAYOUT_INVALID",
      "larger",
    ],
    ["with a large index", { ...LAYOUT, "index.json": new Uint8Array(4194305) }, "LAYOUT_INVALID", "larger"], // prettier-ignore
    ["with an index that is no JSON", { ...LAYOUT, "index.json": "[" }, "MANIFEST_INVALID", ""],
  ] as const)("%s", async (_, files, code, says) => {
    expect((await expectCode(look(directory(files)), code)).message).toContain(says);
  });

  it("with 100,001 files", async () => {
    const content = new Blob([]);
    const many = Array.from({ length: 100_001 }, (_, i) => ({ path: String(i), content }));
    await expectCode(look(many), "LAYOUT_INVALID");
  });
});

describe("the images of a layout", () => {
  const named = (tag: string, digest: string): object => ({
    ...{ ...ENTRY, digest },
    annotations: { "org.opencontainers.image.ref.name": tag },
  });
  const other = digestOf("other");
  const manifests = [named("one", DIGEST), named("two", DIGEST), named("two", other)];
  const files = directory({
    ...LAYOUT,
    "index.json": JSON.stringify({ schemaVersion: 2, manifests }),
  });

  it("are listed by tag, or by digest if several have the tag", async () => {
    const { images } = await openBlobs(files);
    expect(images).toEqual([{ tag: "one" }, { digest: DIGEST }, { digest: other }]);
  });

  it("are found by tag and by digest", async () => {
    const layout = await openBlobs(files);
    expect((await layout.source({ tag: "one" }).resolve()).digest).toBe(DIGEST);
    expect((await layout.source({ digest: other }).resolve()).digest).toBe(other);
    expect((await layout.source().find?.("one"))?.digest).toBe(DIGEST);
    await expectCode(layout.source().resolve(), "IMAGE_NOT_FOUND");
    await expectCode(layout.source({ tag: "two" }).resolve(), "IMAGE_NOT_FOUND");
  });
});

it("an image that skopeo encrypted is decrypted", async () => {
  const root = fileURLToPath(new URL("../../vectors/peers/layouts/skopeo-1.9.3/", import.meta.url));
  const entries = readdirSync(join(root, "jwe-rsa2048-pem"), {
    recursive: true,
    withFileTypes: true,
  });
  const paths = entries.flatMap((each) =>
    each.isFile() ? [join(each.parentPath, each.name)] : [],
  );
  const files = paths.map((path) => ({
    path: path.slice(root.length),
    content: new Blob([readFileSync(path)]),
  }));
  const { name, source } = await openBlobs(files);
  expect(name).toBe("jwe-rsa2048-pem");
  const destination = memoryImage();
  const keys = [jwe.key(vectorFile("peers/keys/rsa2048.pkcs8.pem"))];
  const { layers } = await decryptImage(source(), destination, { keys });
  expect(layers.map(({ diffId }) => diffId)).toEqual(layers.map(() => "verified"));
  expect(layers.length).toBeGreaterThan(0);
});

describe("a compressed archive", () => {
  const whole = Buffer.concat([mark, index, blob, endOfArchive]);
  const packed = (bytes: Uint8Array): File => new File([Uint8Array.from(bytes)], "image.tar");

  it("is unpacked", async () => {
    const members = [whole.subarray(0, 1000), whole.subarray(1000)].map((part) => gzipSync(part));
    expect(await look(packed(gzipSync(whole)))).toEqual(FOUND);
    expect(await look(packed(Buffer.concat(members)))).toEqual(FOUND);
  });

  it("is unpacked up to a limit", async () => {
    const file = packed(gzipSync(whole));
    await openBlobs(file, { maxUnpackedSize: whole.length });
    const open = openBlobs(file, { maxUnpackedSize: whole.length - 1 });
    const error = await expectCode(open, "LAYOUT_INVALID");
    expect(error.message).toContain("unpacks to more than");
  });

  it("is unpacked until an abort", async () => {
    const abort = new AbortController();
    const open = openBlobs(packed(gzipSync(whole)), { signal: abort.signal });
    const reason = new Error("enough");
    abort.abort(reason);
    await expect(open).rejects.toBe(reason);
  });

  it.runIf(HAS_ZSTD)("is unpacked from zstd", async () => {
    expect(await look(packed(compress(whole, TAR_ZSTD)))).toEqual(FOUND);
  });

  it.runIf(!HAS_ZSTD)("of zstd names the program to use", async () => {
    const error = await expectCode(look(packed(compress(whole, TAR_ZSTD))), "LAYOUT_INVALID");
    expect(error.message).toContain("unzstd < image.tar");
  });
});

describe("a blob that cannot be read", () => {
  it("any more is reported with the reason", async () => {
    const lost = new DOMException("changed", "NotReadableError");
    const error = await expectCode(look(new FailingBlob(() => Promise.reject(lost))), "SOURCE_UNREADABLE"); // prettier-ignore
    expect(error.message).toContain("NotReadableError");
    expect(error.cause).toBe(lost);
  });

  it("whole is reported", async () => {
    const short = new FailingBlob(() => Promise.resolve(new ArrayBuffer(3)));
    await expectCode(look(short), "SOURCE_UNREADABLE");
  });

  it("is not asked for after an abort", async () => {
    const reason = new Error("enough");
    const signal = AbortSignal.abort(reason);
    await expect(openBlobs(archive(mark, index, blob), { signal })).rejects.toBe(reason);
    await expect(openBlobs(directory(LAYOUT), { signal })).rejects.toBe(reason);
  });
});

/** A blob that claims many bytes of zeros between its start and its end. */
class HugeBlob extends Blob {
  bytesRead = 0;
  override readonly size: number;
  readonly #start: Uint8Array;
  readonly #hole: number;
  readonly #end: Uint8Array;

  constructor(start: Uint8Array, hole: number, end: Uint8Array) {
    super([]);
    this.#start = start;
    this.#hole = hole;
    this.#end = end;
    this.size = start.byteLength + hole + end.byteLength;
  }

  override slice(from = 0, to: number = this.size): Blob {
    const { byteLength } = this.#start;
    this.bytesRead += to - from;
    const bytes = new Uint8Array(to - from);
    bytes.set(this.#start.subarray(from, to).slice(0, to - from));
    const second = byteLength + this.#hole;
    if (to > second) {
      const at = Math.max(from, second);
      bytes.set(this.#end.subarray(at - second, to - second), at - from);
    }
    return new Blob([bytes]);
  }
}

class FailingBlob extends Blob {
  readonly #read: () => Promise<ArrayBuffer>;

  constructor(read: () => Promise<ArrayBuffer>) {
    super(["0123456789"]);
    this.#read = read;
  }

  override slice(): Blob {
    return new FailingBlob(this.#read);
  }

  override arrayBuffer(): Promise<ArrayBuffer> {
    return this.#read();
  }
}
