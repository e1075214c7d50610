import { statSync } from "node:fs";

export { readFileSync } from "node:fs";
export { readdir, readFile, stat } from "node:fs/promises";
export { join } from "node:path";

export function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Whether files have the modes of Unix. */
export function hasModes(): boolean {
  return process.platform !== "win32";
}
