import type * as node from "../node/files.js";

/** Reported like any other file that cannot be read. */
function noFiles(): never {
  throw Object.assign(new Error("a browser has no file system"), { code: "ENOSYS" });
}

export const readFileSync = noFiles as typeof node.readFileSync;
export const readFile = noFiles as unknown as typeof node.readFile;
export const readdir = noFiles as unknown as typeof node.readdir;
export const stat = noFiles as unknown as typeof node.stat;
export const join: typeof node.join = (...parts) => parts.join("/");
export const isDirectory: typeof node.isDirectory = () => false;
export const hasModes: typeof node.hasModes = () => false;
