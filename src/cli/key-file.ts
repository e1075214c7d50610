import { readFileSync } from "node:fs";
import { OcicryptError } from "../errors.js";

/**
 * Reads a key or password file, or an open file descriptor to its end.
 *
 * @throws {@link OcicryptError} `KEY_UNREADABLE`
 */
export function readKeyFile(file: string | number): Uint8Array {
  try {
    return readFileSync(file);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? ` (${String(cause.code)})` : "";
    const what = typeof file === "number" ? `descriptor ${String(file)}` : file;
    throw new OcicryptError("KEY_UNREADABLE", `${what} can not be read${code}`, { cause });
  }
}
