import type { Stats } from "node:fs";
import { constants, open, stat, type FileHandle } from "node:fs/promises";
import { canInflate, inflate } from "#engine/inflate";
import { compressionOf } from "../../io/compression.js";
import { OcicryptError } from "../../errors.js";
import { isAbsent, readError, readRange, spool } from "../../io/files.js";
import { MAX_UNPACKED_SIZE } from "../../spec/limits.js";
import type { ReadLayoutFile } from "../layout/format.js";
import { filesSource, smallFilesOf, type LayoutFiles } from "../layout/images.js";
import { placeOf, type LayoutReference } from "../reference.js";
import type { ImageSource } from "../types.js";
import { invalid } from "./headers.js";
import { scanHeaders, type FilePart } from "./scan.js";

/** An archive with the positions of its files. */
export interface Archive {
  path: string;
  /** The files, by name. */
  files: ReadonlyMap<string, FilePart>;
  /** Changes if another archive takes its place. */
  version: string;
  /** The content of a compressed archive, in a file without a name. */
  unpacked?: FileHandle;
}

/** Keeps the files open until their archives are no longer used; closing a file removes it. */
const UNPACKED = new Set<FileHandle>();
const CLOSING = /* @__PURE__ */ new FinalizationRegistry((file: FileHandle) => {
  UNPACKED.delete(file);
  file.close().catch(() => undefined);
});

/** The magic numbers of formats that Node.js cannot unpack, and the programs that can. */
const FOREIGN: readonly (readonly [magic: string, format: string, program: string])[] = [
  ["fd377a585a00", "compressed with xz", "unxz <"],
  ["425a68", "compressed with bzip2", "bunzip2 <"],
  ["04224d18", "compressed with lz4", "unlz4 <"],
  ["4c5a4950", "compressed with lzip", "lzip -d <"],
  ["5d00008000", "compressed with LZMA", "unlzma <"],
  ["1f9d", "compressed with compress", "uncompress <"],
  ["504b0304", "a ZIP file", "unzip -p"],
  ["377abcaf271c", "a 7z file", "7z x -so"],
];
/** A cpio archive, in its newer formats. */
const CPIO = /^07070[127]/;
/** The programs that decompress what this Node.js cannot. */
const TOOLS = { zstd: "unzstd", gzip: "gunzip" } as const;

/**
 * Opens an archive and finds the files in it.
 *
 * @throws {@link OcicryptError} `IMAGE_NOT_FOUND` if there is no file, `LAYOUT_INVALID`,
 *   `SOURCE_UNREADABLE`
 */
export async function openArchive(path: string, signal?: AbortSignal): Promise<Archive> {
  // Checked before the file is opened: opening a pipe would wait for a writer.
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
      const version = await versionOf(file);
      const unpacked = await unpack(file, path, signal);
      const files = await scan(unpacked ?? file, path, signal);
      if (unpacked === undefined) return { path, version, files };
      return keep({ path, version, files, unpacked });
    } finally {
      await file.close();
    }
  });
}

/**
 * Takes an archive from a stream, such as the output of a program, into a file without a name.
 *
 * @param path how messages name the archive
 * @throws {@link OcicryptError} `LAYOUT_INVALID`, `SOURCE_UNREADABLE`, and what the content throws
 */
export async function takeArchive(
  content: AsyncIterable<Uint8Array>,
  path: string,
  signal?: AbortSignal,
): Promise<Archive> {
  const unpacked = await fill(content, path);
  const files = await reading(path, () => scan(unpacked, path, signal));
  return keep({ path, version: "", files, unpacked });
}

