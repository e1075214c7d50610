import { spawnSync } from "node:child_process";
import { createReadStream } from "node:fs";
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { extract, type Header } from "tar-stream";
import { describe, expect, it } from "vitest";
import { OcicryptError } from "../../../src/errors.js";
import { decryptImage } from "../../../src/image/decrypt.js";
import { encryptImage } from "../../../src/image/encrypt.js";
import { host as hostOfStages } from "../../../src/store/stage.js";
import { archiveDestination } from "../../../src/store/archive/destination.js";
import { archiveSource } from "../../../src/store/archive/source.js";
import { layoutDestination } from "../../../src/store/layout/destination.js";
import { layoutSource } from "../../../src/store/layout/source.js";
import type { LayoutReference } from "../../../src/store/reference.js";
import type { ImageDestination } from "../../../src/store/types.js";
import { chunked, collect } from "../../support/bytes.js";
import { expectCode } from "../../support/codes.js";
import {
  blobFile,
  createLayout,
  digestOf,
  layer,
  layerOf,
  layoutOf,
  MANIFEST,
  multiPlatform,
  putManifest,
  snapshot,
  stagesIn,
  tagged,
  TAR,
  tar,
  temporaryDirectories,
  writeIndex,
  type Entry,
} from "../../support/image.js";
import { openKey, plainRecipient } from "../../support/layers.js";

const directory = temporaryDirectories();

const IMAGE: Entry = { mediaType: MANIFEST, digest: digestOf("image"), size: 5 };
const MARK = '{"imageLayoutVersion":"1.0.0"}';

function put(destination: ImageDestination, content: string): Promise<void> {
  const bytes = Buffer.from(content);
  return destination.write(chunked(bytes, 3), () => ({ digest: digestOf(bytes) }));
}

/** Writes one image with two blobs. */
async function publish(destination: ImageDestination, ...blobs: string[]): Promise<void> {
  for (const blob of blobs.length === 0 ? ["one", "two"] : blobs) await put(destination, blob);
  await destination.writeManifest(Buffer.from("image"), IMAGE);
  await destination.commit(IMAGE);
}

interface File {
  header: Header;
  content: Buffer;
}

/** The members that tar-stream finds in an archive. */
async function list(path: string): Promise<File[]> {
  const files: File[] = [];
  for await (const entry of createReadStream(path).pipe(extract())) {
    files.push({ header: entry.header, content: await collect(entry as AsyncIterable<Buffer>) });
  }
  return files;
}

async function entriesOf(path: string): Promise<Entry[]> {
  const index = (await list(path)).find(({ header }) => header.name === "index.json");
  return (JSON.parse(index!.content.toString()) as { manifests: Entry[] }).manifests;
}

/** An archive with these images, all in its index. */
async function archiveOf(...manifests: readonly Entry[]): Promise<string> {
  const path = join(directory(), "image.tar");
  const index = JSON.stringify({ schemaVersion: 2, manifests });
  await writeFile(path, await tar({ "oci-layout": MARK, "index.json": index }));
  return path;
}

const blobNames = (...contents: string[]): string[] =>
  contents.map((content) => `blobs/${digestOf(content).replace(":", "/")}`);

