/** A source that can be watched: how far it was read, and whether it was closed. */
export interface Watched extends AsyncIterable<Uint8Array> {
  pulled: number;
  closed: boolean;
}

/** Yields the chunks one for each pull; `closed` once it has ended or was told to. */
export function watched(chunks: Iterable<Uint8Array>): Watched {
  const iterator = chunks[Symbol.iterator]();
  const source: Watched = {
    pulled: 0,
    closed: false,
    [Symbol.asyncIterator]: () => ({
      next: () => {
        source.pulled++;
        const result = iterator.next();
        if (result.done === true) source.closed = true;
        return Promise.resolve(result);
      },
      return: () => {
        source.closed = true;
        return Promise.resolve({ done: true, value: undefined });
      },
    }),
  };
  return source;
}

/** Yields the chunks, then never answers again; `stalled` once it has come so far. */
export function stalling(chunks: readonly Uint8Array[]): Watched & { stalled: Promise<void> } {
  const rest = [...chunks];
  let stall: (() => void) | undefined;
  const stalled = new Promise<void>((resolve) => (stall = resolve));
  const source: Watched & { stalled: Promise<void> } = {
    pulled: 0,
    closed: false,
    stalled,
    [Symbol.asyncIterator]: () => ({
      next: () => {
        source.pulled++;
        const value = rest.shift();
        if (value !== undefined) return Promise.resolve({ done: false, value });
        stall?.();
        return new Promise<never>(() => undefined);
      },
      return: () => {
        source.closed = true;
        return Promise.resolve({ done: true, value: undefined });
      },
    }),
  };
  return source;
}

/** The chunks of a stream up to its end or error, and that error. */
export async function drain(
  stream: AsyncIterable<Uint8Array>,
): Promise<{ bytes: Buffer; error: unknown }> {
  const chunks: Uint8Array[] = [];
  let error: unknown;
  try {
    for await (const chunk of stream) chunks.push(chunk);
  } catch (caught) {
    error = caught;
  }
  return { bytes: Buffer.concat(chunks), error };
}

/** Throws what {@link drain} caught. */
export function rethrow(error: unknown): never {
  throw error;
}
