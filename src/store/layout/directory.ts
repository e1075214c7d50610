import { readdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { errno, isOcicryptError, OcicryptError } from "../../errors.js";
import { readSmallFile, syncDirectory, writeContent, writeError, writing } from "../../io/files.js";
import { single } from "../../io/source.js";
import type { Descriptor } from "../../spec/descriptor.js";
import { digestOf, parseDigest } from "../../spec/digest.js";
import { MAX_MANIFEST_SIZE } from "../../spec/limits.js";
import { isManifestType, mediaTypeOf } from "../../spec/manifest.js";
import { isStage, stageDirectory, withLock } from "../stage.js";
import type { ImageDestination, ImageSource } from "../types.js";
import { isFileOf, readBlobFile } from "./source.js";

// https://github.com/containers/image/blob/main/directory/directory_transport.go
const VERSION = "Directory Transport Version: 1.1\n";
const ROOT = "manifest.json";
/** The files that skopeo writes next to `version`; another image does not need them. */
const CONTENT =
  /^(?:(?:[0-9a-f]{64}|sha512-[0-9a-f]{128})(?:\.manifest\.json)?|(?:.*\.)?signature-\d+)$/;

/**
 * Returns a source that reads an image from a directory that `skopeo copy … dir:DIR` wrote: the
 * manifest or index is in `manifest.json`, other manifests are in `HEX.manifest.json`, and each
 * blob is in a file that is named by its digest
 * (https://github.com/containers/image/blob/main/directory/directory_transport.go).
 *
 * Its functions reject with {@link OcicryptError} `IMAGE_NOT_FOUND`, `BLOB_NOT_FOUND`,
 * `MANIFEST_INVALID`, `LAYOUT_INVALID`, `SOURCE_UNREADABLE`.
 */
export function directorySource(path: string): ImageSource {
  let root: { descriptor: Descriptor; bytes: Uint8Array } | undefined;
  return {
    place: { store: `dir:${resolve(path)}`, name: "" },
    async resolve() {
      const bytes = await readSmallFile(join(path, ROOT), MAX_MANIFEST_SIZE);
      if (bytes === undefined) {
        const message = `${path} has no manifest.json, which skopeo writes; layouts are written oci:DIR`;
        throw new OcicryptError("IMAGE_NOT_FOUND", message);
      }
      const digest = digestOf(bytes);
      const descriptor = { mediaType: mediaTypeOf(bytes), digest, size: bytes.byteLength };
      root = { descriptor, bytes };
      return descriptor;
    },
    async *read({ digest, mediaType }) {
      if (digest === root?.descriptor.digest) {
        yield* single(root.bytes);
        return;
      }
      const name = fileOf(digest);
      if (!isManifestType(mediaType)) {
        yield* readBlobFile(join(path, name), path, digest);
        return;
      }
      try {
        yield* readBlobFile(join(path, `${name}.manifest.json`), path, digest);
      } catch (error) {
        // The media type does not decide, because a SOCI index is a blob.
        if (!isOcicryptError(error, "BLOB_NOT_FOUND")) throw error;
        yield* readBlobFile(join(path, name), path, digest);
      }
    },
    contains: ({ digest, size }) => isFileOf(join(path, fileOf(digest)), size, path),
  };
}

/**
 * Returns a destination that writes an image into a directory as skopeo does. An existing directory
 * must be empty or have been written this way. Everything is staged in a hidden directory; a new
 * directory then appears through one rename, and an existing directory changes through the rename
 * of its `manifest.json`. After that, the files of the former image are removed, so that encryption
 * in place leaves no plain layer. If another process wrote an image there after this call, `commit`
 * fails with `DESTINATION_CHANGED`.
 *
 * @throws {@link OcicryptError} `LAYOUT_INVALID`, `DESTINATION_UNWRITABLE`
 */
export async function directoryDestination(name: string): Promise<ImageDestination> {
  const path = resolve(name);
  const opened = await stateOf(path);
  const written = new Set<string>();
  const files = stageDirectory(path, opened.isThere, name);

  async function write(
    content: AsyncIterable<Uint8Array>,
    describe: () => Promise<{ digest: string }> | { digest: string },
    suffix: string,
  ): Promise<void> {
    let target = "";
    await files.write(content, async (root) => {
      target = fileOf((await describe()).digest) + suffix;
      return join(root, target);
    });
    written.add(target);
  }

  async function publishInto(staged: string): Promise<void> {
    const former = (await readdir(path)).filter((file) => CONTENT.test(file));
    const added = [...written].filter((file) => file !== ROOT);
    // Readers find the former image up to the last rename.
    for (const file of ["version", ...added, ROOT]) {
      if (file === ROOT) await syncDirectory(path);
      await rename(join(staged, file), join(path, file));
    }
    await syncDirectory(path);
    for (const file of former) if (!written.has(file)) await rm(join(path, file), { force: true });
  }

  async function publish(
    staged: string,
    digest: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (!opened.isThere) {
      await syncDirectory(staged);
      const isTaken = await rename(staged, path).then(() => false, ifTaken);
      if (!isTaken) return syncDirectory(dirname(path));
    }
    await withLock(path, signal, async () => {
      const { root } = await stateOf(path);
      if (root !== opened.root && root !== digest) {
        const message = `another process replaced the image in ${name} in the meantime`;
        throw new OcicryptError("DESTINATION_CHANGED", message);
      }
      await publishInto(staged);
    });
  }

  return {
    place: { store: `dir:${path}`, name: "" },
    // Nothing of the former image is kept unless it is written again.
    keepsBlobs: false,
    contains: () => Promise.resolve(false),
    write: (content, describe) => write(content, describe, ""),
    writeManifest: (bytes, descriptor) => write(single(bytes), () => descriptor, ".manifest.json"),

    commit: ({ digest }, options) =>
      writing(name, async () => {
        const staged = await files.root();
        const root = `${fileOf(digest)}.manifest.json`;
        await rename(join(staged, root), join(staged, ROOT));
        written.delete(root);
        written.add(ROOT);
        const version = join(staged, "version");
        await writeContent(version, single(Buffer.from(VERSION)), name, { flush: true });
        options?.signal?.throwIfAborted();
        await publish(staged, digest, options?.signal);
        await files.remove();
      }),

    discard: () => files.remove(),
  };
}

interface State {
  isThere: boolean;
  /** The digest of the image, if there is one. */
  root?: string | undefined;
}

/** Returns the state of a path. An existing directory must be empty or skopeo's. */
async function stateOf(path: string): Promise<State> {
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    if (errno(error) === "ENOENT") return { isThere: false };
    if (errno(error) === "ENOTDIR") {
      throw new OcicryptError("LAYOUT_INVALID", `${path} is a file, not a directory`);
    }
    throw writeError(error, path);
  }
  if (names.every(isStage)) return { isThere: true };
  const version = await readSmallFile(join(path, "version"), MAX_MANIFEST_SIZE);
  // skopeo does not overwrite other directories either.
  if (!/^Directory Transport Version: 1\.\d+\n?$/.test(Buffer.from(version ?? []).toString())) {
    const message = `${path} is not empty, and its file version is not that of dir:; it is not overwritten`;
    throw new OcicryptError("LAYOUT_INVALID", message);
  }
  const bytes = await readSmallFile(join(path, ROOT), MAX_MANIFEST_SIZE);
  return { isThere: true, root: bytes && digestOf(bytes) };
}

/** For a rename to a new directory that another process has created in the meantime. */
function ifTaken(error: unknown): true {
  if (["ENOTEMPTY", "EEXIST"].includes(errno(error) ?? "")) return true;
  throw error;
}

/** SHA-256 has no prefix in names of files. */
function fileOf(digest: string): string {
  const { algorithm, hex } = parseDigest(digest);
  return algorithm === "sha256" ? hex : `${algorithm}-${hex}`;
}
