import { statSync } from "node:fs";
import { keysFromFiles, type KeyFile } from "../keywrap/key-files/index.js";
import type { Key } from "../keywrap/types.js";
import { readKeyFile } from "./key-file.js";
import { readPassword } from "./passwords.js";
import { splitProvider } from "./recipients.js";
import { UsageError } from "./usage-error.js";

/**
 * The keys that all the `-k` of a command line name together.
 *
 * @throws {UsageError} {@link OcicryptError} as `keysFromFiles` and `provider.key`,
 *   `KEY_UNREADABLE`
 */
export async function readKeys(texts: readonly string[]): Promise<Key[]> {
  const files: KeyFile[] = [];
  const keys: Key[] = [];
  for (const text of texts) {
    if (text.startsWith("provider:")) {
      const { name, params } = splitProvider(text);
      const { provider } = await import("../keywrap/provider/index.js");
      keys.push(provider.key(name, { params }));
      continue;
    }
    const { file, password } = splitPassword(text);
    files.push({
      content: readKeyFile(file, "the key of -k"),
      password: password === undefined ? undefined : await readPassword(password, file),
      label: file,
    });
  }
  return [...(await keysFromFiles(files)), ...keys];
}

/**
 * The file is as much of the argument, up to a colon, as names a file that is there: so passwords
 * may hold colons, and Windows paths too. One that is not there is said when it is read.
 */
function splitPassword(text: string): { file: string; password?: string } {
  if (isFile(text)) return { file: text };
  for (let colon = text.lastIndexOf(":"); colon > 0; colon = text.lastIndexOf(":", colon - 1)) {
    const file = text.slice(0, colon);
    if (isFile(file)) return { file, password: text.slice(colon + 1) };
  }
  requireNoScheme(text);
  // Up to the first colon only: what is behind it may be a password.
  return { file: text.split(":", 1)[0] ?? "" };
}

/** Recipients are written with a scheme before their file, and so people write keys. */
function requireNoScheme(text: string): void {
  const scheme = /^(?:jwe|pkcs7|pgp|pkcs11):/.exec(text)?.[0];
  if (scheme === undefined) return;
  const hint = "what kind of key it is shows in its file: write -k FILE, such as -k private.pem";
  throw new UsageError(`a key is named without ${scheme}`, hint);
}

/** A pipe will do, as shells make it of <(…). */
function isFile(path: string): boolean {
  try {
    return !statSync(path).isDirectory();
  } catch {
    return false;
  }
}
