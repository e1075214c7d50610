import { isOcicryptError } from "../../src/errors.js";
import { MAX_KEY_FILE_SIZE } from "../../src/spec/limits.js";
import type { Found, Given, Operations } from "../protocol.js";
import { problemOf, type Context } from "./context.js";
import { forgetFiles } from "./files.js";
import { addKeyFile, forgetKey, unlock as unlockKey } from "./keyring.js";
import { addLayout, forgetLayout } from "./layouts.js";

/** Finds out whether something is a key or an image, and keeps it. */
export async function add(given: Given, { signal }: Context): Promise<Found> {
  const name = given.kind === "file" ? given.file.name : given.name;
  try {
    if (given.kind === "directory") return await addLayout(given, signal);
    return await addFile(given.file, signal);
  } catch (error) {
    signal.throwIfAborted();
    return { kind: "unknown", name, problem: problemOf(error) };
  }
}

async function addFile(file: File, signal: AbortSignal): Promise<Found> {
  let refusal: unknown;
  try {
    return await addKeyFile(file, signal);
  } catch (error) {
    if (!isOcicryptError(error, "KEY_UNRECOGNIZED")) throw error;
    refusal = error;
  }
  try {
    return await addLayout({ kind: "file", file }, signal);
  } catch (error) {
    throw (await looksLikeArchive(file)) ? error : refusal;
  }
}

/** Whether the reason why a file is no archive helps more than the reason why it is no key. */
async function looksLikeArchive(file: File): Promise<boolean> {
  if (file.size > MAX_KEY_FILE_SIZE) return true;
  const head = new Uint8Array(await file.slice(0, 512).arrayBuffer());
  // The magic of ustar: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
  if (new TextDecoder().decode(head.subarray(257, 262)) === "ustar") return true;
  return isCompressed(head);
}

/** gzip (RFC 1952), zstd (RFC 8878) or xz. */
function isCompressed([a, b]: Uint8Array): boolean {
  return (a === 0x1f && b === 0x8b) || (a === 0x28 && b === 0xb5) || (a === 0xfd && b === 0x37);
}

export function unlock(
  { id, password }: Operations["unlock"]["takes"],
  { signal }: Context,
): Promise<Found> {
  return unlockKey(id, password, signal);
}

export function forget({ id }: Operations["forget"]["takes"]): null {
  forgetKey(id);
  forgetLayout(id);
  forgetFiles(id);
  return null;
}
