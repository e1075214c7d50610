import { randomBytes } from "node:crypto";
import { open, realpath, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { OcicryptError } from "../../errors.js";
import type { Descriptor } from "../../spec/descriptor.js";
import { MAX_MANIFEST_SIZE } from "../../spec/limits.js";
import { parts, single } from "../../io/source.js";
import {
  makeDirectories,
  readChunks,
  removedOnFailure,
  syncDirectory,
  writeAll,
  writeContent,
  writing,
} from "../../io/files.js";
import {
  blobName,
  EMPTY_INDEX,
  layoutFiles,
  nameOf,
  parseLayoutIndex,
  requireLayout,
  withName,
} from "../layout/format.js";
import { placeOf, requireNoDigest, type LayoutReference } from "../reference.js";
import { makeStage, removeStage, removeStaleStages, withLock } from "../stage.js";
import type { ImageDestination, StoreOptions } from "../types.js";
import { openArchive, readIn, statIfThere } from "./source.js";
import { invalid } from "./headers.js";
import { type ArchiveEntry, archiveOf } from "./tar-writer.js";

/**
 * Returns a destination that writes an image as an OCI archive: `oci-layout`, `index.json`, and the
 * blobs in the order of their names. Equal images make equal archives.
 *
 * An existing archive is replaced as a whole, by one rename, as skopeo does. Unlike skopeo, this
 * fails if the archive holds an image with another name. Nothing of the old archive is kept, so
 * encryption in place leaves no plain layer.
 *
 * Blobs are staged next to the archive, and `commit` writes them a second time, into the archive,
 * because their order depends on their digests. An archive that another process writes in the
 * meantime is not replaced (`DESTINATION_CHANGED`). The disk must have room for the old archive,
 * the new archive and its largest blob.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`; `LAYOUT_INVALID` if the file exists and is not
 *   an OCI archive; `DESTINATION_EXISTS` if it holds other images; `SOURCE_UNREADABLE` if it cannot
 *   be read; `DESTINATION_UNWRITABLE`
 */
export async function archiveDestination(reference: LayoutReference): Promise<ImageDestination> {
  requireNoDigest(reference);
  const { tag } = reference;
  const path = await writing(reference.path, () => followLinks(resolve(reference.path)));
  const existing = await writing(reference.path, () => describeExisting(path));
  requireReplaceable(existing, path, tag ?? existing?.images.map(nameOf)[0]);
  const staged = new Map<string, ArchiveEntry>();
  let stage: Promise<string> | undefined;

  // Created for the first blob, so that an earlier failure leaves no trace.
  async function openStage(): Promise<string> {
    await makeDirectories(dirname(path));
    await removeStaleStages(dirname(path));
    return makeStage(dirname(path));
  }

  async function stagedFile(): Promise<string> {
    return join(await (stage ??= openStage()), randomBytes(8).toString("hex"));
  }

  async function write(
    content: AsyncIterable<Uint8Array>,
    describe: () => Promise<{ digest: string }> | { digest: string },
  ): Promise<void> {
    const file = await writing(reference.path, stagedFile);
    await removedOnFailure(file, async () => {
      const size = await writeContent(file, content, reference.path, { flush: false });
      const name = blobName((await describe()).digest);
      staged.set(name, { name, size, content: takeFile(file) });
    });
  }

  return {
    place: placeOf(reference, "oci-archive"),
    keepsBlobs: false,

    // The new archive contains nothing of the old one unless it is written again.
    contains: () => Promise.resolve(false),

    write,
    writeManifest: (bytes, descriptor) => write(single(bytes), () => descriptor),

    commit: (image, options) =>
      writing(reference.path, async () => {
        const entry = withName(image, tag);
        const before = await describeExisting(path);
        requireReplaceable(before, path, nameOf(entry));
        const file = await stagedFile();
        const files = [
          ...layoutFiles(entry).map(smallFile),
          ...[...staged.keys()].sort().flatMap((name) => staged.get(name) ?? []),
        ];
        const where = reference.path;
        await writeArchive(file, files, { mode: before?.mode, where, signal: options?.signal });
        options?.signal?.throwIfAborted();
        await withLock(dirname(path), options?.signal, async () => {
          const now = await describeExisting(path);
          requireReplaceable(now, path, nameOf(entry));
          if (now?.version !== existing?.version) {
            const message = `another process replaced ${reference.path} in the meantime`;
            throw new OcicryptError("DESTINATION_CHANGED", message);
          }
          await rename(file, path);
          await syncDirectory(dirname(path));
        });
        await removeStage(dirname(file));
        stage = undefined;
      }),

    async discard() {
      // If creating it failed, the caller that needed it has reported that.
      const directory = await stage?.catch(() => undefined);
      if (directory !== undefined) await removeStage(directory);
    },
  };
}

interface Existing {
  images: Descriptor[];
  /** The permissions, which the new file gets too. */
  mode: number;
  /** Changes if another file takes its place. */
  version: string;
}

/** Describes the file at a path. An empty file, as `mktemp` creates it, holds no image. */
async function describeExisting(path: string): Promise<Existing | undefined> {
  const stats = await statIfThere(path);
  if (stats === undefined) return undefined;
  const mode = stats.mode & 0o777;
  if (stats.isFile() && stats.size === 0) {
    return { images: [], mode, version: `empty ${String(stats.ino)}` };
  }
  const archive = await openArchive(path);
  if (archive.unpacked !== undefined) {
    throw invalid(`${path} is a compressed archive and is not overwritten; write to another file`);
  }
  if (!archive.files.has("oci-layout")) {
    throw invalid(`${path} exists and is not an OCI archive; it is not overwritten`);
  }
  await requireLayout(path, readIn(archive));
  const bytes = await readIn(archive)("index.json", MAX_MANIFEST_SIZE);
  const { entries } = bytes === undefined ? EMPTY_INDEX : parseLayoutIndex(bytes);
  return { images: entries.map(({ descriptor }) => descriptor), mode, version: archive.version };
}

function requireReplaceable(
  existing: Existing | undefined,
  path: string,
  name: string | undefined,
): void {
  const { images = [] } = existing ?? {};
  const others = images.filter((image) => nameOf(image) !== name);
  const isSeveral = name === undefined && new Set(images.map(({ digest }) => digest)).size > 1;
  if (others.length === 0 && !isSeveral) return;
  const names = others.map((image) => nameOf(image) ?? "one without a name").slice(0, 20);
  const which = names.length === 0 ? "several without a name" : names.join(", ");
  throw new OcicryptError(
    "DESTINATION_EXISTS",
    `${path} holds other images, which would be lost: ${which}`,
  );
}

/** Returns the target of a symbolic link, so that the target is replaced and not the link. */
async function followLinks(path: string): Promise<string> {
  return (await statIfThere(path)) === undefined ? path : realpath(path);
}

function smallFile([name, text]: readonly [string, string]): ArchiveEntry {
  const bytes = Buffer.from(text);
  return { name, size: bytes.byteLength, content: single(bytes) };
}

/** Reads a staged file and removes it, so that the stage shrinks while the archive grows. */
async function* takeFile(file: string): AsyncGenerator<Uint8Array, void, undefined> {
  yield* readChunks(file);
  await rm(file);
}

export interface ArchiveOptions extends StoreOptions {
  /** The permissions of the archive. Default: those of any new file. */
  mode?: number | undefined;
  /** The name of the archive in messages. Default: its path. */
  where?: string | undefined;
}

/** Writes files as a tar archive to a new file, and flushes it; see {@link archiveOf}. */
export async function writeArchive(
  file: string,
  entries: readonly ArchiveEntry[],
  { mode, where = file, signal }: ArchiveOptions = {},
): Promise<void> {
  const handle = await open(file, "wx");
  try {
    if (mode !== undefined) await handle.chmod(mode);
    await writeAll(handle, parts(archiveOf(entries), signal), where);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
