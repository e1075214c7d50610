import { statSync } from "node:fs";
import { keysFromFiles, type KeyFile } from "../keywrap/key-files/index.js";
import type { Key } from "../keywrap/types.js";
import { readKeyFile } from "./key-file.js";
import { readPassword } from "./passwords.js";
import { splitProvider } from "./recipients.js";
import { UsageError } from "./errors.js";

/**
 * Reads the keys of all `-k` together: certificates belong to keys in other files.
 *
 * @throws {UsageError}
 * @throws {@link OcicryptError} as `keysFromFiles` and `provider.key`, `KEY_UNREADABLE`
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
  const scheme = /^(?:jwe|pkcs7|pgp|pkcs11):/.exec(text)?.[0];
  if (scheme === undefined) return;
  const hint = "key files are recognised by their content: write -k FILE, such as -k private.pem";
  throw new UsageError(`a key takes no ${scheme}`, hint);
}

/** Whether the path can be read: a file, or a pipe that a shell makes of <(…). */
function isFile(path: string): boolean {
  try {
    return !statSync(path).isDirectory();
  } catch {
    return false;
  }
}
