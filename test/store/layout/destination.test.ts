import {
  chmod,
  chown,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { dirname, join } from "node:path";
import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { OcicryptError } from "../../../src/errors.js";
import { host as hostOfStages } from "../../../src/store/stage.js";
import { REF_NAME } from "../../../src/spec/descriptor.js";
import { layoutDestination } from "../../../src/store/layout/destination.js";
import type { ImageDestination } from "../../../src/store/types.js";
import { chunked } from "../../support/bytes.js";
import { expectCode } from "../../support/codes.js";
import {
  blobFile,
  createLayout,
  digestOf,
  layer,
  MANIFEST,
  putManifest,
  readEntries,
  snapshot,
  stagesIn,
  tagged,
  temporaryDirectories,
  writeIndex,
  type Entry,
} from "../../support/image.js";

const directory = temporaryDirectories();

const IMAGE: Entry = { mediaType: MANIFEST, digest: digestOf("image"), size: 5 };

function put(destination: ImageDestination, content: string): Promise<void> {
  const bytes = Buffer.from(content);
  return destination.write(chunked(bytes, 3), () => ({ digest: digestOf(bytes) }));
}

/** Writes one image with two blobs. */
async function publish(destination: ImageDestination): Promise<void> {
  await put(destination, "one");
  await put(destination, "two");
  await destination.writeManifest(Buffer.from("image"), IMAGE);
  await destination.commit(IMAGE);
}

const BLOBS = Object.fromEntries(
  ["one", "two", "image"].map((each) => [
    `blobs/${digestOf(each).replace(":", "/")}`,
    digestOf(each),
  ]),
);

describe("a new layout", () => {
  it.each([
    ["where nothing is", "new"],
    ["below folders that are not there", "a/b/c"],
    ["in an empty directory", ""],
  ])("%s", async (_, name) => {
    const parent = directory();
    const path = join(parent, name);
    await publish(await layoutDestination({ path, tag: "x" }));
    expect(await snapshot(path)).toEqual({
      ...BLOBS,
      blobs: "-",
      "blobs/sha256": "-",
      "index.json": digestOf(await readFile(join(path, "index.json"))),
      "oci-layout": digestOf(await readFile(join(path, "oci-layout"))),
    });
    expect(JSON.parse(await readFile(join(path, "oci-layout"), "utf8"))).toEqual({
      imageLayoutVersion: "1.0.0",
    });
    expect(await readEntries(path)).toEqual([tagged(IMAGE, "x")]);
    expect(await stagesIn(parent)).toEqual([]);
  });

  it("does not exist before it is complete", async () => {
    const parent = directory();
    const path = join(parent, "new");
    const destination = await layoutDestination({ path });
    await put(destination, "one");
    expect((await readdir(parent)).map((name) => name.slice(0, 10))).toEqual([".ocicrypt-"]);
    await destination.commit(IMAGE);
    expect(await readdir(parent)).toEqual(["new"]);
  });

  it("hides unfinished content from other users", async () => {
    const parent = directory();
    const destination = await layoutDestination({ path: join(parent, "new") });
    await put(destination, "one");
    const [stage] = await stagesIn(parent);
    expect((await stat(join(parent, stage!))).mode & 0o077).toBe(0);
    await destination.discard();
  });

  it("has the permissions of any new directory", async () => {
    const parent = directory();
    const path = join(parent, "new");
    await publish(await layoutDestination({ path }));
    const common = join(parent, "common");
    await mkdir(common);
    await writeFile(join(common, "file"), "");
    expect((await stat(path)).mode).toBe((await stat(common)).mode);
    const blob = blobFile(path, digestOf("one"));
    expect((await stat(blob)).mode).toBe((await stat(join(common, "file"))).mode);
    expect((await stat(dirname(blob))).mode).toBe((await stat(common)).mode);
  });

  it("may be in an empty directory with the stage of another process", async () => {
    const path = directory();
    const stage = `.ocicrypt-00000000-1-${"0".repeat(16)}`;
    await mkdir(join(path, stage));
    await publish(await layoutDestination({ path }));
    expect(await stagesIn(path)).toEqual([stage]);
    expect(await readEntries(path)).toEqual([IMAGE]);
  });

  it("holds one blob that is written twice", async () => {
    const path = join(directory(), "new");
    const destination = await layoutDestination({ path });
    await Promise.all([put(destination, "one"), put(destination, "one"), put(destination, "two")]);
    await destination.writeManifest(Buffer.from("image"), IMAGE);
    await destination.commit(IMAGE);
    expect(await snapshot(path)).toMatchObject(BLOBS);
  });
});

describe("an existing layout", () => {
  it("gets the image next to its other images", async () => {
    const path = await createLayout(directory());
    const { descriptor } = await putManifest(path, [await layer("a")]);
    await writeIndex(path, [tagged(descriptor, "old")]);
    const before = await snapshot(path);
    await publish(await layoutDestination({ path, tag: "new" }));
    const after = await snapshot(path);
    expect(after).toMatchObject({ ...before, ...BLOBS, "index.json": after["index.json"] });
    expect(await readEntries(path)).toEqual([tagged(descriptor, "old"), tagged(IMAGE, "new")]);
  });

  it("is unchanged before the commit", async () => {
    const path = await createLayout(directory());
    const before = await snapshot(path);
    const destination = await layoutDestination({ path });
    await put(destination, "one");
    const [stage] = await stagesIn(path);
    const during = await snapshot(path);
    const visible = Object.entries(during).filter(([name]) => !name.startsWith(stage!));
    expect(Object.fromEntries(visible)).toEqual(before);
    await destination.discard();
    expect(await snapshot(path)).toEqual(before);
  });

  it("may have lost its index.json", async () => {
    const path = await createLayout(directory());
    await rm(join(path, "index.json"));
    await publish(await layoutDestination({ path }));
    expect(await readEntries(path)).toEqual([IMAGE]);
  });

  it("may be behind a symbolic link", async () => {
    const path = await createLayout(directory());
    const link = join(directory(), "link");
    await symlink(path, link);
    await publish(await layoutDestination({ path: link }));
    expect(await readEntries(path)).toEqual([IMAGE]);
  });
});

describe("whether a blob exists", () => {
  it.each([
    ["whole", "one", "one", 3, true],
    ["shorter", "on", "one", 3, false],
    ["changed", "onE", "one", 3, false],
    ["of another size", "one", "one", 4, false],
    ["missing", undefined, "one", 3, false],
  ])("%s", async (_, content, named, size, expected) => {
    const path = await createLayout(directory());
    const digest = digestOf(named);
    if (content !== undefined) await writeFile(blobFile(path, digest), content);
    const destination = await layoutDestination({ path });
    expect(await destination.contains({ mediaType: "x", digest, size })).toBe(expected);
  });

  it("is not looked for outside the layout", async () => {
    const destination = await layoutDestination({ path: await createLayout(directory()) });
    const digest = "sha256:../../oci-layout";
    const looking = async (): Promise<unknown> =>
      destination.contains({ mediaType: "x", digest, size: 1 });
    await expectCode(looking, "DESCRIPTOR_INVALID");
  });
});

describe("a path that cannot be a destination", () => {
  it("a digest", async () => {
    const reference = { path: directory(), digest: digestOf("x") };
    await expectCode(layoutDestination(reference), "REFERENCE_INVALID");
  });

  it.each<[string, (path: string) => Promise<unknown>]>([
    ["a file", (path) => rm(path, { recursive: true }).then(() => writeFile(path, "x"))],
    ["a directory with something else", (path) => writeFile(join(path, "x"), "")],
    ["a directory with a hidden file", (path) => writeFile(join(path, ".x"), "")],
    ["a directory with a name like a stage's", (path) => mkdir(join(path, ".ocicrypt-1-2-3"))],
    ["a layout of another version", (path) => writeFile(join(path, "oci-layout"), '{"imageLayoutVersion":"2"}')], // prettier-ignore
  ])("%s", async (_, make) => {
    const path = directory();
    await make(path);
    const before = await snapshot(dirname(path));
    await expectCode(layoutDestination({ path }), "LAYOUT_INVALID");
    expect(await snapshot(dirname(path))).toEqual(before);
  });

  it("a place below a file", async () => {
    const file = join(directory(), "file");
    await writeFile(file, "");
    await expectCode(layoutDestination({ path: join(file, "new") }), "LAYOUT_INVALID");
  });

  it("a layout whose index.json is broken", async () => {
    const path = await createLayout(directory());
    await writeFile(join(path, "index.json"), "{");
    const before = await snapshot(path);
    await expectCode(layoutDestination({ path }), "MANIFEST_INVALID");
    expect(await snapshot(path)).toEqual(before);
  });
});

describe("a failure", () => {
  it("of the content leaves no part of it", async () => {
    const parent = directory();
    const destination = await layoutDestination({ path: join(parent, "new") });
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

  it("of the description leaves no part of the content", async () => {
    const parent = directory();
    const destination = await layoutDestination({ path: join(parent, "new") });
    const writing = destination.write(chunked(Buffer.from("secret"), 2), () =>
      Promise.reject(new OcicryptError("HMAC_MISMATCH", "changed")),
    );
    await expectCode(writing, "HMAC_MISMATCH");
    const [stage] = await stagesIn(parent);
    expect(await snapshot(join(parent, stage!))).toEqual({});
    await destination.discard();
  });

  it("to write names the destination", async () => {
    const parent = join(directory(), "parent");
    await mkdir(parent);
    const path = join(parent, "new");
    const destination = await layoutDestination({ path });
    await rm(parent, { recursive: true });
    await writeFile(parent, "a file now");
    const error = await expectCode(put(destination, "one"), "DESTINATION_UNWRITABLE");
    expect(error.message).toContain(path);
  });

  // encryptImage and decryptImage discard, and then throw what has failed.
  it("to make a stage leaves nothing to discard", async () => {
    const parent = join(directory(), "parent");
    await mkdir(parent);
    const destination = await layoutDestination({ path: join(parent, "new") });
    await rm(parent, { recursive: true });
    await writeFile(parent, "a file now");
    await expectCode(put(destination, "one"), "DESTINATION_UNWRITABLE");
    await destination.discard();
  });

  it("before the first write leaves nothing to discard", async () => {
    const parent = directory();
    const destination = await layoutDestination({ path: join(parent, "a/new") });
    await destination.discard();
    expect(await readdir(parent)).toEqual([]);
  });

  it("does not undo a commit", async () => {
    const path = join(directory(), "new");
    const destination = await layoutDestination({ path });
    await publish(destination);
    const before = await snapshot(path);
    await destination.discard();
    expect(await snapshot(path)).toEqual(before);
  });

  it("to create a layout that another process created in the meantime keeps it", async () => {
    const parent = directory();
    const path = join(parent, "new");
    const destination = await layoutDestination({ path });
    await put(destination, "one");
    await mkdir(path);
    await writeFile(join(path, "file"), "of another program");
    await expectCode(destination.commit(IMAGE), "DESTINATION_UNWRITABLE");
    await destination.discard();
    expect(await readdir(parent)).toEqual(["new"]);
    expect(await readdir(path)).toEqual(["file"]);
  });
});

describe("a stage that was left behind", () => {
  const host = hostOfStages();

  /** The number of a process that is not any more. */
  function deadProcess(): number {
    return spawnSync(process.execPath, ["--version"]).pid;
  }

  async function stageOf(parent: string, machine: string, pid: number): Promise<string> {
    const name = `.ocicrypt-${machine}-${String(pid)}-0123456789abcdef`;
    await mkdir(join(parent, name), { mode: 0o700 });
    await mkdir(join(parent, name, "image/blobs"), { recursive: true });
    await writeFile(join(parent, name, "image/blobs/x"), "secret");
    return name;
  }

  it.each(["new", "layout"])("is removed by the next run: %s", async (kind) => {
    const parent = directory();
    const path = kind === "new" ? join(parent, "new") : await createLayout(parent);
    await stageOf(parent, host, deadProcess());
    await publish(await layoutDestination({ path }));
    expect(await stagesIn(parent)).toEqual([]);
  });

  it.each<[string, (parent: string) => Promise<string>]>([
    ["of a process that runs", (parent) => stageOf(parent, host, process.ppid)],
    ["of another machine", (parent) => stageOf(parent, "00000000", deadProcess())],
  ])("%s is not", async (_, make) => {
    const parent = directory();
    const name = await make(parent);
    await publish(await layoutDestination({ path: join(parent, "new") }));
    expect(await stagesIn(parent)).toEqual([name]);
    expect(await readFile(join(parent, name, "image/blobs/x"), "utf8")).toBe("secret");
  });

  it.each<[string, (stage: string) => Promise<unknown>]>([
    ["that others may look into", (stage) => chmod(stage, 0o755)],
    ["with files that no stage has", (stage) => writeFile(join(stage, "important"), "x")],
  ])("is not removed as a directory %s", async (_, change) => {
    const parent = directory();
    const name = await stageOf(parent, host, deadProcess());
    await change(join(parent, name));
    const before = await snapshot(join(parent, name));
    await publish(await layoutDestination({ path: join(parent, "new") }));
    expect(await snapshot(join(parent, name))).toEqual(before);
  });

  it.runIf(process.getuid?.() === 0)("is not removed if it is another user's", async () => {
    const parent = directory();
    const name = await stageOf(parent, host, deadProcess());
    await chown(join(parent, name), 65534, 65534);
    await publish(await layoutDestination({ path: join(parent, "new") }));
    expect(await readFile(join(parent, name, "image/blobs/x"), "utf8")).toBe("secret");
  });

  it("is left alone as a link, with the target of the link", async () => {
    const parent = directory();
    const target = directory();
    await writeFile(join(target, "file"), "of another program");
    const name = `.ocicrypt-${host}-${String(deadProcess())}-0123456789abcdef`;
    await symlink(target, join(parent, name));
    await publish(await layoutDestination({ path: join(parent, "new") }));
    expect(await stagesIn(parent)).toEqual([name]);
    expect(await readdir(target)).toEqual(["file"]);
  });
});

describe("several writers", () => {
  it.each(["new", "empty", "layout"])("all keep their images: %s", async (kind) => {
    const parent = directory();
    const path = kind === "layout" ? await createLayout(parent) : join(parent, "new");
    if (kind === "empty") await mkdir(path);
    const tags = Array.from({ length: 8 }, (_, i) => `t${String(i)}`);
    const destinations = await Promise.all(tags.map((tag) => layoutDestination({ path, tag })));
    for (const destination of destinations) await put(destination, "one");
    await Promise.all(destinations.map((destination) => destination.commit(IMAGE)));
    const names = (await readEntries(path)).map(({ annotations }) => annotations![REF_NAME]);
    expect(names.sort()).toEqual(tags);
    expect(await stagesIn(path)).toEqual([]);
    expect(await stagesIn(parent)).toEqual([]);
  });

  it("of one name do not overwrite each other's image", async () => {
    const path = await createLayout(directory());
    const [one, other] = [
      await layoutDestination({ path, tag: "x" }),
      await layoutDestination({ path, tag: "x" }),
    ];
    await put(one, "one");
    await put(other, "two");
    await one.commit(IMAGE);
    const second = { ...IMAGE, digest: digestOf("another image") };
    await expectCode(other.commit(second), "DESTINATION_CHANGED");
    await other.discard();
    expect(await readEntries(path)).toEqual([tagged(IMAGE, "x")]);
  });

  it("remove the stage of a writer that was killed right after its new layout appeared", async () => {
    const parent = directory();
    const path = await createLayout(join(parent, "new"));
    const { pid } = spawnSync(process.execPath, ["--version"]);
    const stage = `.ocicrypt-${hostOfStages()}-${String(pid)}-0123456789abcdef`;
    await mkdir(join(parent, stage), { mode: 0o700 });
    await publish(await layoutDestination({ path }));
    expect(await stagesIn(parent)).toEqual([]);
  });

  it("continue after a writer was killed while it held the lock", async () => {
    const path = await createLayout(directory());
    const lock = `.ocicrypt-${hostOfStages()}-${String(spawnSync(process.execPath, ["--version"]).pid)}-0123456789abcdef.lock`;
    await writeFile(join(path, lock), "");
    await publish(await layoutDestination({ path }));
    expect(await stagesIn(path)).toEqual([]);
  });

  it("wait for a process that holds the lock", async () => {
    const path = await createLayout(directory());
    const lock = `.ocicrypt-${hostOfStages()}-${String(process.ppid)}-0123456789abcdef.lock`;
    await writeFile(join(path, lock), "");
    const destination = await layoutDestination({ path });
    await put(destination, "one");
    const committed = destination.commit(IMAGE);
    await setTimeout(100);
    expect(await readEntries(path)).toEqual([]);
    await rm(join(path, lock));
    await committed;
    expect(await readEntries(path)).toEqual([IMAGE]);
  });

  it("can be aborted while they wait", async () => {
    const path = await createLayout(directory());
    const lock = `.ocicrypt-${hostOfStages()}-${String(process.ppid)}-0123456789abcdef.lock`;
    await writeFile(join(path, lock), "");
    const destination = await layoutDestination({ path });
    await put(destination, "one");
    const stopped = AbortSignal.timeout(50);
    await expect(destination.commit(IMAGE, { signal: stopped })).rejects.toThrow();
    await destination.discard();
    expect(await stagesIn(path)).toEqual([lock]);
  });
});
