import { statSync, type Stats } from "node:fs";
import type { KeyFile, KeysFromDirectoryOptions } from "../keywrap/key-files/index.js";
import { isOcicryptError } from "../errors.js";
import { isKeyServerKey, keyServerKeys } from "../keyserver/index.js";
import type { Key } from "../keywrap/types.js";
import { debug } from "./progress.js";
import { askPassword, canAsk, keyServerContext, readKeyFile, readPassword } from "./passwords.js";
import { splitProvider } from "./recipients.js";
import { UsageError } from "./errors.js";

export interface ReadKeysOptions extends KeysFromDirectoryOptions {
  /** The file of `--key-servers`. */
  keyServers?: string | undefined;
}

/**
 * Reads the keys of all `-k` options together, because certificates may belong to keys in other
 * files. A directory is read separately.
 *
 * @throws {UsageError}
 * @throws {@link OcicryptError} as `keysFromFiles`, `keysFromDirectory` and `provider.key`,
 *   `KEY_UNREADABLE`
 */
export async function readKeys(
  texts: readonly string[],
  { signal, onWarning, keyServers }: ReadKeysOptions = {},
): Promise<Key[]> {
  const files: KeyFile[] = [];
  const keys: Key[] = [];
  const asked: Asked = new Map();
  const servers = texts.filter(isKeyServerKey);
  if (servers.length > 0) {
    const context = await keyServerContext(keyServers, signal);
    const served = await keyServerKeys(servers, context);
    files.push(...served.files);
    keys.push(...served.found);
  }
  for (const text of texts.filter((each) => !isKeyServerKey(each))) {
    if (text.startsWith("provider:")) {
      splitProvider(text);
      const { keysFromText } = await import("../keywrap/key-files/from-text.js");
      const readFile = (file: string): Uint8Array => readKeyFile(file, "the key of -k");
      keys.push(...(await keysFromText(text, { readFile })));
      continue;
    }
    if (isDirectory(text)) {
      const { keysFromDirectory } = await import("../keywrap/key-files/index.js");
      keys.push(...(await keysFromDirectory(text, { signal, onWarning })));
      continue;
    }
    const { file, password } = splitPassword(text);
    const content = readKeyFile(file, "the key of -k");
    if (password === "prompt")
      files.push({ content, label: file, password: await ask(file, asked) });
    else {
      const given = password === undefined ? undefined : readPassword(password, file);
      files.push({ content, label: file, password: given });
    }
  }
  keys.unshift(...(await withPasswords(files, asked, signal)));
  for (const { label = "", scheme } of keys) debug(`key ${label} opens ${scheme}`);
  return keys;
}

/** The number of wrong passwords after which the command gives up. */
const TRIES = 3;

/**
 * Reads the keys of all files, and asks on the terminal for each missing password.
 *
 * @throws {@link OcicryptError} as `keysFromFiles`
 */
async function withPasswords(
  files: readonly KeyFile[],
  asked: Asked,
  signal: AbortSignal | undefined,
): Promise<Key[]> {
  if (files.length === 0) return [];
  const { keysFromFiles } = await import("../keywrap/key-files/index.js");
  for (;;) {
    try {
      return await keysFromFiles(files, { signal });
    } catch (error) {
      // The message starts with the label of the file.
      const file = files.find(({ label }) => messageOf(error).startsWith(`${label}: `));
      if (file === undefined) throw error;
      const tries = asked.get(file.label) ?? 0;
      const isMissing = isOcicryptError(error, "PASSWORD_MISSING") && tries === 0;
      const isWrong = isOcicryptError(error, "PASSWORD_WRONG") && tries > 0 && tries < TRIES;
      if (!(isMissing && canAsk()) && !isWrong) throw error;
      file.password = await ask(file.label, asked);
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : "";
}

/** The number of times that each file's password was asked for. */
type Asked = Map<string, number>;

async function ask(file: string, asked: Asked): Promise<string> {
  const tries = asked.get(file) ?? 0;
  asked.set(file, tries + 1);
  return askPassword(file, tries > 0);
}

/**
 * Splits an argument at a colon: the longest part before a colon that names an existing file is the
 * file, so passwords and Windows paths may contain colons.
 */
function splitPassword(text: string): { file: string; password?: string } {
  if (isFile(text)) return { file: text };
  for (let colon = text.lastIndexOf(":"); colon > 0; colon = text.lastIndexOf(":", colon - 1)) {
    const file = text.slice(0, colon);
    if (isFile(file)) return { file, password: text.slice(colon + 1) };
  }
  requireNoScheme(text);
  // The message about a missing file must not quote the rest, which may be a password.
  return { file: text.split(":", 1)[0] ?? "" };
}

/** Rejects a key with a scheme, which only recipients have. */
function requireNoScheme(text: string): void {
  const scheme = /^(?:jwe|pkcs7|pgp|pkcs11|age|sss):/.exec(text)?.[0];
  if (scheme === undefined) return;
  const hint = "key files are recognised by their content: write -k FILE, such as -k private.pem";
  throw new UsageError(`a key is written without ${scheme}`, hint);
}

function isDirectory(path: string): boolean {
  return statsOf(path)?.isDirectory() === true;
}

/** Whether a path can be read: a file, or a pipe that a shell creates for <(…). */
function isFile(path: string): boolean {
  return path === "-" || statsOf(path)?.isDirectory() === false;
}

/**
 * An argument may be anything, including a key, which is too long for a path and would appear in
 * the error.
 */
function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
