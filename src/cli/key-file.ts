import { readFileSync } from "node:fs";
import { OcicryptError, cannotRead, errno } from "../errors.js";
import { isAbsent } from "../io/files.js";
import { UsageError } from "./errors.js";
import { isContent, looksEncoded } from "./text.js";

/**
 * Reads a key or password file; `-` is standard input.
 *
 * @param purpose the use of the file, with the option that names it: `the key of -k`
 * @param isName whether a message may quote the name of a missing file. Default: if it does not
 *   look like a key.
 * @throws {@link OcicryptError} `KEY_UNREADABLE`
 */
export function readKeyFile(file: string, purpose: string, isName?: boolean): Uint8Array {
  if (file === "-") return readStdin(purpose);
  if (file === "") throw unreadable(`the file name for ${purpose} is empty`);
  if (isContent(file)) throw unreadable(`name a file for ${purpose}, not its content`);
  try {
    return readFileSync(file);
  } catch (cause) {
    if (isAbsent(cause) && !(isName ?? !looksEncoded(file))) {
      throw unreadable(`there is no such file for ${purpose}; name a file, not its content`);
    }
    throw unreadable(whyUnreadable(file, purpose, cause), cause);
  }
}

let stdinUse: string | undefined;

/**
 * Reads standard input, which only one option can take.
 *
 * @throws {UsageError}
 * @throws {@link OcicryptError} `KEY_UNREADABLE`
 */
export function readStdin(purpose: string): Uint8Array {
  if (stdinUse !== undefined) {
    const hint = "name a file for one of them, or a file descriptor such as /dev/fd/3";
    throw new UsageError(`${purpose} and ${stdinUse} cannot both be standard input`, hint);
  }
  stdinUse = purpose;
  try {
    return readFileSync(0);
  } catch (cause) {
    throw unreadable(cannotRead(`standard input for ${purpose}`, cause), cause);
  }
}

function whyUnreadable(file: string, purpose: string, cause: unknown): string {
  switch (errno(cause)) {
    case "ENOENT":
    case "ENOTDIR":
      return `there is no file ${file.replace(/:pass=.*/s, ":pass=…")} for ${purpose}`;
    case "EISDIR":
      return `${file} for ${purpose} is a directory, not a file`;
    case "ENAMETOOLONG":
      // Not the name of a file, so it may be a key in some form.
      return `the file name for ${purpose} is too long`;
    default:
      return cannotRead(`${file} for ${purpose}`, cause);
  }
}

function unreadable(message: string, cause?: unknown): OcicryptError {
  return new OcicryptError("KEY_UNREADABLE", message, cause === undefined ? {} : { cause });
}
