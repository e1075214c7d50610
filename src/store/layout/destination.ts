import { readdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { OcicryptError, errno } from "../../errors.js";
import type { Descriptor } from "../../spec/descriptor.js";
import { parseDigest } from "../../spec/digest.js";
import { MAX_MANIFEST_SIZE } from "../../spec/limits.js";
import { single } from "../../io/source.js";
import {
  fileMatches,
  makeDirectories,
  readSmallFile,
  syncDirectory,
  writeContent,
  writeError,
  writing,
} from "../../io/files.js";
import { placeOf, requireNoDigest, type LayoutReference } from "../reference.js";
import { isStage, stageDirectory, withLock } from "../stage.js";
import type { ImageDestination } from "../types.js";
import {
  EMPTY_INDEX,
  findReplaced,
  parseLayoutIndex,
  replaceEntry,
  requireLayout,
  withName,
  type LayoutIndex,
} from "./format.js";
import { blobPath, readIn } from "./source.js";

/**
 * Returns a destination that writes an image into an OCI layout directory, which may already exist
 * and hold other images. Everything is staged in a hidden directory. A new layout then appears
 * through one rename, and an existing layout changes through the rename of its `index.json`.
 * Processes that write other images into it at the same time wait for each other. An image of the
 * same name that was written after this call is not replaced: `commit` fails with
 * `DESTINATION_CHANGED`, so that no change is lost.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`, `LAYOUT_INVALID`, `DESTINATION_UNWRITABLE`
 */
export async function layoutDestination(reference: LayoutReference): Promise<ImageDestination> {
  requireNoDigest(reference);
  const path = resolve(reference.path);
  const state = await stateOf(path);
  const opened = state === "layout" ? await readIndex(path) : EMPTY_INDEX;
  const digests = new Set<string>();
  const files = stageDirectory(path, state !== "missing", reference.path);

  /** @returns whether the layout is new; if not, another process has created it in the meantime */
  async function publishNew(staged: string, entry: Descriptor): Promise<boolean> {
    await writeFlushed(join(staged, "index.json"), replaceEntry(EMPTY_INDEX, entry));
    await syncBlobs(staged, digests);
    await syncDirectory(staged);
    try {
      await rename(staged, path);
    } catch (error) {
      const isTaken = ["ENOTEMPTY", "EEXIST"].includes(errno(error) ?? "");
      const isLayout = isTaken && (await readdir(path)).includes("oci-layout");
      if (!isLayout) throw error;
      await requireLayout(path, readIn(path));
      return false;
    }
    await syncDirectory(dirname(path));
    return true;
  }

  function requireUnchanged(before: LayoutIndex, now: LayoutIndex, entry: Descriptor): void {
    const [old, current] = [before, now].map((index) => findReplaced(index, entry)?.digest);
    if (current === old || current === entry.digest) return;
    const message = `another process replaced the image of this name in ${reference.path} in the meantime`;
    throw new OcicryptError("DESTINATION_CHANGED", message);
  }

  async function writeFlushed(file: string, text: string): Promise<void> {
    await rm(file, { force: true });
    await writeContent(file, single(Buffer.from(text)), reference.path, { flush: true });
  }

  async function publishInto(layout: string, staged: string): Promise<void> {
    for (const digest of digests) {
      const target = blobPath(layout, digest);
      await makeDirectories(dirname(target));
      await rename(blobPath(staged, digest), target);
    }
    await syncBlobs(layout, digests);
    if (state === "empty") await syncDirectory(join(layout, "blobs"));
    const files = state === "empty" ? ["oci-layout", "index.json"] : ["index.json"];
    for (const name of files) await rename(join(staged, name), join(layout, name));
    await syncDirectory(layout);
  }

  async function write(
    content: AsyncIterable<Uint8Array>,
    describe: () => Promise<{ digest: string }> | { digest: string },
  ): Promise<void> {
    let digest = "";
    await files.write(content, async (root) => {
      ({ digest } = await describe());
      return blobPath(root, digest);
    });
    digests.add(digest);
  }

  return {
    place: placeOf(reference, "oci"),
    keepsBlobs: true,
    beside: (name) => layoutDestination({ path, tag: name }),

    contains: ({ digest, size }) => fileMatches(blobPath(path, digest), parseDigest(digest), size),

    write,
    writeManifest: (bytes, descriptor) => write(single(bytes), () => descriptor),

    commit: (image, options) =>
      writing(reference.path, async () => {
        const entry = withName(image, reference.tag);
        const staged = await files.root();
        await makeDirectories(staged);
        await writeFlushed(join(staged, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
        const isNew = state === "missing" && (await publishNew(staged, entry));
        if (!isNew) {
          await withLock(path, options?.signal, async () => {
            const index = await readIndex(path);
            requireUnchanged(opened, index, entry);
            await writeFlushed(join(staged, "index.json"), replaceEntry(index, entry));
            await publishInto(path, staged);
          });
        }
        await files.remove();
      }),

    discard: () => files.remove(),
  };
}

/** Returns the state of a path. An existing directory must be a layout or empty. */
async function stateOf(path: string): Promise<"missing" | "empty" | "layout"> {
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    if (errno(error) === "ENOENT") return "missing";
    if (errno(error) === "ENOTDIR") {
      throw new OcicryptError("LAYOUT_INVALID", `${path} is a file, not an OCI layout directory`);
    }
    throw writeError(error, path);
  }
  if (names.every(isStage)) return "empty";
  if (!names.includes("oci-layout")) {
    throw new OcicryptError("LAYOUT_INVALID", `${path} is not empty and not an OCI layout`);
  }
  await requireLayout(path, readIn(path));
  return "layout";
}

async function readIndex(layout: string): Promise<LayoutIndex> {
  const bytes = await readSmallFile(join(layout, "index.json"), MAX_MANIFEST_SIZE);
  return bytes === undefined ? EMPTY_INDEX : parseLayoutIndex(bytes);
}

async function syncBlobs(layout: string, digests: Iterable<string>): Promise<void> {
  const directories = new Set([...digests].map((digest) => dirname(blobPath(layout, digest))));
  for (const directory of directories) await syncDirectory(directory);
}
