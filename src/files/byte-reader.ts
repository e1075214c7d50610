import { concat } from "#engine/bytes";
import { BLOCK } from "../store/archive/headers.js";

/** Reads a source piece by piece. */
export interface ByteReader {
  /** The number of bytes before the next one. */
  position(): number;
  /** Returns the next 512 bytes, or `undefined` at the end of the source. */
  takeBlock(): Promise<Uint8Array | undefined>;
  /** Returns this many bytes, which stay valid. */
  take(length: number): Promise<Uint8Array>;
  /** Yields this many bytes, in the chunks of the source. */
  stream(length: number): AsyncGenerator<Uint8Array, void, undefined>;
  skip(length: number): Promise<void>;
  close(): Promise<void>;
}

/** @param truncated makes the error for a source that ends too early */
export function byteReader(source: AsyncIterable<Uint8Array>, truncated: () => Error): ByteReader {
  const iterator = source[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array();
  let position = 0;

  /** Whether there are more bytes in `rest`, after the next chunk if necessary. */
  async function fill(): Promise<boolean> {
    while (rest.length === 0) {
      const next = await iterator.next();
      if (next.done === true) return false;
      rest = next.value;
    }
    return true;
  }

  function cut(length: number): Uint8Array {
    const part = rest.subarray(0, length);
    rest = rest.subarray(part.length);
    position += part.length;
    return part;
  }

  async function* stream(length: number): AsyncGenerator<Uint8Array, void, undefined> {
    for (let left = length; left > 0;) {
      if (!(await fill())) throw truncated();
      const part = cut(left);
      left -= part.length;
      yield part;
    }
  }

  async function take(length: number): Promise<Uint8Array> {
    if (rest.length >= length) return cut(length);
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream(length)) chunks.push(chunk);
    return concat(chunks);
  }

  return {
    position: () => position,
    take,
    stream,
    takeBlock: async () => ((await fill()) ? take(BLOCK) : undefined),
    async skip(length) {
      for (let left = length; left > 0;) {
        if (!(await fill())) throw truncated();
        left -= cut(left).length;
      }
    },
    async close() {
      await iterator.return?.(undefined);
    },
  };
}
