import { fromUtf8 } from "#engine/bytes";
import { hasModes, join, readdir, readFile, stat } from "#engine/files";
import {
  isKeyServerKey,
  KEY_SERVER_NAMES,
  keyServerKeys,
  loadKeyServerSettings,
} from "#engine/key-schemes";
import { cannotRead, errno, isOcicryptError, OcicryptError, type ErrorCode } from "../../errors.js";
import { MAX_KEY_FILE_SIZE, MAX_KEY_FILES } from "../../spec/limits.js";
import type { Key } from "../types.js";
import { readKeyFiles, type KeyFile, type KeysFromFilesOptions } from "./from-files.js";
import { PASSWORD_SUFFIX, recognizeKeyFile, withoutLineEnd } from "./recognise.js";

export interface KeysFromDirectoryOptions extends KeysFromFilesOptions {
  /** Called with the reason for each file that is skipped. */
  onWarning?: ((message: string) => void) | undefined;
}

/**
 * Returns the keys in the files of a directory, such as a mounted Kubernetes Secret. Symbolic links
 * are followed; subdirectories and names that start with a dot, such as Kubernetes' `..data`, are
 * skipped. The password of an encrypted key `NAME` is in a file `NAME.password` beside it.
 *
 * The file `keys.yaml` holds the settings of key servers, as `--key-servers` takes them. Each system
 * in it that has keys yields one.
 *
 * A file without a usable key is skipped with a warning, so that the other keys can be used. If no
 * file has a usable key, the first failure is thrown.
 *
 * @throws {@link OcicryptError} as {@link keysFromFiles} for passwords; `KEY_UNREADABLE` for a
 *   directory or file that cannot be read and for a password that every user can read; `NO_KEYS` if
 *   no file contains a private key; `KEY_SERVER_CONFIG_INVALID`
 */
export function keysFromDirectory(
  directory: string,
  { signal, onWarning }: KeysFromDirectoryOptions = {},
): Promise<Key[]> {
  return readKeyDirectory(directory, signal, ({ message }) => onWarning?.(`skipped ${message}`));
}

/** The same, with the error of each file that is skipped. */
export async function readKeyDirectory(
  directory: string,
  signal: AbortSignal | undefined,
  onSkip: (error: OcicryptError) => void,
): Promise<Key[]> {
  const names = await reading(directory, () => readdir(directory));
  requireFew(directory, names);
  const files: KeyFile[] = [];
  const servers: Key[] = [];
  let failure: OcicryptError | undefined;
  const skip = (error: OcicryptError): void => {
    if (!NO_PRIVATE_KEY.includes(error.code)) failure ??= error;
    onSkip(error);
  };
  for (const name of names.sort()) {
    signal?.throwIfAborted();
    if (name.startsWith(".") || isPassword(name, names)) continue;
    try {
      const file = await readKeyFile(join(directory, name));
      if (file === undefined) continue;
      if (name === KEY_SERVERS && !isKeyFile(file))
        servers.push(...(await readServers(file, signal)));
      else files.push(file);
    } catch (error) {
      if (!isOcicryptError(error)) throw error;
      skip(error);
    }
  }
  const keys = [...(await readKeyFiles(files, { signal, onSkip: skip })), ...servers];
  if (keys.length > 0) return keys;
  throw failure ?? new OcicryptError("NO_KEYS", `the directory ${directory} holds no private key`);
}

/** The name of the file with the settings of key servers. */
const KEY_SERVERS = "keys.yaml";

/** A PKCS#11 key file is YAML too. */
function isKeyFile({ content }: KeyFile): boolean {
  try {
    recognizeKeyFile(content);
    return true;
  } catch {
    return false;
  }
}

/** @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`, and those of the systems */
async function readServers(
  { content, label }: KeyFile,
  signal: AbortSignal | undefined,
): Promise<Key[]> {
  try {
    const bytes = typeof content === "string" ? fromUtf8(content) : content;
    const { readSettings } = await loadKeyServerSettings();
    const settings = await readSettings(bytes, KEY_SERVER_NAMES);
    // Only recipients name files.
    const readFile = (): Uint8Array => new Uint8Array();
    const names = Object.keys(settings).filter(isKeyServerKey);
    // Without a value behind the name, no key server is asked for a file.
    return (await keyServerKeys(names, { settings, readFile, signal })).found;
  } catch (error) {
    if (!isOcicryptError(error)) throw error;
    throw new OcicryptError(error.code, `${label}: ${error.message}`, { cause: error });
  }
}

/** The failures of files that were never meant to be private keys. */
export const NO_PRIVATE_KEY: readonly ErrorCode[] = [
  "KEY_UNRECOGNIZED",
  "KEY_IS_PUBLIC",
  "KEY_MISMATCH",
];

function isPassword(name: string, names: readonly string[]): boolean {
  return name.endsWith(PASSWORD_SUFFIX) && names.includes(name.slice(0, -PASSWORD_SUFFIX.length));
}

/** @throws {@link OcicryptError} `KEY_UNREADABLE` if a directory holds too many files */
export function requireFew(directory: string, names: readonly string[]): void {
  if (names.length <= 2 * MAX_KEY_FILES) return;
  const message = `the directory ${directory} holds more than ${String(MAX_KEY_FILES)} keys`;
  throw new OcicryptError("KEY_UNREADABLE", message);
}

/**
 * Reads a key file with the password beside it; follows symbolic links.
 *
 * @returns `undefined` for a subdirectory, and for a pipe or a device, which may never end
 * @throws {@link OcicryptError} `KEY_UNREADABLE`, `KEY_UNRECOGNIZED` for a file that is too large
 */
export async function readKeyFile(path: string): Promise<KeyFile | undefined> {
  const stats = await reading(path, () => stat(path));
  if (!stats.isFile()) return undefined;
  if (stats.size > MAX_KEY_FILE_SIZE) {
    throw new OcicryptError("KEY_UNRECOGNIZED", `${path}: it is larger than any key`);
  }
  const content = await reading(path, () => readFile(path));
  return { content, password: await readPassword(path + PASSWORD_SUFFIX), label: path };
}

/** Returns `undefined` if there is no such file. */
async function readPassword(path: string): Promise<Uint8Array | undefined> {
  let mode: number;
  try {
    ({ mode } = await stat(path));
  } catch (error) {
    if (errno(error) === "ENOENT") return undefined;
    throw new OcicryptError("KEY_UNREADABLE", cannotRead(path, error), { cause: error });
  }
  // Windows has no such modes. A group may read the file, because Kubernetes gives a volume to a
  // group (fsGroup).
  if (hasModes() && (mode & 0o027) !== 0) {
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