async function scan(
  file: FileHandle,
  path: string,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, FilePart>> {
  const { size } = await file.stat();
  return scanHeaders({ size, read: (start, end) => readRange(file, start, end) }, path, signal);
}

function keep(archive: Archive & { unpacked: FileHandle }): Archive {
  CLOSING.register(archive, archive.unpacked);
  return archive;
}

/** Writes content into a file without a name. */
async function fill(content: AsyncIterable<Uint8Array>, path: string): Promise<FileHandle> {
  const file = await spool(withinLimit(content, path), path);
  UNPACKED.add(file);
  return file;
}

async function* withinLimit(
  content: AsyncIterable<Uint8Array>,
  path: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  let size = 0;
  for await (const chunk of content) {
    size += chunk.byteLength;
    if (size > MAX_UNPACKED_SIZE) {
      throw invalid(`${path} unpacks to more than ${String(MAX_UNPACKED_SIZE)} bytes`);
    }
    yield chunk;
  }
}

/**
 * Reads one file of an archive.
 *
 * @throws {@link OcicryptError} `SOURCE_UNREADABLE`
 */
export async function* readPart(
  archive: Archive,
  { offset, size }: FilePart,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { path, version } = archive;
  if (archive.unpacked !== undefined) {
    // Accessed through the archive, so that it is not garbage-collected before the last byte is
    // read.
    yield* readRange(archive.unpacked, offset, offset + size);
    return;
  }
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

/**
 * Unpacks a compressed archive into a temporary file, because its parts are needed in any order.
 *
 * @returns `undefined` for an archive that is not compressed
 */
async function unpack(
  file: FileHandle,
  path: string,
  signal: AbortSignal | undefined,
): Promise<FileHandle | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(6), 0, 6, 0);
  const head = buffer.subarray(0, bytesRead);
  requireTar(head, path);
  const format = compressionOf(head);
  if (format === "none") return undefined;
  if (!canInflate(format)) {
    const command = `${TOOLS[format]} < ${path} > archive.tar`;
    throw invalid(`${path} is compressed with ${format}; decompress it first: ${command}`);
  }
  const damaged = (cause: unknown): Error =>
    new OcicryptError("LAYOUT_INVALID", `${path} is not valid ${format}`, { cause });
  return fill(inflate(abortable(readRange(file, 0, Infinity), signal), format, damaged), path);
}

/** Names the format of a file that is neither tar nor unpacked here. */
function requireTar(head: Buffer, path: string): void {
  if (head.byteLength === 0) throw invalid(`${path} is empty`);
  if (CPIO.test(head.toString("latin1")))
    throw invalid(`${path} is a cpio archive; pack it with tar`);
  const hex = head.toString("hex");
  const [, what, program] = FOREIGN.find(([magic]) => hex.startsWith(magic)) ?? [];
  if (what === undefined || program === undefined) return;
  throw invalid(`${path} is ${what}; decompress it first: ${program} ${path} > archive.tar`);
}

async function* abortable(
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of content) {
    signal?.throwIfAborted();
    yield chunk;
  }
}

/** Returns a text that changes if another file takes the place of this one. */
async function versionOf(file: FileHandle): Promise<string> {
  const { dev, ino, size, mtimeNs } = await file.stat({ bigint: true });
  return [dev, ino, size, mtimeNs].join();
}

/** Returns the stats of a path, or `undefined` if nothing exists there. */
export async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Runs a step that reads an archive; errors name the archive. */
async function reading<T>(path: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw readError(error, path);
  }
}

/** Opens an archive, when it is first needed. */
export type OpenArchive = (signal?: AbortSignal) => Promise<Archive>;

/**
 * Returns a source that reads an image from an OCI archive, which is a layout in a tar file. An
 * archive that is compressed with gzip, or with zstd on Node.js 22.15 and later, is unpacked into a
 * nameless file of up to 64 GiB in the directory for temporary files. Links within the archive are
 * followed, and unrelated entries are ignored. The layout is at the root of the archive or, if there
 * is no other, in one of its directories.
 *
 * Archives that readers could understand differently are rejected (`LAYOUT_INVALID`): files of the
 * layout that occur twice or are devices, sparse files, names outside the archive, or a missing
 * end.
 */
export function archiveSource(reference: LayoutReference): ImageSource {
  const place = placeOf(reference, "oci-archive");
  return { place, ...sourceIn(reference, (signal) => openArchive(reference.path, signal)) };
}

/** An image of the layout in an archive. */
export function sourceIn({ path, tag, digest }: LayoutReference, openIt: OpenArchive): ImageSource {
  return filesSource(path, { tag, digest }, async (signal) => layoutIn(await openIt(signal)));
}

function layoutIn(archive: Archive): LayoutFiles {
  const { path, files } = archive;
  return {
    path,
    sizeOf: (name) => files.get(name)?.size,
    read: (name) => readPart(archive, files.get(name) ?? { offset: 0, size: 0 }),
  };
}

/** Reads the small files of the layout in an archive. */
export function readIn(archive: Archive): ReadLayoutFile {
  return smallFilesOf(layoutIn(archive));
}
