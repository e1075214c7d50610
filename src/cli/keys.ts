import { existsSync, readFileSync } from "node:fs";
import { OcicryptError } from "../errors.js";
import { jwe } from "../keywrap/jwe/index.js";
import type { Key, Recipient } from "../keywrap/types.js";
import { UsageError } from "./usage-error.js";

const RECIPIENT_SCHEMES: ReadonlyMap<string, (value: string) => Recipient[]> = new Map([
  ["jwe", (file: string) => naming(file, () => jwe.recipients(readKeyFile(file)))],
]);

/**
 * The recipients that `-r` names.
 *
 * @throws {UsageError} {@link OcicryptError} as `jwe.recipients`, `KEY_UNREADABLE`
 */
export function readRecipients(argument: string): Recipient[] {
  const colon = argument.indexOf(":");
  const scheme = argument.slice(0, Math.max(colon, 0));
  const value = argument.slice(colon + 1);
  const read = RECIPIENT_SCHEMES.get(scheme);
  if (read !== undefined && value !== "") return read(value);
  const known = [...RECIPIENT_SCHEMES.keys()].map((name) => `${name}:FILE`).join(", ");
  if (colon >= 0 && !existsSync(argument)) {
    throw new UsageError(`${argument} is not a recipient`, `recipients are written as ${known}`);
  }
  throw new UsageError(`${argument} does not say what kind of key it is`, `write jwe:${argument}`);
}

/**
 * The keys that `-k` names.
 *
 * @throws {UsageError} {@link OcicryptError} as `jwe.keys`, `KEY_UNREADABLE`
 */
export function readKeys(argument: string): Key[] {
  const { file, password } = splitPassword(argument);
  const given = password === undefined ? undefined : readPassword(password);
  return naming(file, () => jwe.keys(readKeyFile(file), { password: given, label: file }));
}

/**
 * The file is as much of the argument, up to a colon, as names a file that is there: so passwords
 * may hold colons, and Windows paths too.
 */
function splitPassword(argument: string): { file: string; password?: string } {
  if (existsSync(argument)) return { file: argument };
  for (let colon = argument.indexOf(":"); colon >= 0; colon = argument.indexOf(":", colon + 1)) {
    const file = argument.slice(0, colon);
    if (existsSync(file)) return { file, password: argument.slice(colon + 1) };
  }
  // Up to the first colon only: what is behind it may be a password.
  const file = argument.split(":", 1)[0] ?? "";
  throw new OcicryptError("KEY_UNREADABLE", `there is no key file ${file}`);
}

function readPassword(text: string): string | Uint8Array {
  const [, kind, value] = /^(pass|file|env|fd)=(.*)$/s.exec(text) ?? [];
  if (kind === undefined || value === undefined) return text;
  switch (kind) {
    case "file":
      return withoutLineEnd(readKeyFile(value));
    case "fd":
      if (!/^\d{1,6}$/.test(value)) throw new UsageError("fd= takes the number of a descriptor");
      return withoutLineEnd(readKeyFile(Number(value)));
    case "env": {
      const variable = process.env[value];
      if (variable === undefined) throw new UsageError(`the environment has no variable ${value}`);
      return variable;
    }
    default:
      return value;
  }
}

/** Editors and `echo` end a file with a line end that is not part of the password. */
function withoutLineEnd(bytes: Uint8Array): Uint8Array {
  const end = bytes.at(-1) !== 0x0a ? 0 : bytes.at(-2) === 0x0d ? 2 : 1;
  return bytes.subarray(0, bytes.byteLength - end);
}

function readKeyFile(file: string | number): Uint8Array {
  try {
    return readFileSync(file);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? ` (${String(cause.code)})` : "";
    const what = typeof file === "number" ? `descriptor ${String(file)}` : file;
    throw new OcicryptError("KEY_UNREADABLE", `${what} can not be read${code}`, { cause });
  }
}

/** Of several key files, which one an error is about. */
function naming<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof OcicryptError) || error.code === "KEY_UNREADABLE") throw error;
    throw new OcicryptError(error.code, `${file}: ${error.message}`, { cause: error });
  }
}
