import type { Stats } from "node:fs";
import { constants, open, stat, type FileHandle } from "node:fs/promises";
import { OcicryptError } from "../errors.js";
import { invalid } from "./archive-headers.js";
import { scanHeaders, type FilePart } from "./archive-scan.js";
import { errno, readRange } from "../io/files.js";

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
