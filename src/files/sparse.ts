import { toLatin1 } from "#engine/bytes";
import type { OcicryptError } from "../errors.js";
import { MAX_TAR_EXTENSION } from "../spec/limits.js";
import { BLOCK, decimal } from "../store/archive/headers.js";
import type { ByteReader } from "./byte-reader.js";
import { number, unreadable, type Segment, type SparseRecords } from "./tar-header.js";

/** A sparse file: large parts of it are zeros, which the archive does not contain. */
export interface SparseFile {
  /** The name of the file, if the header has another one for tools that do not know the format. */
  name?: string;
  /** The size of the file with its holes, in bytes. */
  size: number;
  /** The stored parts; `undefined` if they are at the start of the content. */
  segments: readonly Segment[] | undefined;
}

/** The parts of GNU tar's old format: each an offset and a size, of 12 bytes each. */
const FIRST = { start: 386, count: 4, more: 482 } as const;
const FURTHER = { start: 0, count: 21, more: 504 } as const;
const REAL_SIZE = 483;

/**
 * Returns the sparse file of a header, or `undefined` for other files. Reads the blocks of GNU tar's old
 * format that follow the header.
 *
 * @throws {@link OcicryptError} `LAYER_UNREADABLE`
 */
export async function sparseFile(
  reader: ByteReader,
  block: Uint8Array,
  header: { type: string; size: number; sparse?: SparseRecords; where: string },
): Promise<SparseFile | undefined> {
  const { type, size: stored, sparse: records, where } = header;
  if (type === "S") {
    const size = number(block, REAL_SIZE, 12) ?? -1;
    const segments = partsIn(block, FIRST, where);
    let hasMore = block[FIRST.more] !== 0;
    for (let length = 0; hasMore; length += BLOCK) {
      if (length > MAX_TAR_EXTENSION) throw damaged(where);
      const next = await reader.take(BLOCK);
      segments.push(...partsIn(next, FURTHER, where));
      hasMore = next[FURTHER.more] !== 0;
    }
    requireFitting(segments, { size, stored, where });
    return { size, segments };
  }
  if (records === undefined || type !== "0") return undefined;
  const { name, size = -1, isInContent = false } = records;
  const segments = isInContent ? undefined : records.segments;
  if (!isInContent && segments === undefined) return undefined;
  if (size < 0) throw damaged(where);
  if (segments !== undefined) requireFitting(segments, { size, stored, where });
  return { ...(name !== undefined && { name }), size, segments };
}

function partsIn(
  block: Uint8Array,
  { start, count }: { start: number; count: number },
  where: string,
): Segment[] {
  const segments: Segment[] = [];
  for (let i = 0; i < count; i++) {
    const at = start + 24 * i;
    if (block[at] === 0) break;
    const offset = number(block, at, 12);
    const size = number(block, at + 12, 12);
    if (offset === undefined || size === undefined) throw damaged(where);
    segments.push({ offset, size });
  }
  return segments;
}

/** Rejects segments that overlap, are not in order, or are not the stored content. */
function requireFitting(
  segments: readonly Segment[],
  { size, stored, where }: { size: number; stored: number; where: string },
): void {
  let end = 0;
  let total = 0;
  for (const segment of segments) {
    if (segment.offset < end || segment.size < 0) throw damaged(where);
    end = segment.offset + segment.size;
    total += segment.size;
  }
  if (end > size || total !== stored) throw damaged(where);
}

const ZEROS: Uint8Array = new Uint8Array(64 * 1024);

/**
 * Reads a sparse file with its holes.
 *
 * @param stored the bytes of the file in the archive
 * @throws {@link OcicryptError} `LAYER_UNREADABLE`
 */
export async function* sparseContent(
  reader: ByteReader,
  { size, segments: known }: SparseFile,
  stored: number,
  where: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const segments = known ?? (await readMap(reader, { size, stored, where }));
  let position = 0;
  for (const segment of [...segments, { offset: size, size: 0 }]) {
    while (position < segment.offset) {
      const hole = ZEROS.subarray(0, segment.offset - position);
      position += hole.byteLength;
      yield hole;
    }
    yield* reader.stream(segment.size);
    position += segment.size;
  }
}

/** Reads the map of version 1.0: decimal numbers on lines, in whole blocks. */
async function readMap(
  reader: ByteReader,
  { size, stored, where }: { size: number; stored: number; where: string },
): Promise<Segment[]> {
  const start = reader.position();
  const numbers: number[] = [];
  let line = "";
  for (let length = BLOCK; numbers.length <= 2 * (numbers[0] ?? 0); length += BLOCK) {
    if (length > stored || length > MAX_TAR_EXTENSION) throw damaged(where);
    const lines = (line + toLatin1(await reader.take(BLOCK))).split("\n");
    line = lines.pop() ?? "";
    for (const each of lines) {
      if (numbers.length > 2 * (numbers[0] ?? 0)) break;
      const value = decimal(each);
      if (value === undefined) throw damaged(where);
      numbers.push(value);
    }
  }
  const segments: Segment[] = [];
  for (let i = 1; i < numbers.length; i += 2) {
    segments.push({ offset: numbers[i] ?? -1, size: numbers[i + 1] ?? -1 });
  }
  requireFitting(segments, { size, stored: stored - (reader.position() - start), where });
  return segments;
}

function damaged(where: string): OcicryptError {
  return unreadable(`${where} has a damaged map of a sparse file`);
}
