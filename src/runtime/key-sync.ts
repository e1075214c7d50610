import { createHash, randomBytes } from "node:crypto";
import { lstat, mkdir, readdir, readlink, realpath, stat, unlink } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { cannotRead, errno, isOcicryptError, OcicryptError } from "../errors.js";
import { ignoreExisting, isAbsent, readChunks, replaceFile, syncDirectory, writing } from "../io/files.js"; // prettier-ignore
import { collect } from "../io/source.js";
import { requireFew } from "../keywrap/key-files/from-directory.js";
import { PASSWORD_SUFFIX } from "../keywrap/key-files/recognise.js";
import { MAX_KEY_FILE_SIZE } from "../spec/limits.js";
import { withLock } from "../store/stage.js";
import { asObject, isTexts } from "../text/json.js";
import { printable } from "../text/printable.js";

export interface KeySyncOptions {
  /** A directory of keys, such as a mounted Secret. */
  from: string;
  /** The keys directory of a node; created with mode 0700 if it does not exist. */
  to: string;
  signal: AbortSignal;
}

/** The names of the files that one pass changed. */
export interface KeySyncResult {
  /** The number of files in the source. */
  files: number;
  added: string[];
  changed: string[];
  removed: string[];
}

type Contents = Map<string, Uint8Array>;
/** The SHA-256 digests that a copy may have. During a change, it has the old one or the new one. */
type Copies = Map<string, readonly string[]>;

/**
 * Makes a keys directory equal to a source, once. Symbolic links are resolved; subdirectories and
 * names that start with a dot are skipped. Each file appears at once, with mode 0600.
 *
 * A list of the copies is kept beside the keys directory, because every file in it is taken for a
 * key. Only files of this list are changed and removed, and only if they still have the content
 * that was written.
 *
 * @throws {@link OcicryptError} `KEY_UNREADABLE` and `KEY_UNRECOGNIZED` for the source, before
 *   anything is changed; `KEY_SYNC_CONFLICT` for files of others, after all other files were
 *   copied; `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`
 */
export async function syncKeys({ from, to, signal }: KeySyncOptions): Promise<KeySyncResult> {
  const directory = resolve(to);
  const contents = await readSource(from, directory, signal);
  try {
    return await writing(directory, () => copyAll(contents, directory, signal));
  } finally {
    for (const content of contents.values()) content.fill(0);
  }
}

/** How often a source may be replaced while it is read. */
const MAX_TRIES = 5;

/** Kubernetes replaces all files of a volume at once, by replacing the link `..data`. */
async function readSource(from: string, to: string, signal: AbortSignal): Promise<Contents> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    signal.throwIfAborted();
    const version = await versionOf(from);
    let failure: Error | undefined;
    let contents: Contents = new Map();
    try {
      if ((await realpath(from)) === (await realpath(to).catch(() => undefined))) {
        throw new OcicryptError("KEY_UNREADABLE", `${from} is the keys directory itself`);
      }
      contents = await readFiles(from);
    } catch (error) {
      failure = error as Error;
    }
    if ((await versionOf(from)) === version) {
      if (failure === undefined) return contents;
      if (isOcicryptError(failure) || errno(failure) === undefined) throw failure;
      throw new OcicryptError("KEY_UNREADABLE", cannotRead(from, failure), { cause: failure });
    }
  }
  throw new OcicryptError("KEY_UNREADABLE", `${from} keeps changing`);
}

function versionOf(from: string): Promise<string | undefined> {
  return readlink(join(from, "..data")).catch(() => undefined);
}

async function readFiles(from: string): Promise<Contents> {
  const names = (await readdir(from)).filter((name) => !name.startsWith("."));
  requireFew(from, names);
  const contents: Contents = new Map();
  for (const name of names.sort()) {
    const path = join(from, name);
    if (!(await stat(path)).isFile()) continue;
    const content = await collect(readChunks(path), MAX_KEY_FILE_SIZE, () => {
      return new OcicryptError("KEY_UNRECOGNIZED", `${path}: it is larger than any key`);
    });
    contents.set(name, content);
  }
  return contents;
}

async function copyAll(
  contents: Contents,
  directory: string,
  signal: AbortSignal,
): Promise<KeySyncResult> {
  const own = join(dirname(directory), `.${basename(directory)}.ocicrypt-sync`);
  await makeOwn(own);
  await mkdir(directory, { mode: 0o700 }).catch(ignoreExisting);
  // While a DaemonSet is updated, two of its pods can write to one node.
  return withLock(own, signal, () => copyLocked(contents, directory, own, signal));
}

