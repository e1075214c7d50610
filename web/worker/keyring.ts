import { toHex } from "#engine/bytes";
import { createHash } from "#engine/hash";
import { isOcicryptError, OcicryptError } from "../../src/errors.js";
import type { Key, Recipient } from "../../src/keywrap/types.js";
import { MAX_KEY_FILE_SIZE } from "../../src/spec/limits.js";
import type { Found } from "../protocol.js";
import { newId } from "./ids.js";
import type { KeyFileContent } from "./key-files.js";

interface Entry {
  file: { label: string; content: Uint8Array; password?: string };
  /** The digest of the file. */
  digest: string;
  /** Absent for a file that waits for its password. */
  read?: KeyFileContent;
}

/** The key files that were given and not taken back. */
const entries = new Map<number, Entry>();

/**
 * Reads a key file, and keeps what is in it.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED` if it is no key
 */
export async function addKeyFile(file: File, signal: AbortSignal): Promise<Found> {
  const { name, size } = file;
  if (size > MAX_KEY_FILE_SIZE) {
    throw new OcicryptError("KEY_UNRECOGNIZED", `${name} is larger than any key`);
  }
  const content = new Uint8Array(await file.arrayBuffer());
  const digest = toHex(createHash("sha256").update(content).digest());
  for (const { digest: other, file: twin } of entries.values()) {
    if (other === digest) return { kind: "known", name, as: twin.label };
  }
  return readEntry(newId(), { file: { label: uniqueName(name), content }, digest }, signal);
}

/** Files of one name come from different directories, and reports go by the name. */
function uniqueName(name: string): string {
  const taken = new Set([...entries.values()].map(({ file }) => file.label));
  let unique = name;
  for (let i = 2; taken.has(unique); i++) unique = `${name} (${String(i)})`;
  return unique;
}

/** @throws {@link OcicryptError} `PASSWORD_WRONG`; the file then still waits */
export async function unlock(id: number, password: string, signal: AbortSignal): Promise<Found> {
  const entry = entries.get(id);
  if (entry === undefined) throw new Error("the key was removed");
  return readEntry(id, { ...entry, file: { ...entry.file, password } }, signal);
}

async function readEntry(id: number, entry: Entry, signal: AbortSignal): Promise<Found> {
  const { label: name, password } = entry.file;
  try {
    // Key files are the only part of the library that knows all schemes.
    const { readKeyFile } = await import("./key-files.js");
    const read = await readKeyFile(entry.file, filesOf("certificate"), signal);
    entries.set(id, { ...entry, read });
    if (read.form === "certificate") await readAgain(signal);
    const schemes = (of: readonly { scheme: string }[]): string[] => [
      ...new Set(of.map(({ scheme }) => scheme)),
    ];
    const { keys, recipients } = read;
    const key = { id, name, opens: schemes(keys), encryptsFor: schemes(recipients) };
    return { kind: "key", key };
  } catch (error) {
    if (password !== undefined || !isOcicryptError(error, "PASSWORD_MISSING")) throw error;
    entries.set(id, entry);
    return { kind: "locked", locked: { id, name } };
  }
}

/** A certificate may be what a private key needs for PKCS#7. */
async function readAgain(signal: AbortSignal): Promise<void> {
  const { readKeyFile } = await import("./key-files.js");
  for (const [id, entry] of entries) {
    if (entry.read?.form !== "private key") continue;
    const read = await readKeyFile(entry.file, filesOf("certificate"), signal);
    entries.set(id, { ...entry, read });
  }
}

function filesOf(form: KeyFileContent["form"]): Entry["file"][] {
  return [...entries.values()].filter(({ read }) => read?.form === form).map(({ file }) => file);
}

export function forgetKey(id: number): void {
  const entry = entries.get(id);
  entry?.file.content.fill(0);
  entries.delete(id);
}

/** The private keys of all files. */
export function allKeys(): Key[] {
  return [...entries.values()].flatMap(({ read }) => read?.keys ?? []);
}

/** The public keys of some files. */
export function recipientsOf(ids: readonly number[]): Recipient[] {
  return ids.flatMap((id) => entries.get(id)?.read?.recipients ?? []);
}
