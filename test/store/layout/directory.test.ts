import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { decryptImage, encryptImage } from "../../../src/image/index.js";
import { directoryDestination, directorySource } from "../../../src/store/layout/directory.js";
import { layoutDestination } from "../../../src/store/layout/destination.js";
import { layoutSource } from "../../../src/store/layout/source.js";
import type { ImageDestination } from "../../../src/store/types.js";
import { chunked } from "../../support/bytes.js";
import { expectCode } from "../../support/codes.js";
import {
  digestOf,
  INDEX,
  multiPlatform,
  MANIFEST,
  readEntries,
  snapshot,
  stagesIn,
  temporaryDirectories,
  type Entry,
} from "../../support/image.js";
import { openKey, plainRecipient } from "../../support/layers.js";

const directory = temporaryDirectories();
const VERSION = "Directory Transport Version: 1.1\n";
const hex = (text: string): string => digestOf(text).slice("sha256:".length);
const describedAs = (text: string, mediaType = MANIFEST): Entry => ({
  ...{ mediaType, digest: digestOf(text), size: text.length },
});

/** Writes an image without its commit: an index of one manifest, and two blobs. */
async function prepare(destination: ImageDestination, root = "index"): Promise<Entry> {
  for (const blob of ["one", "two"]) {
    const bytes = Buffer.from(blob);
    await destination.write(chunked(bytes, 2), () => ({ digest: digestOf(bytes) }));
  }
  await destination.writeManifest(Buffer.from("manifest"), describedAs("manifest"));
  await destination.writeManifest(Buffer.from(root), describedAs(root, INDEX));
  return describedAs(root, INDEX);
}

// The names and the version are skopeo's:
// https://github.com/containers/image/blob/main/directory/directory_transport.go
const FILES = {
  version: digestOf(VERSION),
  "manifest.json": digestOf("index"),
  [`${hex("manifest")}.manifest.json`]: digestOf("manifest"),
  [hex("one")]: digestOf("one"),
  [hex("two")]: digestOf("two"),
};

describe("a new directory", () => {
  it.each([
    ["where nothing is", "new"],
    ["below directories that do not exist", "a/b"],
    ["that is empty", ""],
  ])("%s", async (_, name) => {
    const path = join(directory(), name);
    const destination = await directoryDestination(path);
    const image = await prepare(destination);
    if (name === "new") expect(await readdir(join(path, "..")).then(notStages)).toEqual([]);
    await destination.commit(image);
    expect(await snapshot(path)).toEqual(FILES);
    expect(await stagesIn(join(path, ".."))).toEqual([]);
  });

  it("is not made if the image is discarded", async () => {
    const parent = directory();
    const destination = await directoryDestination(join(parent, "new"));
    await prepare(destination);
    await destination.discard();
    expect(await readdir(parent)).toEqual([]);
  });

  it("is joined if another process made it in the meantime, and has no other image", async () => {
    const path = join(directory(), "new");
    const [one, other] = [await directoryDestination(path), await directoryDestination(path)];
    const [image, second] = [await prepare(one), await prepare(other, "other")];
    await one.commit(image);
    await expectCode(other.commit(second), "DESTINATION_CHANGED");
    await other.discard();
    expect(await snapshot(path)).toEqual(FILES);
  });
});

const notStages = (names: string[]): string[] =>
  names.filter((name) => !name.startsWith(".ocicrypt-"));

describe("an existing directory", () => {
  /** As skopeo 1.9 leaves it, with a signature. */
  async function existing(): Promise<string> {
    const path = directory();
    await writeFile(join(path, "version"), VERSION);
    await writeFile(join(path, "manifest.json"), "former");
    await writeFile(join(path, hex("secret")), "secret");
    await writeFile(join(path, "signature-1"), "of former");
    await writeFile(join(path, "notes.txt"), "mine");
    return path;
  }

  it("is unchanged before the commit", async () => {
    const path = await existing();
    const before = await snapshot(path);
    const destination = await directoryDestination(path);
    await prepare(destination);
    const now = await snapshot(path);
    expect(Object.entries(now).filter(([name]) => !name.startsWith(".ocicrypt-"))).toEqual(
      Object.entries(before),
    );
    await destination.discard();
    expect(await snapshot(path)).toEqual(before);
  });

  it("gets the image, and loses the former image and its signatures", async () => {
    const path = await existing();
    const destination = await directoryDestination(path);
    await destination.commit(await prepare(destination));
    expect(await snapshot(path)).toEqual({ ...FILES, "notes.txt": digestOf("mine") });
  });

  it("keeps an image that another process has written in the meantime", async () => {
    const path = await existing();
    const destination = await directoryDestination(path);
    const image = await prepare(destination);
    await writeFile(join(path, "manifest.json"), "newer");
    await expectCode(destination.commit(image), "DESTINATION_CHANGED");
    expect(await readFile(join(path, "manifest.json"), "utf8")).toBe("newer");
    expect(await readFile(join(path, hex("secret")), "utf8")).toBe("secret");
  });

  it.each([
    ["of other files", { "notes.txt": "mine" }],
    ["of another version", { version: "Directory Transport Version: 2.0\n" }],
    ["of a layout", { "oci-layout": "{}", "index.json": "{}" }],
  ])("%s is not overwritten", async (_, files) => {
    const path = directory();
    for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
    await expectCode(directoryDestination(path), "LAYOUT_INVALID");
  });

  it("cannot be a file", async () => {
    const path = join(directory(), "file");
    await writeFile(path, "");
    await expectCode(directoryDestination(path), "LAYOUT_INVALID");
    await expectCode(directoryDestination(join(path, "below")), "LAYOUT_INVALID");
  });
});

describe("an image of two platforms", () => {
  it("is encrypted into a directory, in place, and comes back", async () => {
    const layout = join(directory(), "layout");
    await multiPlatform(layout);
    const [plain] = await readEntries(layout);
    const path = join(directory(), "new");
    const recipients = [plainRecipient()];
    await encryptImage(layoutSource({ path: layout }), await directoryDestination(path), {
      ...{ recipients, layers: [0] },
    });
    const once = await readdir(path);
    await encryptImage(directorySource(path), await directoryDestination(path), {
      ...{ recipients, layers: [1] },
    });
    const twice = await readdir(path);
    // The layers that were plain are gone.
    expect(twice).toHaveLength(once.length);
    const again = join(directory(), "again");
    const { image } = await decryptImage(
      directorySource(path),
      await layoutDestination({ path: again }),
      { keys: [openKey()] },
    );
    expect(image.digest).toBe(plain!.digest);
  });
});