describe("a new archive", () => {
  it.each([
    ["where nothing is", "new.tar"],
    ["below folders that are not there", "a/b/new.tar"],
  ])("%s", async (_, name) => {
    const parent = directory();
    const path = join(parent, name);
    await publish(await archiveDestination({ path, tag: "x" }));
    const files = await list(path);
    expect(files.map(({ header }) => header.name)).toEqual([
      ...["oci-layout", "index.json"],
      ...blobNames("one", "two", "image").sort(),
    ]);
    for (const { header } of files) {
      expect(header).toMatchObject({ type: "file", mode: 0o644, uid: 0, gid: 0 });
      expect(header).toMatchObject({ mtime: new Date(0), uname: "", gname: "", pax: null });
    }
    for (const { header, content } of files.slice(2)) {
      expect(blobNames(content.toString())).toEqual([header.name]);
    }
    expect(JSON.parse(files[0]!.content.toString())).toEqual({ imageLayoutVersion: "1.0.0" });
    expect(await entriesOf(path)).toEqual([tagged(IMAGE, "x")]);
    expect(await stagesIn(parent)).toEqual([]);
    const resolved = await archiveSource({ path }).resolve();
    expect(resolved).toEqual(tagged(IMAGE, "x"));
  });

  it("does not exist before it is complete", async () => {
    const parent = directory();
    const destination = await archiveDestination({ path: join(parent, "new.tar") });
    expect(await readdir(parent)).toEqual([]);
    await put(destination, "one");
    const [stage] = await stagesIn(parent);
    expect(await readdir(parent)).toEqual([stage]);
    expect((await stat(join(parent, stage!))).mode & 0o077).toBe(0);
    await destination.commit(IMAGE);
    expect(await readdir(parent)).toEqual(["new.tar"]);
  });

  it("has the permissions of any new file", async () => {
    const parent = directory();
    await publish(await archiveDestination({ path: join(parent, "new.tar") }));
    await writeFile(join(parent, "common"), "");
    const { mode } = await stat(join(parent, "new.tar"));
    expect(mode).toBe((await stat(join(parent, "common"))).mode);
  });

  it("is the same for the same image, in whatever order its blobs were written", async () => {
    const paths = [join(directory(), "a.tar"), join(directory(), "b.tar")];
    await publish(await archiveDestination({ path: paths[0]! }), "one", "two", "three");
    await publish(await archiveDestination({ path: paths[1]! }), "three", "two", "one", "two");
    const [first, second] = await Promise.all(paths.map((path) => readFile(path)));
    expect(first!.equals(second!)).toBe(true);
  });

  it("holds sha512 blobs, whose names are long, and empty blobs", async () => {
    const path = join(directory(), "new.tar");
    const destination = await archiveDestination({ path });
    const blobs = ["", "a".repeat(511), "b".repeat(512), "c".repeat(700_000)].map((content) => {
      const [bytes, digest] = [Buffer.from(content), digestOf(content, "sha512")];
      return { bytes, descriptor: { mediaType: TAR, digest, size: bytes.byteLength } };
    });
    for (const { bytes, descriptor } of blobs) {
      await destination.write(chunked(bytes, 1000), () => descriptor);
    }
    await destination.commit(IMAGE);
    const source = archiveSource({ path });
    for (const { bytes, descriptor } of blobs) {
      expect((await collect(source.read(descriptor))).equals(bytes)).toBe(true);
    }
    const found = (await list(path)).map(({ header, content }) => [header.name, content.length]);
    const expected = blobs.map(({ bytes, descriptor }) => [
      `blobs/${descriptor.digest.replace(":", "/")}`,
      bytes.byteLength,
    ]);
    expect(found.slice(2)).toEqual(expected.sort());
  });
});

