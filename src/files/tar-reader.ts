import { MAX_FILES_SIZE, MAX_TAR_EXTENSION } from "../spec/limits.js";
import { isEndBlock, padded } from "../store/archive/headers.js";
import { byteReader, type ByteReader } from "./byte-reader.js";
import { sparseContent, sparseFile, type SparseFile } from "./sparse.js";
import {
  readExtension,
  readHeader,
  requireName,
  text,
  unreadable,
  type Device,
  type Extension,
} from "./tar-header.js";

/** The type of a file, or of an entry that is another name of a file. */
export type EntryType =
  "file" | "link" | "symlink" | "character-device" | "block-device" | "directory" | "fifo";

const TYPES: ReadonlyMap<string, EntryType> = new Map([
  ["0", "file"],
  ["1", "link"],
  ["2", "symlink"],
  ["3", "character-device"],
  ["4", "block-device"],
  ["5", "directory"],
  ["6", "fifo"],
  ["7", "file"],
  ["S", "file"],
]);

/** An entry of a layer. Names have one character for each byte. */
export interface TarEntry {
  name: string;
  type: EntryType;
  mode: number;
  uid: number;
  gid: number;
  /** The size of a file's content, in bytes. */
  size: number;
  /** The seconds since 1970, as a decimal number. */
  mtime: string;
  /** The target of a link. */
  target: string;
  device: Device;
  xattrs: ReadonlyMap<string, Uint8Array> | undefined;
  /** The positions before the first header and after the content, in bytes from the start of the layer. */
  start: number;
  end: number;
  /** Reads the content, once and before the next entry is asked for. */
  content(): AsyncGenerator<Uint8Array, void, undefined>;
}

/**
 * Reads the entries of a layer one after another. Content that is not read is skipped. Only what an
 * entry needs is held in memory: tar-stream's extract would hold extended headers of any size, and
 * reads neither sparse files nor names and attributes that are not UTF-8.
 *
 * @param where the name of the layer in messages
 * @throws {@link OcicryptError} `LAYER_UNREADABLE`, and the errors of the source
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  where: string,
): AsyncGenerator<TarEntry, void, undefined> {
  const reader = byteReader(source, () => unreadable(`${where} is truncated`));
  try {
    for (;;) {
      const entry = await readEntry(reader, where);
      if (entry === undefined) return;
      yield entry;
      await entry.skip();
    }
  } finally {
    await reader.close();
  }
}

interface OpenEntry extends TarEntry {
  /** Goes on to the next header. */
  skip(): Promise<void>;
}

async function readEntry(reader: ByteReader, layer: string): Promise<OpenEntry | undefined> {
  const first = reader.position();
  let extension: Extension = {};
  let names: Pick<Extension, "name" | "target"> = {};
  // As many extended headers as two kinds of names, attributes and global values need.
  for (let count = 0; count < 100; count++) {
    const where = `${layer}: the header at byte ${String(reader.position())}`;
    const block = await reader.takeBlock();
    if (block === undefined) return undefined;
    if (isEndBlock(block)) {
      const second = await reader.takeBlock();
      if (second === undefined || isEndBlock(second)) return undefined;
      throw unreadable(`${where} is empty, but more entries follow`);
    }
    const header = readHeader(block, where);
    if (header.type === "g") {
      // Values for all entries, which container runtimes ignore too.
      await reader.skip(padded(header.size));
    } else if ("xXLK".includes(header.type)) {
      if (header.size > MAX_TAR_EXTENSION) {
        throw unreadable(`${where} is larger than ${String(MAX_TAR_EXTENSION)} bytes`);
      }
      const content = await reader.take(header.size);
      await reader.skip(padded(header.size) - header.size);
      if (header.type === "L") names = { ...names, name: requireName(text(content), where) };
      else if (header.type === "K") names = { ...names, target: requireName(text(content), where) };
      else extension = readExtension(content, where);
    } else {
      const type = TYPES.get(header.type);
      if (type === undefined) {
        throw unreadable(`${where} has the unknown type ${JSON.stringify(header.type)}`);
      }
      const merged = { ...header, ...extension, ...names };
      const sparse = await sparseFile(reader, block, { ...merged, where });
      return openEntry(reader, { ...merged, entryType: type, start: first, sparse, where });
    }
  }
  throw unreadable(`${layer} has too many extended headers for one entry`);
}

type Parts = Omit<TarEntry, "type" | "content" | "xattrs" | "end"> & {
  type: string;
  entryType: EntryType;
  xattrs?: ReadonlyMap<string, Uint8Array>;
  sparse: SparseFile | undefined;
  where: string;
};

function openEntry(reader: ByteReader, parts: Parts): OpenEntry {
  const { uid, gid, mtime, mode, target, device, xattrs, start, sparse, where } = parts;
  const name = sparse?.name ?? parts.name;
  // Version 7 has no type for directories.
  const isOldDirectory = parts.type === "0" && name.endsWith("/");
  const type = isOldDirectory ? "directory" : parts.entryType;
  // Tar readers treat other types differently. Go's archive/tar reads no content for them.
  const stored = parts.entryType === "file" ? parts.size : 0;
  const size = type === "file" ? (sparse?.size ?? stored) : 0;
  if (size > MAX_FILES_SIZE || parts.size > MAX_FILES_SIZE) {
    throw unreadable(`${where} describes a file of more than ${String(MAX_FILES_SIZE)} bytes`);
  }
  const end = reader.position() + padded(stored);
  let isRead = false;
  return {
    ...{ name, type, mode, uid, gid, size, mtime, target, device, xattrs, start, end },
    async *content() {
      if (isRead) throw new TypeError("the content of an entry can be read only once");
      isRead = true;
      if (type !== "file") return;
      if (sparse === undefined) yield* reader.stream(stored);
      else yield* sparseContent(reader, sparse, stored, where);
    },
    async skip() {
      isRead = true;
      await reader.skip(end - reader.position());
    },
  };
}
