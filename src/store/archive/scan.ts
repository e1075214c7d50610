import { shown, type OcicryptError } from "../../errors.js";
import { collect } from "../../io/source.js";
import {
  BLOCK,
  invalid,
  isEndBlock,
  padded,
  parseHeader,
  parsePaxRecords,
  text,
  type PaxRecords,
} from "./headers.js";
import { MAX_LINKS, MAX_TAR_EXTENSION } from "../../spec/limits.js";

/** The position of a file in an archive. */
export interface FilePart {
  offset: number;
  /** In bytes. */
  size: number;
}

/** Content that can be read from any position. */
export interface RandomAccess {
  /** In bytes. */
  readonly size: number;
  /** Yields the bytes from `start` up to, but not including, `end`, or up to the end of the content. */
  read(start: number, end: number): AsyncIterable<Uint8Array>;
}

/** The largest images, with all their platforms, have a few thousand. */
const MAX_ENTRIES = 100_000;
/** Enough for the headers of many small files in one read. */
const WINDOW = 64 * 1024;

/**
 * https://github.com/opencontainers/image-spec/blob/main/image-layout.md, with known digest
 * algorithms
 */
const LAYOUT_FILE = /^(?:oci-layout|index\.json|blobs\/sha(?:256|512)\/[0-9a-f]+)$/;

/** The longest name of a file that a link can lead to, in characters. */
const MAX_NAME = 1024;

const REFUSED_TYPES: ReadonlyMap<string, string> = new Map([
  ["3", "a device"],
  ["4", "a device"],
  ["6", "a pipe"],
  ["S", "a sparse file"],
]);

/**
 * Reads only the headers of a tar archive, because blobs can have any order and any size.
 * tar-stream would have to read every byte of the archive, and it accepts archives in which readers
 * find different files.
 *
 * Links within the archive are followed; other links and files are ignored. If the root has no layout
 * and one directory has, as after `tar -cf image.tar layout`, its files count as those of the root.
 *
 * @returns the positions of the files, by their names
 * @throws {@link OcicryptError} `LAYOUT_INVALID`
 */
