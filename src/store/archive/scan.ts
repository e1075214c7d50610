import type { FileHandle } from "node:fs/promises";
import type { OcicryptError } from "../../errors.js";
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
import { readRange } from "../../io/files.js";

/** Where a file is in an archive. */
export interface FilePart {
  offset: number;
  /** In bytes. */
  size: number;
}

/** The largest images, with all their platforms, have some thousands. */
const MAX_ENTRIES = 100_000;
/** Of a pax extended header, or a long name of GNU tar, in bytes; real ones have some hundred. */
const MAX_EXTENDED_HEADER = 1024 * 1024;
/** Enough for the headers of many small files in one read. */
const WINDOW = 64 * 1024;

/** https://github.com/opencontainers/image-spec/blob/main/image-layout.md, of known digests */
const LAYOUT_FILE = /^(?:oci-layout|index\.json|blobs\/sha(?:256|512)\/[0-9a-f]+)$/;

const REFUSED_TYPES: ReadonlyMap<string, string> = new Map([
  ["1", "a link"],
  ["2", "a link"],
  ["3", "a device"],
  ["4", "a device"],
  ["6", "a pipe"],
  ["S", "a sparse file"],
]);

/**
 * Reads the headers of a tar archive, and nothing else of it: blobs can come in any order and be of
 * any size. tar-stream is not used for that: it would have to be fed every byte of the archive, and
 * is lenient where lenient readers differ in what they find.
 *
 * @returns where the files of a layout are, by their names
 * @throws {@link OcicryptError} `LAYOUT_INVALID`
 */
export async function scanHeaders(
  file: FileHandle,
  path: string,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, FilePart>> {
  const fileSize = (await file.stat()).size;
  const read = windowed(file);
  const files = new Map<string, FilePart>();
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
      return files;
    }
    const header = parseHeader(block, where);
    const start = offset + BLOCK;
    if ("xgLK".includes(header.type)) {
      if (header.size > MAX_EXTENDED_HEADER) {
        throw invalid(`${where} is larger than ${String(MAX_EXTENDED_HEADER)} bytes`);
      }
      const content = await read(start, header.size);
      if (content.length < header.size) throw truncated(path);
      extension = extend(extension, header.type, content, where);
      offset = start + padded(header.size);
      continue;
    }
    const size = extension?.size ?? header.size;
    const name = layoutName(extension?.path ?? header.name, header.type, path);
    if (size > fileSize - start) throw truncated(path);
    if (header.type === "5") {
      // Whether a directory has content is what readers of tar do not agree about.
      if (size > 0) throw invalid(`${where} is that of a directory with content`);
    } else if (LAYOUT_FILE.test(name)) {
      if (files.has(name)) throw invalid(`${path} holds ${name} twice`);
      files.set(name, { offset: start, size });
    }
    extension = undefined;
    offset = start + padded(size);
  }
  throw invalid(`${path} has more than ${String(MAX_ENTRIES)} entries`);
}

/** What extended headers say so far, together with one more of them. */
function extend(
  before: PaxRecords | undefined,
  type: string,
  content: Buffer,
  where: string,
): PaxRecords | undefined {
  // Of a link's target, and links are refused.
  if (type === "K") return before ?? {};
  const records = type === "L" ? { path: text(content) } : parsePaxRecords(content, where);
  if (type === "g") {
    if (Object.keys(records).length === 0) return before;
    throw invalid(`${where} gives all entries one path or size`);
  }
  if (before?.path !== undefined || before?.size !== undefined) {
    throw invalid(`${where} is one of two for the same entry`);
  }
  return records;
}

/**
 * The name of an entry as layouts spell it, without `./` before it. Files that layouts do not have
 * are let be, but nothing that some other reader could take for a file of the layout.
 */
function layoutName(name: string, type: string, path: string): string {
  const shown = JSON.stringify(name.slice(0, 200));
  if (type !== "0" && type !== "5") {
    const what = REFUSED_TYPES.get(type) ?? `an entry of the unknown type ${JSON.stringify(type)}`;
    throw invalid(`${path}: ${shown} is ${what}; only files and directories are read`);
  }
  const all = name.split("/");
  if (type === "5" && all.at(-1) === "") all.pop();
  const first = all.findIndex((part) => part !== ".");
  const parts = first < 0 ? [] : all.slice(first);
  if (parts.some((part) => part === "" || part === "." || part === "..")) {
    throw invalid(`${path}: ${shown} is not a name below the archive's root`);
  }
  return parts.join("/");
}

/** Reads parts of a file, less at its end, for which neighbours share one access to it. */
function windowed(file: FileHandle): (offset: number, length: number) => Promise<Buffer> {
  let window: Buffer = Buffer.alloc(0);
  let start = 0;
  return async (offset, length) => {
    if (offset < start || offset + length > start + window.length) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of readRange(file, offset, offset + Math.max(length, WINDOW))) {
        chunks.push(chunk);
      }
      window = Buffer.concat(chunks);
      start = offset;
    }
    return window.subarray(offset - start, offset - start + length);
  };
}

function truncated(path: string): OcicryptError {
  return invalid(`${path} is truncated: it ends before its archive does`);
}
