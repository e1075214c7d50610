import { setImmediate } from "node:timers/promises";
import { abortable, anySignal } from "./abort.js";

/**
 * Where bytes come from: Node streams, web streams, fetch bodies and generators all are
 * `AsyncIterable<Uint8Array>`.
 */
export type ByteSource = AsyncIterable<Uint8Array> | Uint8Array;

/**
 * `Uint8Array<ArrayBuffer>`: bytes that no thread shares, as WebCrypto and `fetch` want them.
 * Compilers before TypeScript 5.7 cannot parse that name.
 */
export type Bytes = ReturnType<typeof Uint8Array.of>;

/** Smaller pieces are gathered up to this, so that a source of single bytes costs no call each. */
const GATHER = 64 * 1024;
/** Larger pieces are taken in parts of this, so that the four passes over a part meet it in cache. */
const PART = 256 * 1024;

/**
 * A source that has all its chunks at hand never lets the event loop turn, and with it no timer,
 * signal handler or other layer: every so many bytes it does.
 */
const BREATH = 16 * 1024 * 1024;

/**
 * The bytes of a source in parts of a size that is fast to work on, in order, never empty.
 * Rejects with the signal's reason as soon as it is aborted, even while the source stalls.
 *
 * @throws {TypeError} when the source yields anything but `Uint8Array`
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
    for (let start = 0; start < chunk.byteLength; start += PART) {
      signal?.throwIfAborted();
      yield chunk.subarray(start, start + PART);
    }
  }
  if (gathered !== undefined) yield gathered.subarray(0, length);
}

/** The chunks of a source that are not empty. It is closed whatever ends the reading of it. */
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
  let sinceBreath = 0;
  let isEnded = false;
  try {
    signal?.throwIfAborted();
    for (;;) {
      if (sinceBreath >= BREATH) {
        sinceBreath = 0;
        await setImmediate();
      }
      const result = await abortable(reader.read(), signal);
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
    if (!isEnded) {
      const closed = Promise.resolve(reader.close()).catch(() => undefined);
      // A source that was left because of the signal may never answer, so it is not waited for.
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
 * The iterators of web and Node streams close only when their pending read has ended, which is
 * never for one that stalls; the streams themselves close at once.
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

/** Closes a source that will not be read, or not any more. */
export async function closeSource(source: ByteSource): Promise<void> {
  if (!(source instanceof Uint8Array)) await openReader(source).close();
}

/**
 * A web stream over a generator, pulling only when its reader does. Cancelling it aborts the
 * generator's signal, so that a stalled source does not keep it.
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
        // A generator that was not started has no "finally" to close its source; once started
        // with its signal aborted it does nothing else.
        if (!isStarted) await generator.next().catch(() => undefined);
        await generator.return();
      },
    },
    { highWaterMark: 0 },
  );
}

/** Bytes as content of one chunk. */
// eslint-disable-next-line @typescript-eslint/require-await -- an iterable
export async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}