export async function scanHeaders(
  file: RandomAccess,
  path: string,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, FilePart>> {
  const read = windowed(file);
  const files = new Map<string, Entry>();
  let extension: PaxRecords | undefined;
  let offset = 0;
  for (let entries = 0; entries <= MAX_ENTRIES; entries++) {
    signal?.throwIfAborted();
    const where = `${path}: the header at byte ${String(offset)}`;
    const block = await read(offset, BLOCK);
    if (block.length < BLOCK) throw truncated(path);
    if (isEndBlock(block)) {
      const second = await read(offset + BLOCK, BLOCK);
      if (second.length < BLOCK || !isEndBlock(second)) throw truncated(path);
      if (extension !== undefined) throw invalid(`${path} ends with half an entry`);
      return atRoot(resolveLinks(files), files, path);
    }
    const header = parseHeader(block, where);
    const start = offset + BLOCK;
    if ("xgLK".includes(header.type)) {
      if (header.size > MAX_TAR_EXTENSION) {
        throw invalid(`${where} is larger than ${String(MAX_TAR_EXTENSION)} bytes`);
      }
      const content = await read(start, header.size);
      if (content.length < header.size) throw truncated(path);
      extension = extend(extension, header.type, content, where);
      offset = start + padded(header.size);
      continue;
    }
    const size = extension?.size ?? header.size;
    const name = entryName(extension?.path ?? header.name, header.type, path);
    if (size > file.size - start) throw truncated(path);
    const isNeeded = LAYOUT_FILE.test(name);
    if (header.type === "5") {
      // Readers of tar disagree about whether a directory can have content.
      if (size > 0) throw invalid(`${where} is that of a directory with content`);
    } else if (header.type === "0" || header.type === "1" || header.type === "2") {
      if (files.has(name) && isNeeded) throw invalid(`${path} holds ${name} twice`);
      const isLink = header.type !== "0";
      // Readers disagree about whether a hard link can have content.
      if (isLink && size > 0) throw invalid(`${where} is that of a link with content`);
      const target = extension?.linkpath ?? header.target;
      const entry = isLink ? linkEntry(name, header.type, target) : { offset: start, size };
      if (isNeeded || name.length <= MAX_NAME) files.set(name, files.has(name) ? "twice" : entry);
    } else {
      requireUnrelated(header.type, isNeeded || size > 0, name, path);
    }
    extension = undefined;
    offset = start + padded(size);
  }
  throw invalid(`${path} has more than ${String(MAX_ENTRIES)} entries`);
}

/** Adds the values of one more extended header to the values so far. */
function extend(
  before: PaxRecords | undefined,
  type: string,
  content: Uint8Array,
  where: string,
): PaxRecords | undefined {
  if (type === "K") return { ...before, linkpath: text(content) };
  const records = type === "L" ? { path: text(content) } : parsePaxRecords(content, where);
  if (type === "g") {
    if (Object.keys(records).length === 0) return before;
    throw invalid(`${where} gives all entries one path or size`);
  }
  if (before?.path !== undefined || before?.size !== undefined) {
    throw invalid(`${where} is one of two for the same entry`);
  }
  return { ...before, ...records };
}

/** A file, the target of a link, or the reason why an entry cannot be used. */
type Entry = FilePart | { target: string } | "twice" | "outside";

/** Symbolic links are relative to their directory, hard links to the root of the archive. */
function linkEntry(name: string, type: string, target: string): Entry {
  if (target.startsWith("/") || target.length > MAX_NAME) return "outside";
  const path = type === "2" ? name.split("/").slice(0, -1) : [];
  for (const part of target.split("/")) {
    if (part === ".." && path.pop() === undefined) return "outside";
    if (part !== "" && part !== "." && part !== "..") path.push(part);
  }
  return { target: path.join("/") };
}

/** Returns the files by name. A link whose target is missing counts as a missing file. */
function resolveLinks(entries: ReadonlyMap<string, Entry>): ReadonlyMap<string, FilePart> {
  const files = new Map<string, FilePart>();
  for (const [name, first] of entries) {
    let entry: Entry | undefined = first;
    for (
      let count = 0;
      count < MAX_LINKS && typeof entry === "object" && "target" in entry;
      count++
    ) {
      entry = entries.get(entry.target);
    }
    if (typeof entry === "object" && "offset" in entry) files.set(name, entry);
  }
  return files;
}

const MARK = "oci-layout";

/**
 * Returns the files of the only layout by their names in it, or all files if the root has a layout or
 * the manifest of `docker save`.
 */
function atRoot(
  files: ReadonlyMap<string, FilePart>,
  entries: ReadonlyMap<string, Entry>,
  path: string,
): ReadonlyMap<string, FilePart> {
  if ([MARK, "index.json", "manifest.json"].some((name) => entries.has(name))) return files;
  const marks = [...files.keys()].filter((name) => name.endsWith(`/${MARK}`));
  const roots = marks.map((name) => name.slice(0, -MARK.length));
  const [root] = roots;
  if (root === undefined) return files;
  if (roots.length > 1) {
    const places = roots.slice(0, 5).map((each) => shown(each.slice(0, -1)));
    throw invalid(`${path} holds several OCI layouts: ${places.join(", ")}; unpack it and name one as oci:DIR`); // prettier-ignore
  }
  const own = [...entries].filter(([name]) => name.startsWith(root));
  for (const [name, entry] of own) {
    const isNeeded = LAYOUT_FILE.test(name.slice(root.length));
    if (entry === "twice" && isNeeded) throw invalid(`${path} holds ${name} twice`);
  }
  return new Map(
    own.flatMap(([name]) => {
      const part = files.get(name);
      return part === undefined ? [] : [[name.slice(root.length), part] as const];
    }),
  );
}

/**
 * Rejects an entry that another reader could treat as a file of the layout, or as a file's content.
 */
function requireUnrelated(type: string, isNeeded: boolean, name: string, path: string): void {
  if (!isNeeded && type !== "S") return;
  const what = REFUSED_TYPES.get(type) ?? `an entry of the unknown type ${JSON.stringify(type)}`;
  throw invalid(`${path}: ${shown(name)} is ${what}; only files, directories and links are read`);
}

/** The name of an entry as layouts write it, without a leading `./`. */
function entryName(name: string, type: string, path: string): string {
  const all = name.split("/");
  if (type === "5" && all.at(-1) === "") all.pop();
  const first = all.findIndex((part) => part !== ".");
  const parts = first < 0 ? [] : all.slice(first);
  if (parts.some((part) => part === "" || part === "." || part === "..")) {
    throw invalid(`${path}: ${shown(name)} is not a name below the archive's root`);
  }
  return parts.join("/");
}

/**
 * Returns a function that reads parts of a file. Neighbouring parts share one access to the file.
 */
function windowed(file: RandomAccess): (offset: number, length: number) => Promise<Uint8Array> {
  let window: Uint8Array = new Uint8Array();
  let start = 0;
  return async (offset, length) => {
    if (offset < start || offset + length > start + window.length) {
      window = await collect(file.read(offset, offset + Math.max(length, WINDOW)));
      start = offset;
    }
    return window.subarray(offset - start, offset - start + length);
  };
}

function truncated(path: string): OcicryptError {
  return invalid(`${path} is truncated: it ends before its archive does`);
}
