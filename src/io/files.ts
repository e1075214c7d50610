import { createHash } from "node:crypto";
import {
  constants,
  mkdir,
  mkdtemp,
  open,
  rename,
  rm,
  stat,
  type FileHandle,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cannotRead, errno, OcicryptError } from "../errors.js";
import { writeBehind } from "./buffers.js";
import { collect } from "./source.js";

/** Whether a failure says that there is no such file. */
export function isAbsent(error: unknown): boolean {
  return errno(error) === "ENOENT" || errno(error) === "ENOTDIR";
}

/** Turns a failure to read into `SOURCE_UNREADABLE`. */
export function readError(error: unknown, what: string): unknown {
  if (errno(error) === undefined || error instanceof OcicryptError) return error;
  return new OcicryptError("SOURCE_UNREADABLE", cannotRead(what, error), { cause: error });
}

/** Turns a failure to write into an {@link OcicryptError}; returns other errors unchanged. */
export function writeError(error: unknown, where: string): unknown {
  const code = errno(error);
  if (code === undefined || error instanceof OcicryptError) return error;
  if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG") {
    return new OcicryptError("DESTINATION_FULL", `there is no space left for ${where}`, {
      cause: error,
    });
  }
  return new OcicryptError("DESTINATION_UNWRITABLE", `${where} cannot be written (${code})`, {
    cause: error,
  });
}

/** Runs a step that writes; see {@link writeError}. */
export async function writing<T>(where: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw writeError(error, where);
  }
}

/**
 * Reads a small file whole.
 *
 * @returns `undefined` if it does not exist
 * @throws {@link OcicryptError} `LAYOUT_INVALID` if it is larger than `limit` bytes
 */
export async function readSmallFile(path: string, limit: number): Promise<Uint8Array | undefined> {
  try {
    return await collect(readChunks(path), limit, () => {
      return new OcicryptError("LAYOUT_INVALID", `${path} is larger than ${String(limit)} bytes`);
    });
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw readError(error, path);
  }
}

const READ_SIZE = 512 * 1024;

/**
 * Reads a file, in chunks as {@link readRange} makes them.
 *
 * @throws {@link OcicryptError} `SOURCE_UNREADABLE` for a device or a pipe, which may never end
 */
export async function* readChunks(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  // Non-blocking, because opening a pipe would wait for its other end.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!(await file.stat()).isFile()) {
      throw new OcicryptError("SOURCE_UNREADABLE", `${path} is not a regular file`);
    }
    yield* readRange(file, 0, Infinity);
  } finally {
    await file.close();
  }
}

/**
 * Reads the bytes of a file from `start` up to, but not including, `end`, or up to the end of the
 * file. While a chunk is in use, the next one is being read. Every chunk is new memory, so that no
 * chunk is overwritten while it is still in use.
 */
export async function* readRange(
  file: FileHandle,
  start: number,
  end: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const readAt = async (position: number): Promise<Buffer> => {
    const length = Math.min(READ_SIZE, end - position);
    const buffer = Buffer.allocUnsafeSlow(length);
    const { bytesRead } = await file.read(buffer, 0, length, position);
    return buffer.subarray(0, bytesRead);
  };
  let next: Promise<Buffer> | undefined = start < end ? readAt(start) : undefined;
  try {
    for (let position = start; next !== undefined;) {
      const chunk: Buffer = await next;
      if (chunk.byteLength === 0) return;
      position += chunk.byteLength;
      next = position < end ? readAt(position) : undefined;
      // Reported when the chunk is asked for.
      next?.catch(() => undefined);
      yield chunk;
    }
  } finally {
    // The file may be closed only after that.
    await next?.catch(() => undefined);
  }
}

/**
 * Creates a directory and its parents. The recursive mode of Node.js reports ENOENT when the disk is
 * full, and does not return when a parent cannot be created.
 *
 * @returns the directories that did not exist before, each after its parent
 */