async function copyLocked(
  contents: Contents,
  directory: string,
  own: string,
  signal: AbortSignal,
): Promise<KeySyncResult> {
  await removeLeftovers(own);
  const copies = await readCopies(own);
  const { write, remove, conflicts, next } = await compare(contents, directory, copies);
  const result: KeySyncResult = { files: contents.size, added: [], changed: [], removed: remove };
  const during: Copies = new Map(copies);
  for (const name of write.keys()) {
    during.set(name, [...(copies.get(name) ?? []), ...(next.get(name) ?? [])]);
  }
  signal.throwIfAborted();
  if (write.size > 0) await writeCopies(own, during);
  for (const [name, { content, isNew }] of [...write].sort(([a], [b]) => passwordsFirst(a, b))) {
    await replace(own, join(directory, name), content);
    result[isNew ? "added" : "changed"].push(name);
  }
  for (const name of remove.toSorted(passwordsFirst).reverse()) {
    await unlink(join(directory, name));
  }
  if (write.size + remove.length > 0) await syncDirectory(directory);
  if (!isEqual(next, during)) await writeCopies(own, next);
  if (conflicts.length === 0) return result;
  const shown = printable(conflicts.join(", "), 300);
  const message = `${directory} has other files of the same names, which were kept: ${shown}`;
  throw new OcicryptError("KEY_SYNC_CONFLICT", message);
}

/** An encrypted key is never without its password. */
function passwordsFirst(a: string, b: string): number {
  return Number(b.endsWith(PASSWORD_SUFFIX)) - Number(a.endsWith(PASSWORD_SUFFIX));
}

interface Changes {
  write: Map<string, { content: Uint8Array; isNew: boolean }>;
  remove: string[];
  /** The names of files that someone else created or changed. */
  conflicts: string[];
  /** The copies after the changes. */
  next: Copies;
}

async function compare(contents: Contents, directory: string, copies: Copies): Promise<Changes> {
  const changes: Changes = { write: new Map(), remove: [], conflicts: [], next: new Map() };
  for (const [name, content] of contents) {
    const digest = digestOf(content);
    const found = await digestAt(join(directory, name));
    const isOwn = found !== undefined && copies.get(name)?.includes(found.digest) === true;
    if (found === undefined || isOwn) {
      const isCopied = found?.digest === digest && found.isPrivate;
      if (!isCopied) changes.write.set(name, { content, isNew: found === undefined });
      changes.next.set(name, [digest]);
    } else if (found.digest !== digest) changes.conflicts.push(name);
  }
  for (const [name, digests] of copies) {
    if (contents.has(name)) continue;
    const found = await digestAt(join(directory, name));
    if (found !== undefined && digests.includes(found.digest)) changes.remove.push(name);
  }
  return changes;
}

/** Returns `undefined` if nothing has this path, and an empty digest for anything other than a file. */
async function digestAt(path: string): Promise<{ digest: string; isPrivate: boolean } | undefined> {
  try {
    const stats = await lstat(path);
    if (!stats.isFile() || stats.size > MAX_KEY_FILE_SIZE) return { digest: "", isPrivate: false };
    const hash = createHash("sha256");
    for await (const chunk of readChunks(path)) hash.update(chunk);
    return { digest: hash.digest("hex"), isPrivate: (stats.mode & 0o777) === 0o600 };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

function digestOf(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Creates the directory of the list, in which new files are written before they are renamed. */
async function makeOwn(own: string): Promise<void> {
  await mkdir(own, { mode: 0o700 }).catch(ignoreExisting);
  if (!(await lstat(own)).isDirectory()) throw conflict(`${own} is not a directory`);
}

/** Removes the files that a killed process left. */
async function removeLeftovers(own: string): Promise<void> {
  for (const name of await readdir(own)) {
    if (name.startsWith(TEMPORARY)) await unlink(join(own, name));
  }
}

const TEMPORARY = "new-";
const LIST = "copies.json";

async function replace(own: string, path: string, content: Uint8Array): Promise<void> {
  const temporary = join(own, TEMPORARY + randomBytes(8).toString("hex"));
  try {
    await replaceFile(path, temporary, content);
  } catch (error) {
    if (errno(error) !== "EXDEV") throw error;
    const message = `${dirname(path)} is a volume of its own; mount its parent directory instead`;
    throw new OcicryptError("DESTINATION_UNWRITABLE", message);
  }
}

async function readCopies(own: string): Promise<Copies> {
  const path = join(own, LIST);
  let list: unknown;
  try {
    const tooLarge = (): Error => conflict(`${path} is too large`);
    const bytes = await collect(readChunks(path), MAX_LIST_SIZE, tooLarge);
    list = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (error) {
    if (isAbsent(error)) return new Map();
    if (error instanceof SyntaxError) throw conflict(`${path} is damaged`);
    throw error;
  }
  const copies: Copies = new Map();
  for (const [name, digests] of Object.entries(asObject(asObject(list)?.copies) ?? { "": [] })) {
    const isName = name !== "" && !name.startsWith(".") && basename(name) === name;
    if (!isName || !isTexts(digests)) throw conflict(`${path} is damaged`);
    copies.set(name, digests);
  }
  return copies;
}

const MAX_LIST_SIZE = 1024 * 1024;

async function writeCopies(own: string, copies: Copies): Promise<void> {
  const list = { copies: Object.fromEntries(copies) };
  await replace(own, join(own, LIST), Buffer.from(JSON.stringify(list)));
  await syncDirectory(own);
}

function isEqual(a: Copies, b: Copies): boolean {
  return JSON.stringify([...a].sort()) === JSON.stringify([...b].sort());
}

function conflict(why: string): OcicryptError {
  return new OcicryptError("KEY_SYNC_CONFLICT", `the list of copied keys cannot be used: ${why}`);
}
