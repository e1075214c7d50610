import { openOverflow } from "#engine/overflow";
import type { Stored } from "../engine/content-types.js";
import { continued } from "../io/source.js";

/** The most bytes that a spool holds in memory. */
const IN_MEMORY: number = 16 * 1024 * 1024;

export type { Stored } from "../engine/content-types.js";

/** A private store for content that must not be used before it has been read to its end. */
export interface Spool {
  /**
   * Stores content in memory, or elsewhere if there is more: Node.js has a private file, browsers a blob.
   *
   * @throws {@link OcicryptError} `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`, and the errors of the
   *   content
   */
  add(content: AsyncIterable<Uint8Array>): Promise<Stored>;
  /** Drops all content. */
  clear(): Promise<void>;
}

/**
 * Creates a spool.
 *
 * @param inMemory the most bytes that are held in memory. Default: 16 MiB
 */
export function createSpool(inMemory: number = IN_MEMORY): Spool {
  const overflow = openOverflow();
  let held: Uint8Array[] = [];
  let heldSize = 0;

  return {
    async add(content) {
      const chunks: Uint8Array[] = [];
      const iterator = content[Symbol.asyncIterator]();
      let size = 0;
      let isEnded = false;
      try {
        while (!isEnded && heldSize + size <= inMemory) {
          const next = await iterator.next();
          isEnded = next.done === true;
          if (next.done === true) break;
          // A copy, because a source may use its memory again.
          chunks.push(new Uint8Array(next.value));
          size += next.value.byteLength;
        }
        if (!isEnded) return await overflow.add(continued(chunks, iterator));
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
      await overflow.close();
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