export async function makeDirectories(path: string): Promise<string[]> {
  try {
    await mkdir(path);
    return [path];
  } catch (error) {
    const code = errno(error);
    if (code === "EEXIST") return [];
    if (code !== "ENOENT" || dirname(path) === path) throw error;
    const parents = await makeDirectories(dirname(path));
    await mkdir(path).catch(ignoreExisting);
    return [...parents, path];
  }
}

/** For the failure of `mkdir` when the directory may already exist. */
export function ignoreExisting(error: unknown): void {
  if (errno(error) !== "EEXIST") throw error;
}

/** Whether a file has the expected digest and size. */
export async function fileMatches(
  path: string,
  { algorithm, hex }: { algorithm: string; hex: string },
  size: number,
): Promise<boolean> {
  try {
    if ((await stat(path)).size !== size) return false;
    const hash = createHash(algorithm);
    for await (const chunk of readChunks(path)) hash.update(chunk);
    return hash.digest("hex") === hex;
  } catch (error) {
    if (errno(error) !== undefined || error instanceof OcicryptError) return false;
    throw error;
  }
}

/**
 * Writes content to a new file.
 *
 * @param flush whether the file must survive a crash of the machine
 * @returns the size of the file in bytes
 * @throws {@link OcicryptError} `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`, whose messages name
 *   `where`, and the errors of the content
 */
export async function writeContent(
  file: string,
  content: AsyncIterable<Uint8Array>,
  where: string,
  { flush }: { flush: boolean },
): Promise<number> {
  const handle = await writing(where, () => open(file, "wx"));
  try {
    const size = await writeAll(handle, content, where);
    if (flush) await writing(where, () => handle.sync());
    return size;
  } finally {
    await handle.close();
  }
}

/**
 * Writes content to a file from its position on, while the content is still being made.
 *
 * @param where for the messages of errors
 * @returns the number of bytes
 * @throws as {@link writeContent}
 */
export async function writeAll(
  file: FileHandle,
  content: AsyncIterable<Uint8Array>,
  where: string,
): Promise<number> {
  const writer = writeBehind(file);
  let size = 0;
  try {
    for await (const chunk of content) {
      await writing(where, () => writer.write(chunk));
      size += chunk.byteLength;
    }
    await writing(where, () => writer.finish());
    return size;
  } finally {
    await writer.close();
  }
}

/**
 * Writes content to a private file that has no name, so that nothing is left however this process
 * ends.
 *
 * @param what for messages, such as `the layer`
 * @throws as {@link writeContent}
 */
export async function spool(content: AsyncIterable<Uint8Array>, what: string): Promise<FileHandle> {
  const where = `a copy of ${what} in ${tmpdir()}`;
  const file = await writing(where, openNameless);
  try {
    await writeAll(file, content, where);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Creates a private file that has no name, for reading and writing. */
export async function openNameless(): Promise<FileHandle> {
  const directory = await mkdtemp(join(tmpdir(), "ocicrypt-"));
  try {
    return await open(join(directory, "content"), "wx+", 0o600);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Runs a step that makes a file, and removes the file if the step fails. */
export async function removedOnFailure(file: string, step: () => Promise<void>): Promise<void> {
  try {
    await step();
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  }
}

/**
 * Replaces a file, or creates it, with mode 0600. Readers find the old content or the new content,
 * even after a crash of the machine once {@link syncDirectory} has flushed the directory.
 *
 * @param staged a new file for the content until it is complete, in the same file system
 */
export async function replaceFile(
  path: string,
  staged: string,
  content: string | Uint8Array,
): Promise<void> {
  await removedOnFailure(staged, async () => {
    const file = await open(staged, "wx", 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(staged, path);
  });
}

/** Flushes a directory; otherwise a rename in it may be lost if the machine crashes. */
export async function syncDirectory(path: string): Promise<void> {
  // Windows cannot open directories.
  if (process.platform === "win32") return;
  const directory = await open(path, constants.O_RDONLY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
