import { randomBytes } from "node:crypto";
import { readdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { OcicryptError } from "../../errors.js";
import { parseDigest } from "../../spec/digest.js";
import { MAX_MANIFEST_SIZE } from "../../spec/limits.js";
import { single } from "../../io/source.js";
import {
  errno,
  fileMatches,
  readSmallFile,
  syncDirectory,
  writeContent,
  writeError,
  writing,
  makeDirectories,
} from "../../io/files.js";
import {
  EMPTY_INDEX,
  parseLayoutIndex,
  replaceEntry,
  withName,
  type LayoutIndex,
} from "./format.js";
import { blobPath, requireLayout } from "./format.js";
import { placeOf, type Reference } from "../reference.js";
import { isStage, makeStage, removeStaleStages } from "../stage.js";
import type { ImageDestination } from "../types.js";

/**
 * An image to be written into an OCI layout directory, new or there already with other images.
 * Everything is staged in a hidden directory; a new layout then appears by one rename, one that
 * is there changes by the rename of its `index.json`.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`, `LAYOUT_INVALID`, `DESTINATION_UNWRITABLE`
 */
export async function layoutDestination(reference: Reference): Promise<ImageDestination> {
  if (reference.digest !== undefined) {
    const message = "a destination can not name a digest: its content decides that";
    throw new OcicryptError("REFERENCE_INVALID", message);
  }
  const path = resolve(reference.path);
  const state = await stateOf(path);
  const where = state === "missing" ? dirname(path) : path;
  const digests = new Set<string>();
  let stage: Promise<string> | undefined;

  // Made with the first blob, so that what fails before leaves no trace.
  async function openStage(): Promise<string> {
    await makeDirectories(where);
    await removeStaleStages(where);
    return makeStage(where);
  }

  /** The new layout, or what is new in it. Nobody else can look into the stage around it. */
  async function stagedLayout(): Promise<string> {
    return join(await (stage ??= openStage()), "image");
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
    const staged = await writing(reference.path, stagedLayout);
    const file = join(dirname(staged), randomBytes(8).toString("hex"));
    try {
      await writeContent(file, content, reference.path, { flush: true });
      const { digest } = await describe();
      const target = blobPath(staged, digest);
      await writing(reference.path, async () => {
        await makeDirectories(dirname(target));
        await rename(file, target);
      });
      digests.add(digest);
    } catch (error) {
      await rm(file, { force: true });
      throw error;
    }
  }

  return {
    place: placeOf(reference, "oci"),
    keepsBlobs: true,

    contains: ({ digest, size }) => fileMatches(blobPath(path, digest), parseDigest(digest), size),

    write,
    writeManifest: (bytes, descriptor) => write(single(bytes), () => descriptor),

    commit: (image) =>
      writing(reference.path, async () => {
        const index = state === "layout" ? await readIndex(path) : EMPTY_INDEX;
        const staged = await stagedLayout();
        await makeDirectories(staged);
        const texts = {
          "oci-layout": '{"imageLayoutVersion":"1.0.0"}',
          "index.json": replaceEntry(index, withName(image, reference.tag)),
        };
        for (const [name, text] of Object.entries(texts)) {
          const bytes = single(Buffer.from(text));
          await writeContent(join(staged, name), bytes, reference.path, { flush: true });
        }
        if (state === "missing") {
          await syncBlobs(staged, digests);
          await syncDirectory(staged);
          await rename(staged, path);
          await syncDirectory(where);
        } else {
          await publishInto(path, staged);
        }
        await rm(dirname(staged), { recursive: true, force: true });
        stage = undefined;
      }),

    async discard() {
      // One that could not be made has been reported by who needed it.
      const directory = await stage?.catch(() => undefined);
      if (directory !== undefined) await rm(directory, { recursive: true, force: true });
    },
  };
}

/** What is at a path; an existing directory must be a layout or empty. */
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
  await requireLayout(path);
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
