import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { OcicryptError, cannotRead } from "../../errors.js";
import { MAX_KEY_FILE_SIZE, MAX_KEY_FILES } from "../../spec/limits.js";
import type { Key } from "../types.js";
import { readKeyFiles, type KeyFile, type KeysFromFilesOptions } from "./from-files.js";
import { PASSWORD_SUFFIX, withoutLineEnd } from "./recognise.js";

export interface KeysFromDirectoryOptions extends KeysFromFilesOptions {
  /** Called with the reason for each file that is skipped because it is not a private key. */
  onWarning?: ((message: string) => void) | undefined;
}

/**
 * Returns the keys in the files of a directory, such as a mounted Kubernetes Secret. Symbolic links
 * are followed; subdirectories and names that start with a dot, such as Kubernetes' `..data`, are
 * skipped. The password of an encrypted key `NAME` is in a file `NAME.password` beside it.
 *
 * @throws {@link OcicryptError} as {@link keysFromFiles} for passwords; `KEY_UNREADABLE` for files
 *   that cannot be read and for passwords that every user can read; `NO_KEYS` if no file contains a
 *   private key
 */
export async function keysFromDirectory(
  directory: string,
  { signal, onWarning }: KeysFromDirectoryOptions = {},
): Promise<Key[]> {
  const names = await filesOf(directory);
  const isPassword = (name: string): boolean =>
    name.endsWith(PASSWORD_SUFFIX) && names.has(name.slice(0, -PASSWORD_SUFFIX.length));
  const files: KeyFile[] = [];
  for (const [name, size] of names) {
    signal?.throwIfAborted();
    if (isPassword(name)) continue;
    const label = join(directory, name);
    if (size > MAX_KEY_FILE_SIZE) {
      onWarning?.(`${label} is skipped: it is larger than any key`);
      continue;
    }
    const password = names.has(name + PASSWORD_SUFFIX)
      ? await readPassword(label + PASSWORD_SUFFIX)
      : undefined;
    files.push({ content: await reading(label, () => readFile(label)), password, label });
  }
  const keys = await readKeyFiles(files, {
    signal,
    onSkip: ({ message }) => onWarning?.(`skipped ${message}`),
  });
  if (keys.length > 0) return keys;
  throw new OcicryptError("NO_KEYS", `the directory ${directory} holds no private key`);
}

/** The regular files of a directory with their sizes, in the order of their names. */
async function filesOf(directory: string): Promise<Map<string, number>> {
  const names = await reading(directory, () => readdir(directory));
  const files = new Map<string, number>();
  for (const name of names.sort()) {
    if (name.startsWith(".")) continue;
    const path = join(directory, name);
    const stats = await reading(path, () => stat(path));
    if (stats.isFile()) files.set(name, stats.size);
  }
  if (files.size <= 2 * MAX_KEY_FILES) return files;
  const message = `the directory ${directory} holds more than ${String(MAX_KEY_FILES)} keys`;
  throw new OcicryptError("KEY_UNREADABLE", message);
}

async function readPassword(path: string): Promise<Uint8Array> {
  const { mode } = await reading(path, () => stat(path));
  // Windows has no such modes. A group may read the file, because Kubernetes gives a volume to a
  // group (fsGroup).
  if (process.platform !== "win32" && (mode & 0o027) !== 0) {
    const message = `${path} can be read by every user or changed by a group; restrict it with chmod 400, or defaultMode: 0400 in a Kubernetes volume`;
    throw new OcicryptError("KEY_UNREADABLE", message);
  }
  return withoutLineEnd(await reading(path, () => readFile(path)));
}

async function reading<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw new OcicryptError("KEY_UNREADABLE", cannotRead(path, cause), { cause });
  }
}
