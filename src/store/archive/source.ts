import { randomBytes } from "node:crypto";
import type { Stats } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import * as zlib from "node:zlib";
import { constants, open, stat, type FileHandle } from "node:fs/promises";
import { collect } from "../../io/source.js";
import { OcicryptError, errno } from "../../errors.js";
import { readRange, writeFully, readError, isAbsent } from "../../io/files.js";
import type { Descriptor } from "../../spec/descriptor.js";
import { MAX_UNPACKED_SIZE } from "../../spec/limits.js";
import { blobName, findNamed, type ReadLayoutFile } from "../layout/format.js";
import { readReferrers, resolveImage } from "../layout/source.js";
import { makeStage, removeStage } from "../stage.js";
import { placeOf, type Reference } from "../reference.js";
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

const COMPRESSED: readonly (readonly [magic: string, format: string, tool: string])[] = [
  ["1f8b", "gzip", "gunzip"],
  ["28b52ffd", "zstd", "unzstd"],
  ["fd377a585a00", "xz", "unxz"],
];

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
      const files = await scanHeaders(unpacked ?? file, path, signal);
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
  const files = await reading(path, () => scanHeaders(unpacked, path, signal));
  return keep({ path, version: "", files, unpacked });
}

function keep(archive: Archive & { unpacked: FileHandle }): Archive {
  CLOSING.register(archive, archive.unpacked);
  return archive;
}

/** Writes content into a file without a name. */
async function fill(content: AsyncIterable<Uint8Array>, path: string): Promise<FileHandle> {
  const target = await openNameless();
  let size = 0;
  try {
    for await (const chunk of content) {
      size += chunk.byteLength;
      if (size > MAX_UNPACKED_SIZE) {
        throw invalid(`${path} unpacks to more than ${String(MAX_UNPACKED_SIZE)} bytes`);
      }
      await writeFully(target, chunk);
    }
    return target;
  } catch (error) {
    UNPACKED.delete(target);
    await target.close();
    throw error;
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
  const start = buffer.toString("hex", 0, bytesRead);
  const found = COMPRESSED.find(([magic]) => start.startsWith(magic));
  if (found === undefined) return undefined;
  const [, format, tool] = found;
  const decompressor = decompressorFor(format);
  if (decompressor === undefined) {
    const command = `${tool} < ${path} > archive.tar`;
    throw invalid(`${path} is compressed with ${format}; decompress it first: ${command}`);
  }
  let target: FileHandle | undefined;
  try {
    const packed = Readable.from(readRange(file, 0, Infinity), { objectMode: false });
    const take = async (content: AsyncIterable<Uint8Array>): Promise<void> => {
      target = await fill(content, path);
    };
    await pipeline(packed, decompressor, take, { signal });
    return target;
  } catch (error) {
    signal?.throwIfAborted();
    if (errno(error)?.startsWith("Z_") !== true && errno(error)?.startsWith("ZSTD_") !== true)
      throw error;
    throw new OcicryptError("LAYOUT_INVALID", `${path} is not valid ${format}`, { cause: error });
  }
}

function decompressorFor(format: string): Transform | undefined {
  if (format === "gzip") return zlib.createGunzip();
  // Node.js 22.15 and later.
  const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Transform };
  return format === "zstd" ? createZstdDecompress?.() : undefined;
}

/** Opens a temporary file that disappears when it is closed, even if the process is killed. */
async function openNameless(): Promise<FileHandle> {
  const stage = await makeStage(tmpdir());
  try {
    const file = await open(join(stage, randomBytes(8).toString("hex")), "wx+", 0o600);
    UNPACKED.add(file);
    return file;
  } finally {
    await removeStage(stage);
  }
}

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
 * followed, and unrelated entries are ignored.
 *
 * Archives that readers could understand differently are rejected (`LAYOUT_INVALID`): files of the
 * layout that occur twice or are devices, sparse files, names outside the archive, or a missing
 * end.
 */
export function archiveSource(reference: Reference): ImageSource {
  const place = placeOf(reference, "oci-archive");
  return { place, ...sourceIn(reference, (signal) => openArchive(reference.path, signal)) };
}

/** An image of the layout in an archive. */
export function sourceIn(reference: Reference, openIt: OpenArchive): ImageSource {
  const { path } = reference;
  let archive: Archive | undefined;
  let known: ReadonlyMap<string, readonly Descriptor[]> | undefined;
  return {
    async resolve(options) {
      known = undefined;
      archive = await openIt(options?.signal);
      return resolveImage(reference, readIn(archive));
    },
    async *read({ digest }) {
      archive ??= await openIt();
      const part = archive.files.get(blobName(digest));
      if (part === undefined) {
        throw new OcicryptError("BLOB_NOT_FOUND", `${path} does not hold the blob ${digest}`);
      }
      yield* readPart(archive, part);
    },
    async find(tag, { signal } = {}) {
      archive ??= await openIt(signal);
      return findNamed(readIn(archive), tag);
    },
    async referrers(digest, { signal } = {}) {
      archive ??= await openIt(signal);
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
    return collect(readPart(archive, part));
  };
}
