import type { FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { openNameless, readRange, writeAll, writing } from "../io/files.js";
import { continued } from "../io/source.js";

/** The most bytes that a spool holds in memory. */
const IN_MEMORY: number = 16 * 1024 * 1024;

/** Content that was stored whole, and can be read any number of times. */
export interface Stored {
  /**
   * Reads the content, or the bytes of it from `start` up to, but not including, `end`.
   */
  read(start?: number, end?: number): AsyncGenerator<Uint8Array, void, undefined>;
}

/** A private store for content that must not be used before it has been read to its end. */
export interface Spool {
  /**
   * Stores content in memory, or in a file if there is more.
   *
   * @throws {@link OcicryptError} `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`, and the errors of the
   *   content
   */
  add(content: AsyncIterable<Uint8Array>): Promise<Stored>;
  /** Drops all content. */
  clear(): Promise<void>;
}

/**
 * Creates a spool. Its file belongs to the current user alone and has no name, so that nothing is left
 * however this process ends.
 *
 * @param inMemory the most bytes that are held in memory. Default: 16 MiB
 */
export function createSpool(inMemory: number = IN_MEMORY): Spool {
  const where = `a copy of the layers in ${tmpdir()}`;
  let held: Buffer[] = [];
  let heldSize = 0;
  let file: FileHandle | undefined;

  async function toFile(content: AsyncIterable<Uint8Array>): Promise<Stored> {
    const handle = (file ??= await writing(where, openNameless));
    const first = (await handle.stat()).size;
    const size = await writeAll(handle, content, where);
    return {
      read: (start = 0, end = size) =>
        readRange(handle, first + Math.min(start, size), first + Math.min(end, size)),
    };
  }

  return {
    async add(content) {
      const chunks: Buffer[] = [];
      const iterator = content[Symbol.asyncIterator]();
      let size = 0;
      let isEnded = false;
      try {
        while (!isEnded && heldSize + size <= inMemory) {
          const next = await iterator.next();
          isEnded = next.done === true;
          if (next.done === true) break;
          // A copy, because a source may use its memory again.
          chunks.push(Buffer.from(next.value));
          size += next.value.byteLength;
        }
        if (!isEnded) return await toFile(continued(chunks, iterator));
      } finally {
        if (!isEnded) await iterator.return?.(undefined);
      }
      held = held.concat(chunks);
      heldSize += size;
      return { read: (start = 0, end = size) => range(chunks, start, end) };
    },
    async clear() {
      for (const chunk of held) chunk.fill(0);
      [held, heldSize] = [[], 0];
      const former = file;
      file = undefined;
      await former?.close();
    },
  };
}

// eslint-disable-next-line @typescript-eslint/require-await -- an iterable
async function* range(
  chunks: readonly Uint8Array[],
  start: number,
  end: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let position = 0;
  for (const chunk of chunks) {
    const part = chunk.subarray(Math.max(0, start - position), Math.max(0, end - position));
    position += chunk.byteLength;
    if (part.byteLength > 0) yield part;
    if (position >= end) return;
  }
}
