import { nextTurn } from "#engine/turn";
import { concat } from "#engine/bytes";
import type { Bytes } from "../engine/types.js";
import { PART_SIZE } from "../spec/limits.js";
import { anySignal, interruptible } from "./abort.js";

/**
 * A source of bytes. Node.js streams, web streams, `fetch` bodies and generators are all
 * `AsyncIterable<Uint8Array>`.
 */
export type ByteSource = AsyncIterable<Uint8Array> | Uint8Array;

export type { Bytes } from "../engine/types.js";

/**
 * Smaller chunks are gathered up to this size, so that a source of single bytes does not cost a
 * call for each byte.
 */
const GATHER = 64 * 1024;
/**
 * A source whose chunks are all available never yields to the event loop, so that timers, signal
 * handlers and other layers would wait. The loop therefore yields after this many bytes.
 */
const BREATH = 16 * 1024 * 1024;

/**
 * Yields the bytes of a source in order, in parts whose size is fast to process; no part is empty.
 * Rejects with the signal's reason as soon as it aborts, even if the source has stalled.
 *
 * @throws {TypeError} if the source yields anything other than `Uint8Array`
 */
export async function* parts(
  source: ByteSource,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let gathered: Uint8Array | undefined;
  let length = 0;
  for await (const chunk of chunks(source, signal)) {
    if (chunk.byteLength < GATHER / 4 || gathered !== undefined) {
      gathered ??= new Uint8Array(GATHER);
      if (length + chunk.byteLength <= GATHER) {
        gathered.set(chunk, length);
        length += chunk.byteLength;
        continue;
      }
      yield gathered.subarray(0, length);
      gathered = undefined;
      length = 0;
    }
    for (let start = 0; start < chunk.byteLength; start += PART_SIZE) {
      signal?.throwIfAborted();
      yield chunk.subarray(start, start + PART_SIZE);
    }
  }
  if (gathered !== undefined) yield gathered.subarray(0, length);
}

/** Yields the chunks of a source that are not empty. However reading ends, the source is closed. */
async function* chunks(
  source: ByteSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (source instanceof Uint8Array) {
    signal?.throwIfAborted();
    if (source.byteLength > 0) yield source;
    return;
  }
  const reader = openReader(source);
  const waits = interruptible(signal);
  let sinceBreath = 0;
  let isEnded = false;
  try {
    signal?.throwIfAborted();
    for (;;) {
      if (sinceBreath >= BREATH) {
        sinceBreath = 0;
        await nextTurn();
      }
      const result = await waits.wait(reader.read());
      if (result.done === true) {
        isEnded = true;
        return;
      }
      signal?.throwIfAborted();
      const chunk: unknown = result.value;
      if (!(chunk instanceof Uint8Array)) throw new TypeError("a source must yield Uint8Array");
      sinceBreath += chunk.byteLength;
      if (chunk.byteLength > 0) yield chunk;
    }
  } finally {
    waits.end();
    if (!isEnded) {
      const closed = Promise.resolve(reader.close()).catch(() => undefined);
      // After an abort the source may never answer, so this does not wait for it.
      if (signal?.aborted !== true) await closed;
    }
  }
}

type Read = IteratorResult<unknown, unknown>;

interface Reader {
  read(): Promise<Read>;
  close(): unknown;
}

/**
 * The iterators of web and Node.js streams close only after their pending read, which never ends if
 * the stream has stalled; the streams themselves close immediately.
 */
function openReader(source: AsyncIterable<Uint8Array>): Reader {
  if (source instanceof ReadableStream) {
    const reader = source.getReader();
    return { read: () => reader.read() as Promise<Read>, close: () => reader.cancel() };
  }
  const iterator = source[Symbol.asyncIterator]();
  const close = isDestroyable(source) ? () => source.destroy() : () => iterator.return?.();
  return { read: () => iterator.next(), close };
}

function isDestroyable(source: object): source is { destroy: () => unknown } {
  return "destroy" in source && typeof source.destroy === "function";
}

/** Closes a source that will not be read any further. */
export async function closeSource(source: ByteSource): Promise<void> {
  if (!(source instanceof Uint8Array)) await openReader(source).close();
}

/**
 * Returns a lazy web stream over a generator: it pulls only when it is read. Cancelling the stream
 * aborts the generator's signal, so that a stalled source does not keep it open.
 */
export function toReadableStream(
  generate: (signal: AbortSignal) => AsyncGenerator<Bytes, void, undefined>,
  signal?: AbortSignal,
): ReadableStream<Bytes> {
  const cancelled = new AbortController();
  const generator = generate(anySignal(signal, cancelled.signal));
  let hasStarted = false;
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        hasStarted = true;
        const result = await generator.next();
        if (result.done === true) controller.close();
        else controller.enqueue(result.value);
      },
      async cancel(reason) {
        const isStarted = hasStarted;
        cancelled.abort(reason);
        // A generator that was not started runs no "finally" to close its source. Started with an
        // aborted signal, it does nothing else.
        if (!isStarted) await generator.next().catch(() => undefined);
        await generator.return();
      },
    },
    { highWaterMark: 0 },
  );
}

/** Yields the bytes as a single chunk. */
// eslint-disable-next-line @typescript-eslint/require-await -- an iterable
export async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}

/** Yields chunks that were already read, and then the rest of their source. */
export async function* continued(
  read: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* read;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

/**
 * The bytes of some content, in one piece.
 *
 * @param limit in bytes; none by default
 * @param tooLarge makes the error for content above the limit
 */
export async function collect(
  content: AsyncIterable<Uint8Array>,
  limit?: number,
  tooLarge?: () => Error,
): Promise<Bytes> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of content) {
    size += chunk.byteLength;
    if (limit !== undefined && size > limit) throw tooLarge?.() ?? new RangeError("too large");
    chunks.push(chunk);
  }
  return concat(chunks);
}