describe("an existing archive", () => {
  it.each([
    ["with the same name", [tagged(IMAGE, "x")], "x"],
    ["with the same name twice", [tagged(IMAGE, "x"), tagged(IMAGE, "x")], "x"],
    ["without a name", [IMAGE], undefined],
    ["without images", [], "x"],
  ])("is replaced: %s", async (_, manifests, tag) => {
    const path = await archiveOf(...manifests);
    const reference: LayoutReference = { path, ...(tag !== undefined && { tag }) };
    await publish(await archiveDestination(reference));
    expect((await list(path)).length).toBe(5);
    expect(await entriesOf(path)).toEqual([tag === undefined ? IMAGE : tagged(IMAGE, tag)]);
  });

  it.each([
    ["with another name", [tagged(IMAGE, "old")], "x"],
    ["with the same name and another", [tagged(IMAGE, "x"), tagged(IMAGE, "old")], "x"],
    ["without a name, by one with a name", [IMAGE], "x"],
    ["several without a name", [IMAGE, { ...IMAGE, digest: digestOf("b") }], undefined],
    ["with several names", [tagged(IMAGE, "x"), tagged(IMAGE, "old")], undefined],
  ])("is rejected at once: %s", async (_, manifests, tag) => {
    const path = await archiveOf(...manifests);
    const before = await snapshot(join(path, ".."));
    const reference: LayoutReference = { path, ...(tag !== undefined && { tag }) };
    const error = await expectCode(archiveDestination(reference), "DESTINATION_EXISTS");
    expect(error.message).toContain("other images");
    expect(await snapshot(join(path, ".."))).toEqual(before);
  });

  it("is kept if the new image has another name", async () => {
    const path = await archiveOf(tagged(IMAGE, "old"));
    const before = await readFile(path);
    const destination = await archiveDestination({ path });
    await put(destination, "one");
    const committing = destination.commit(tagged(IMAGE, "new"));
    await expectCode(committing, "DESTINATION_EXISTS");
    await destination.discard();
    expect((await readFile(path)).equals(before)).toBe(true);
    expect(await stagesIn(join(path, ".."))).toEqual([]);
  });

  it("is kept if another process wrote it in the meantime", async () => {
    const path = join(directory(), "new.tar");
    const one = await archiveDestination({ path, tag: "x" });
    const other = await archiveDestination({ path, tag: "x" });
    await put(one, "one");
    await put(other, "two");
    await one.commit(IMAGE);
    const before = await readFile(path);
    await expectCode(other.commit(IMAGE), "DESTINATION_CHANGED");
    await other.discard();
    expect((await readFile(path)).equals(before)).toBe(true);
    expect(await stagesIn(join(path, ".."))).toEqual([]);
  });

  it("is kept if it was written with other images in the meantime", async () => {
    const path = join(directory(), "new.tar");
    const destination = await archiveDestination({ path, tag: "x" });
    await put(destination, "one");
    const other = await readFile(await archiveOf(tagged(IMAGE, "old")));
    await writeFile(path, other);
    await expectCode(destination.commit(IMAGE), "DESTINATION_EXISTS");
    expect((await readFile(path)).equals(other)).toBe(true);
    await destination.discard();
  });

  it("is unchanged before the commit", async () => {
    const path = await archiveOf(IMAGE);
    const before = await snapshot(join(path, ".."));
    const destination = await archiveDestination({ path });
    await put(destination, "one");
    expect(await snapshot(join(path, ".."))).toMatchObject(before);
    await destination.discard();
    expect(await snapshot(join(path, ".."))).toEqual(before);
  });

  it("keeps its permissions", async () => {
    const path = await archiveOf(IMAGE);
    await chmod(path, 0o600);
    await publish(await archiveDestination({ path }));
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("may be an empty file", async () => {
    const path = join(directory(), "new.tar");
    await writeFile(path, "");
    await publish(await archiveDestination({ path, tag: "x" }));
    expect(await entriesOf(path)).toEqual([tagged(IMAGE, "x")]);
  });

  it("may be behind a symbolic link, which stays", async () => {
    const path = await archiveOf(IMAGE);
    const links = directory();
    await symlink(path, join(links, "link"));
    await publish(await archiveDestination({ path: join(links, "link") }));
    expect((await list(path)).length).toBe(5);
    expect((await readdir(links, { withFileTypes: true }))[0]?.isSymbolicLink()).toBe(true);
  });

  it("has no blobs that need not be written", async () => {
    const path = join(directory(), "new.tar");
    await publish(await archiveDestination({ path }));
    const destination = await archiveDestination({ path });
    expect(await destination.contains(IMAGE)).toBe(false);
  });
});

describe("a path that cannot be a destination", () => {
  it("a digest", async () => {
    const reference = { path: join(directory(), "x"), digest: digestOf("x") };
    await expectCode(archiveDestination(reference), "REFERENCE_INVALID");
  });

  it.each<[string, (path: string) => Promise<unknown>]>([
    ["a directory", (path) => mkdir(path)],
    ["a layout", (path) => createLayout(path)],
    ["some file", (path) => writeFile(path, "precious ".repeat(1000))],
    ["a short file", (path) => writeFile(path, "x")],
    ["a tar that is no layout", async (path) => writeFile(path, await tar({ a: "b" }))],
    [
      "a layout of another version",
      async (path) => writeFile(path, await tar({ "oci-layout": '{"imageLayoutVersion":"2"}' })),
    ],
  ])("%s", async (_, make) => {
    const parent = directory();
    const path = join(parent, "there");
    await make(path);
    const before = await snapshot(parent);
    await expectCode(archiveDestination({ path }), "LAYOUT_INVALID");
    expect(await snapshot(parent)).toEqual(before);
  });

  it("a place below a file", async () => {
    const file = join(directory(), "file");
    await writeFile(file, "x");
    const destination = await archiveDestination({ path: join(file, "new.tar") });
    await expectCode(put(destination, "one"), "DESTINATION_UNWRITABLE");
    await destination.discard();
  });
});

describe("a failure", () => {
  it("of the content leaves no part of it", async () => {
    const parent = directory();
    const destination = await archiveDestination({ path: join(parent, "new.tar") });
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from("secret");
      await Promise.reject(new Error("broken"));
    };
    const writing = destination.write(failing(), () => ({ digest: digestOf("secret") }));
    await expect(writing).rejects.toThrow("broken");
    const [stage] = await stagesIn(parent);
    expect(await snapshot(join(parent, stage!))).toEqual({});
    await destination.discard();
    expect(await readdir(parent)).toEqual([]);
  });

  it.each<[string, () => Promise<{ digest: string }>, "HMAC_MISMATCH" | "DESCRIPTOR_INVALID"]>([
    [
      "of the description",
      () => Promise.reject(new OcicryptError("HMAC_MISMATCH", "changed")),
      "HMAC_MISMATCH",
    ],
    [
      "with an invalid digest",
      () => Promise.resolve({ digest: "sha256:../../x" }),
      "DESCRIPTOR_INVALID",
    ],
  ])("%s leaves nothing of the content", async (_, describe, code) => {
    const parent = directory();
    const destination = await archiveDestination({ path: join(parent, "new.tar") });
    await expectCode(destination.write(chunked(Buffer.from("secret"), 2), describe), code);
    const [stage] = await stagesIn(parent);
    expect(await snapshot(join(parent, stage!))).toEqual({});
    await destination.discard();
  });

  it("to read the stage does not change the archive", async () => {
    const path = await archiveOf(IMAGE);
    const parent = join(path, "..");
    const before = await snapshot(parent);
    const destination = await archiveDestination({ path });
    await put(destination, "one");
    const [stage] = await stagesIn(parent);
    for (const name of await readdir(join(parent, stage!))) await rm(join(parent, stage!, name));
    await expectCode(destination.commit(IMAGE), "DESTINATION_UNWRITABLE");
    await destination.discard();
    expect(await snapshot(parent)).toEqual(before);
  });

  it("to make a stage names the destination, and leaves nothing to discard", async () => {
    const parent = join(directory(), "parent");
    await mkdir(parent);
    const path = join(parent, "new.tar");
    const destination = await archiveDestination({ path });
    await rm(parent, { recursive: true });
    await writeFile(parent, "a file now");
    const error = await expectCode(put(destination, "one"), "DESTINATION_UNWRITABLE");
    expect(error.message).toContain(path);
    await destination.discard();
  });

  it("before the first write leaves nothing to discard", async () => {
    const parent = directory();
    const destination = await archiveDestination({ path: join(parent, "a/new.tar") });
    await destination.discard();
    expect(await readdir(parent)).toEqual([]);
  });

  it("does not undo a commit", async () => {
    const path = join(directory(), "new.tar");
    const destination = await archiveDestination({ path });
    await publish(destination);
    await destination.discard();
    expect((await list(path)).length).toBe(5);
  });
});

describe("a stage that was left behind", () => {
  const host = hostOfStages();

  it("by a process that was killed is removed by the next run", async () => {
    const parent = directory();
    const { pid } = spawnSync(process.execPath, ["--version"]);
    const name = `.ocicrypt-${host}-${String(pid)}-0123456789abcdef`;
    await mkdir(join(parent, name), { mode: 0o700 });
    await writeFile(join(parent, name, "0123456789abcdef"), "secret");
    await publish(await archiveDestination({ path: join(parent, "new.tar") }));
    expect(await readdir(parent)).toEqual(["new.tar"]);
  });
});

describe("an image in archives", () => {
  const recipients = [plainRecipient()];
  const keys = [openKey()];

  async function encrypt(source: LayoutReference, destination: LayoutReference): Promise<Entry> {
    const to = await archiveDestination(destination);
    return (await encryptImage(archiveSource(source), to, { recipients })).image as Entry;
  }

  async function decrypt(source: LayoutReference, destination: LayoutReference): Promise<Entry> {
    const to = await archiveDestination(destination);
    return (await decryptImage(archiveSource(source), to, { keys })).image as Entry;
  }

  /** An image with a layout's blobs in an archive, as `tar -c` would put them there. */
  async function pack(layout: string): Promise<string> {
    const path = join(directory(), "plain.tar");
    const files: Record<string, Buffer> = {};
    for (const [name, kind] of Object.entries(await snapshot(layout))) {
      if (kind !== "-") files[name] = await readFile(join(layout, name));
    }
    await writeFile(path, await tar(files));
    return path;
  }

  it.each([
    [
      "a manifest",
      async (path: string) =>
        (
          await layoutOf(path, [
            await layer("a"),
            await layer("b"),
            layerOf(Buffer.alloc(1_000_001, "tar"), { mediaType: TAR }),
          ])
        ).descriptor,
    ],
    ["an index", async (path: string) => (await multiPlatform(path)).index],
  ])("is identical after encryption and decryption: %s", async (_, make) => {
    const layout = directory();
    const image = await make(layout);
    const plain = await pack(layout);
    const [encrypted, again] = [join(directory(), "e.tar"), join(directory(), "d.tar")];
    const there = await encrypt({ path: plain }, { path: encrypted });
    expect(there.digest).not.toBe(image.digest);
    expect(await decrypt({ path: encrypted }, { path: again })).toEqual(image);
    const byName = (files: File[]): [string, string][] =>
      files
        .filter(({ header }) => header.name.startsWith("blobs/"))
        .map(({ header, content }): [string, string] => [header.name, digestOf(content)])
        .sort();
    expect(byName(await list(again))).toEqual(byName(await list(plain)));
    expect(await entriesOf(again)).toEqual([image]);
  });

  it("can be copied from a layout to an archive to a layout", async () => {
    const [layout, archive, again] = [directory(), join(directory(), "a.tar"), directory()];
    const { descriptor } = await layoutOf(layout, [await layer("a")]);
    await writeIndex(layout, [tagged(descriptor, "one")]);
    const to = await archiveDestination({ path: archive, tag: "two" });
    await encryptImage(layoutSource({ path: layout }), to, { recipients });
    expect((await entriesOf(archive))[0]).toMatchObject({
      annotations: { "org.opencontainers.image.ref.name": "two" },
    });
    const back = await layoutDestination({ path: again, tag: "one" });
    const { image } = await decryptImage(archiveSource({ path: archive }), back, { keys });
    expect(image.digest).toBe(descriptor.digest);
    expect(await readFile(blobFile(again, descriptor.digest))).toEqual(
      await readFile(blobFile(layout, descriptor.digest)),
    );
  });

  it("is encrypted and decrypted in place, and leaves no plain layer", async () => {
    const layout = await createLayout(directory());
    const secret = await layer("secret");
    const { descriptor } = await putManifest(layout, [secret]);
    await writeIndex(layout, [tagged(descriptor, "app")]);
    const path = await pack(layout);
    const reference = { path, tag: "app" };

    const to = await archiveDestination(reference);
    const { warnings } = await encryptImage(archiveSource(reference), to, { recipients });
    expect(warnings).toEqual([]);
    const names = (await list(path)).map(({ header }) => header.name);
    expect(names).not.toContain(`blobs/${secret.descriptor.digest.replace(":", "/")}`);
    expect(names.length).toBe(5);

    const image = await decrypt({ path }, { path });
    expect(image.digest).toBe(descriptor.digest);
    expect(await entriesOf(path)).toEqual([tagged(descriptor, "app")]);
    expect(await readdir(join(path, ".."))).toEqual(["plain.tar"]);
  });

  it("does not change the archive if a layer does not verify", async () => {
    const layout = directory();
    const broken = await layer("a");
    await layoutOf(layout, [broken]);
    await writeFile(blobFile(layout, broken.descriptor.digest), "x".repeat(broken.blob.length));
    const path = await pack(layout);
    const before = await snapshot(join(path, ".."));
    await expectCode(encrypt({ path }, { path }), "BLOB_DIGEST_MISMATCH");
    expect(await snapshot(join(path, ".."))).toEqual(before);
  });
});
