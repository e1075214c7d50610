import { createHash } from "node:crypto";
import { constants, open, readFile, stat, type FileHandle } from "node:fs/promises";
import { OcicryptError } from "../errors.js";

/** Node's error code, e.g. `ENOENT`. */
export function errno(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}

/** Turns a failure to write into an error that says what to do. */
export function writeError(error: unknown, where: string): unknown {
  const code = errno(error);
  if (code === undefined || error instanceof OcicryptError) return error;
  if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG") {
    return new OcicryptError("DESTINATION_FULL", `there is no space left for ${where}`, {
      cause: error,
    });
  }
  return new OcicryptError("DESTINATION_UNWRITABLE", `${where} can not be written (${code})`, {
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
 * @returns `undefined` when it is not there
 * @throws {@link OcicryptError} `LAYOUT_INVALID` when it is larger than `limit`, in bytes
 */
export async function readSmallFile(path: string, limit: number): Promise<Uint8Array | undefined> {
  try {
    if ((await stat(path)).size > limit) {
      throw new OcicryptError("LAYOUT_INVALID", `${path} is larger than ${String(limit)} bytes`);
    }
    return await readFile(path);
  } catch (error) {
    const code = errno(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (error instanceof OcicryptError || code === undefined) throw error;
    throw new OcicryptError("SOURCE_UNREADABLE", `${path} can not be read (${code})`, {
      cause: error,
    });
  }
}

const READ_SIZE = 256 * 1024;

/** The content of a file in new chunks, so that none is overwritten while it is still in use. */
export async function* readChunks(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY);
    for (;;) {
      const { bytesRead, buffer } = await file.read(
        Buffer.allocUnsafeSlow(READ_SIZE),
        0,
        READ_SIZE,
      );
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file?.close();
  }
}

/** Whether a file holds what its digest and size say. */
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
    if (errno(error) !== undefined) return false;
    throw error;
  }
}

/** Flushes a directory, without which a rename in it can be lost in a crash of the machine. */
export async function syncDirectory(path: string): Promise<void> {
  // Windows can not open directories.
  if (process.platform === "win32") return;
  const directory = await open(path, constants.O_RDONLY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
