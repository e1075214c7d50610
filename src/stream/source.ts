import { setImmediate } from "node:timers/promises";

/**
 * Where bytes come from: Node streams, web streams, fetch bodies and generators all are
 * `AsyncIterable<Uint8Array>`.
 */
export type ByteSource = AsyncIterable<Uint8Array> | Uint8Array;

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
    if (!(chunk instanceof Uint8Array)) throw new TypeError("a source must yield Uint8Array");
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
      yield chunk.subarray(start, start + PART);
    }
  }
  if (gathered !== undefined && length > 0) yield gathered.subarray(0, length);
}

async function* chunks(
  source: ByteSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  signal?.throwIfAborted();
  if (source instanceof Uint8Array) {
    yield source;
    return;
  }
  const iterator = source[Symbol.asyncIterator]();
  let open = true;
  let sinceBreath = 0;
  try {
    for (;;) {
      if (sinceBreath >= BREATH) {
        sinceBreath = 0;
        await setImmediate();
      }
      const result = await abortable(iterator.next(), signal);
      if (result.done === true) {
        open = false;
        return;
      }
      sinceBreath += result.value.byteLength;
      yield result.value;
    }
  } catch (error) {
    // A source that failed by itself is closed by that, one that was left because of the signal
    // is not, and may never answer: it is told to close and not waited for.
    if (signal?.aborted === true) void Promise.resolve(iterator.return?.()).catch(() => undefined);
    open = false;
    throw error;
  } finally {
    if (open) await iterator.return?.();
  }
}

async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the caller's own
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
  }
}

/**
 * A web stream over a generator, pulling only when its reader does. Cancelling it aborts the
 * generator's signal, so that a stalled source does not keep it.
 */
export function toReadableStream(
  generate: (signal: AbortSignal) => AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined>,
  signal?: AbortSignal,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const cancelled = new AbortController();
  const generator = generate(
    signal === undefined ? cancelled.signal : AbortSignal.any([signal, cancelled.signal]),
  );
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        const result = await generator.next();
        if (result.done === true) controller.close();
        else controller.enqueue(result.value);
      },
      async cancel(reason) {
        cancelled.abort(reason);
        await generator.return();
      },
    },
    { highWaterMark: 0 },
  );
}
