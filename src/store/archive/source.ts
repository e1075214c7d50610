import type { Stats } from "node:fs";
import { constants, open, stat, type FileHandle } from "node:fs/promises";
import { OcicryptError } from "../../errors.js";
import { invalid } from "./headers.js";
import { scanHeaders, type FilePart } from "./scan.js";
import { errno, readRange } from "../../io/files.js";
import type { Descriptor } from "../../spec/descriptor.js";
import { blobName, type ReadLayoutFile } from "../layout/format.js";
import { readReferrers, resolveImage } from "../layout/source.js";
import { placeOf, type Reference } from "../reference.js";
import type { ImageSource } from "../types.js";

/** An archive with the places of its files. */
export interface Archive {
  path: string;
  /** The files of its layout, by their names in it. */
  files: ReadonlyMap<string, FilePart>;
  /** Tells this archive from one that took its place since. */
  version: string;
}

const COMPRESSED: readonly (readonly [magic: string, format: string, tool: string])[] = [
  ["1f8b", "gzip", "gunzip"],
  ["28b52ffd", "zstd", "unzstd"],
  ["fd377a585a00", "xz", "unxz"],
];

/**
 * Looks for the files in an archive.
 *
 * @throws {@link OcicryptError} `IMAGE_NOT_FOUND` when there is no file, `LAYOUT_INVALID`,
 *   `SOURCE_UNREADABLE`
 */
export async function openArchive(path: string, signal?: AbortSignal): Promise<Archive> {
  // Before it is opened: a pipe would wait for its writer.
  const stats = await reading(path, () => statIfThere(path));
  if (stats === undefined) {
    throw new OcicryptError("IMAGE_NOT_FOUND", `there is no archive at ${path}`);
  }
  if (stats.isDirectory()) {
    throw invalid(`${path} is a directory, not an archive; layouts are written as oci:DIR`);
  }
  if (!stats.isFile()) throw invalid(`${path} is not a file`);
  return reading(path, async () => {
    const file = await open(path, constants.O_RDONLY);
    try {
      await requireUncompressed(file, path);
      const version = await versionOf(file);
      return { path, version, files: await scanHeaders(file, path, signal) };
    } finally {
      await file.close();
    }
  });
}

/**
 * The content of one file in an archive.
 *
 * @throws {@link OcicryptError} `SOURCE_UNREADABLE`
 */
export async function* readPart(
  { path, version }: Archive,
  { offset, size }: FilePart,
): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await reading(path, () => open(path, constants.O_RDONLY));
  try {
    if ((await versionOf(file)) !== version) {
      throw new OcicryptError("SOURCE_UNREADABLE", `${path} changed while it was read`);
    }
    const chunks = readRange(file, offset, offset + size);
    for (;;) {
      const result = await reading(path, () => chunks.next());
      if (result.done === true) return;
      yield result.value;
    }
  } finally {
    await file.close();
  }
}

async function requireUncompressed(file: FileHandle, path: string): Promise<void> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(6), 0, 6, 0);
  const start = buffer.toString("hex", 0, bytesRead);
  const found = COMPRESSED.find(([magic]) => start.startsWith(magic));
  if (found === undefined) return;
  const [, format, tool] = found;
  const command = `${tool} < ${path} > archive.tar`;
  throw invalid(`${path} is compressed with ${format}; decompress it first: ${command}`);
}

async function versionOf(file: FileHandle): Promise<string> {
  const { dev, ino, size, mtimeNs } = await file.stat({ bigint: true });
  return [dev, ino, size, mtimeNs].join();
}

/** What is at a path, `undefined` if nothing is. */
export async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (errno(error) === "ENOENT" || errno(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Runs a step that reads an archive, and says of a failure which one it is about. */
async function reading<T>(path: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    const code = errno(error);
    if (code === undefined || error instanceof OcicryptError) throw error;
    throw new OcicryptError("SOURCE_UNREADABLE", `${path} can not be read (${code})`, {
      cause: error,
    });
  }
}

/**
 * An image in an OCI archive: a layout in an uncompressed tar file, which must be a regular one.
 * What is strange in a tar is refused (`LAYOUT_INVALID`): links, devices, sparse files, names
 * outside of it, files that are there twice, a missing end.
 */
export function archiveSource(reference: Reference): ImageSource {
  const { path } = reference;
  let archive: Archive | undefined;
  let known: ReadonlyMap<string, readonly Descriptor[]> | undefined;
  return {
    place: placeOf(reference, "oci-archive"),
    async resolve(options) {
      known = undefined;
      archive = await openArchive(path, options?.signal);
      return resolveImage(reference, readIn(archive));
    },
    async *read({ digest }) {
      archive ??= await openArchive(path);
      const part = archive.files.get(blobName(digest));
      if (part === undefined) {
        throw new OcicryptError("BLOB_NOT_FOUND", `${path} does not hold the blob ${digest}`);
      }
      yield* readPart(archive, part);
    },
    async referrers(digest, { signal } = {}) {
      archive ??= await openArchive(path, signal);
      known ??= await readReferrers(readIn(archive), signal);
      return [...(known.get(digest) ?? [])];
    },
  };
}

/** Reads the small files of the layout in an archive. */
export function readIn(archive: Archive): ReadLayoutFile {
  return async (name, limit) => {
    const part = archive.files.get(name);
    if (part === undefined) return undefined;
    if (part.size > limit) {
      throw invalid(`${name} in ${archive.path} is larger than ${String(limit)} bytes`);
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of readPart(archive, part)) chunks.push(chunk);
    return Buffer.concat(chunks);
  };
}
