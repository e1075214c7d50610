import { Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parts, toReadableStream, type ByteSource } from "../../src/io/source.js";
import { chunked, collect } from "../support/bytes.js";
import { drain, stalling, watched } from "../support/sources.js";

const KIB = 1024;
const pattern = (size: number): Buffer => Buffer.alloc(size, "0123456789abcdefghijk");

async function sizes(source: ByteSource): Promise<number[]> {
  const found: number[] = [];
  for await (const part of parts(source)) found.push(part.byteLength);
  return found;
}

async function expectAbortAfterFirstPart(source: ByteSource): Promise<void> {
  const controller = new AbortController();
  const reason = new Error("enough");
  let count = 0;
  const reading = (async () => {
    for await (const part of parts(source, controller.signal)) {
      count += part.byteLength > 0 ? 1 : 0;
      controller.abort(reason);
    }
  })();
  await expect(reading).rejects.toBe(reason);
  expect(count).toBe(1);
}

async function* empties(bytes: Buffer): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(0);
  yield* chunked(bytes, 7);
  yield new Uint8Array(0);
}

describe("parts", () => {
  const bytes = pattern(3 * 64 * KIB + 5);

  it.each<[string, () => ByteSource]>([
    ["bytes", () => bytes],
    ["a Buffer inside a larger one", () => Buffer.concat([bytes, bytes]).subarray(0, bytes.length)],
    ["single bytes", () => chunked(bytes, 1)],
    ["chunks of a prime size", () => chunked(bytes, 1009)],
    ["chunks of 16 KiB - 1", () => chunked(bytes, 16 * KIB - 1)],
    ["chunks of 16 KiB", () => chunked(bytes, 16 * KIB)],
    ["chunks of 64 KiB - 1", () => chunked(bytes, 64 * KIB - 1)],
    ["chunks of 64 KiB", () => chunked(bytes, 64 * KIB)],
    ["chunks of 64 KiB + 1", () => chunked(bytes, 64 * KIB + 1)],
    ["empty chunks among others", () => empties(bytes)],
    ["a Node stream", () => Readable.from([bytes.subarray(0, 9), bytes.subarray(9)])],
    ["a web stream", () => new Blob([bytes]).stream()],
    ["a fetch body", () => new Response(bytes).body!],
  ])("yields all of %s", async (_, source) => {
    expect((await collect(parts(source()))).equals(bytes)).toBe(true);
  });

  it.each([
    [[], []],
    [[0], []],
    [[0, 0, 0], []],
    [[1], [1]],
    [Array.from({ length: 64 }, () => KIB), [64 * KIB]],
    [Array.from({ length: 65 }, () => KIB), [64 * KIB, KIB]],
    [[128 * KIB - 1], [128 * KIB - 1]],
    [[128 * KIB], [128 * KIB]],
    [[128 * KIB + 1], [128 * KIB, 1]],
    [[300 * KIB], [128 * KIB, 128 * KIB, 44 * KIB]],
    [
      [10, 100 * KIB, 10],
      [10, 100 * KIB, 10],
    ],
  ])("gathers small chunks and cuts large ones: %j", async (given, expected) => {
    const chunks = given.map((size) => new Uint8Array(size));
    const found: number[] = [];
    for await (const part of parts(watched(chunks))) found.push(part.byteLength);
    expect(found).toEqual(expected);
  });

  it("never yields an empty part", async () => {
    expect(await sizes(watched([new Uint8Array(0), new Uint8Array(100 * KIB)]))).toEqual([
      100 * KIB,
    ]);
  });

  it("keeps the order for any sequence of chunk sizes", async () => {
    const size = fc.oneof(fc.nat(20), fc.constantFrom(16383, 16384, 40000, 65535, 65536, 300000));
    await fc.assert(
      fc.asyncProperty(fc.array(size, { maxLength: 8 }), async (given) => {
        const all = pattern(given.reduce((sum, n) => sum + n, 0));
        let at = 0;
        const chunks = given.map((n) => all.subarray(at, (at += n)));
        const collected = await collect(parts(watched(chunks)));
        expect(collected.equals(all)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  const expectRefused = async (value: unknown): Promise<void> => {
    const source = watched([Buffer.from("a"), value as Uint8Array]);
    await expect(collect(parts(source))).rejects.toThrow(TypeError);
    expect(source.closed).toBe(true);
  };
  const WRONG: [unknown][] = [
    ["a string"],
    [[1, 2]],
    [new ArrayBuffer(4)],
    [new Float32Array(1)],
    [{}],
    [7],
  ];
  it.each(WRONG)("rejects a source that yields %s, and closes it", expectRefused);
  it.each<[unknown]>([[undefined], [null]])(
    "rejects a source that yields %s, and closes it",
    expectRefused,
  );

  it("passes on the source's error", async () => {
    const reason = new Error("network");
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield* chunked(pattern(10), 5);
      throw reason;
    }
    await expect(collect(parts(failing()))).rejects.toBe(reason);
  });

  it("closes the source when the reader stops", async () => {
    const source = watched([pattern(64 * KIB), pattern(64 * KIB)]);
    for await (const part of parts(source)) {
      expect(part.byteLength).toBe(64 * KIB);
      break;
    }
    expect(source.closed).toBe(true);
    expect(source.pulled).toBe(1);
  });

  describe("with a signal", () => {
    it.each([
      ["bytes", pattern(3)],
      ["a source", watched([pattern(3)])],
    ])("that is already aborted, reads nothing from %s", async (_, source) => {
      const reason = new Error("enough");
      await expect(collect(parts(source, AbortSignal.abort(reason)))).rejects.toBe(reason);
      if ("pulled" in source) expect(source.pulled).toBe(0);
    });

    it.each([[new Error("enough")], ["a string"], [undefined]])(
      "rejects with its reason while the source stalls: %s",
      async (reason) => {
        const source = stalling([pattern(64 * KIB)]);
        const controller = new AbortController();
        const collected = drain(parts(source, controller.signal));
        await source.stalled;
        controller.abort(reason);
        const { bytes: seen, error } = await collected;
        expect(error).toBe(controller.signal.reason);
        expect(seen.byteLength).toBe(64 * KIB);
        expect(source.closed).toBe(true);
      },
    );

    it.each<[string, () => ByteSource]>([
      ["a source that takes its time", () => chunked(pattern(128 * KIB), 64 * KIB)],
      ["a Node stream", () => Readable.from([pattern(64 * KIB), pattern(64 * KIB)])],
    ])("rejects between two chunks of %s", async (_, source) => {
      await expectAbortAfterFirstPart(source());
    });

    it("rejects between two chunks of a source that is always ready", async () => {
      await expectAbortAfterFirstPart(watched([pattern(64 * KIB), pattern(64 * KIB)]));
    });

    it("rejects between two parts of bytes", async () => {
      await expectAbortAfterFirstPart(pattern(600 * KIB));
    });

    it("closes the source when it rejects between two chunks", async () => {
      let closed = false;
      async function* source(): AsyncGenerator<Uint8Array> {
        try {
          yield* chunked(pattern(128 * KIB), 64 * KIB);
        } finally {
          closed = true;
        }
      }
      await expectAbortAfterFirstPart(source());
      await turn();
      expect(closed).toBe(true);
    });

    it("leaves no listener behind", async () => {
      const { signal } = new AbortController();
      let listeners = 0;
      const add = signal.addEventListener.bind(signal);
      const remove = signal.removeEventListener.bind(signal);
      signal.addEventListener = (...args: Parameters<typeof add>) => {
        listeners++;
        add(...args);
      };
      signal.removeEventListener = (...args: Parameters<typeof remove>) => {
        listeners--;
        remove(...args);
      };
      await collect(parts(chunked(pattern(100), 1), signal));
      expect(listeners).toBe(0);
    });
  });
});

describe("toReadableStream", () => {
  async function* numbers(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (let i = 0; i < 3; i++) {
      await turn();
      yield Uint8Array.of(i);
    }
  }

  it("emits what the generator yields", async () => {
    expect(await collect(toReadableStream(numbers))).toEqual(Buffer.from([0, 1, 2]));
  });

  it("pulls only when its reader does", async () => {
    let yielded = 0;
    const stream = toReadableStream(async function* () {
      for (;;) {
        await turn();
        yielded++;
        yield new Uint8Array(1);
      }
    });
    await turn();
    expect(yielded).toBe(0);
    const reader = stream.getReader();
    await reader.read();
    await reader.read();
    await turn();
    expect(yielded).toBe(2);
    await reader.cancel();
  });

  it("fails with the generator's error", async () => {
    const reason = new Error("broken");
    const stream = toReadableStream(async function* () {
      yield* numbers();
      throw reason;
    });
    const { bytes, error } = await drain(stream);
    expect(bytes).toEqual(Buffer.from([0, 1, 2]));
    expect(error).toBe(reason);
  });

  it("cancelled between two reads, closes the generator", async () => {
    let finished = false;
    let aborted: unknown;
    const stream = toReadableStream(async function* (signal) {
      try {
        yield* numbers();
      } finally {
        finished = true;
        aborted = signal.reason;
      }
    });
    const reader = stream.getReader();
    await reader.read();
    await reader.cancel("no more");
    expect(finished).toBe(true);
    expect(aborted).toBe("no more");
  });

  it("cancelled during a read, aborts a source that stalls", async () => {
    const source = stalling([]);
    const stream = toReadableStream(async function* (signal) {
      for await (const part of parts(source, signal)) yield Uint8Array.from(part);
    });
    const reader = stream.getReader();
    const read = reader.read();
    await source.stalled;
    await reader.cancel();
    expect(await read).toEqual({ done: true, value: undefined });
    expect(source.closed).toBe(true);
  });

  it("cancelled before the first read, closes the source", async () => {
    const source = watched([pattern(3)]);
    const stream = toReadableStream(async function* (signal) {
      for await (const part of parts(source, signal)) yield Uint8Array.from(part);
    });
    await stream.cancel();
    expect(source.closed).toBe(true);
  });

  it.each<[string, (onClose: () => void) => ByteSource]>([
    ["web", (cancel) => new ReadableStream({ pull: () => new Promise(() => undefined), cancel })],
    [
      "Node",
      (onClose) =>
        new Readable({
          read: () => undefined,
          destroy: (_, done) => {
            onClose();
            done(null);
          },
        }),
    ],
  ])("cancelled during a read, closes a %s stream that stalls", async (_, open) => {
    let closed = false;
    const source = open(() => (closed = true));
    const stream = toReadableStream(async function* (signal) {
      for await (const part of parts(source, signal)) yield Uint8Array.from(part);
    });
    const reader = stream.getReader();
    const read = reader.read();
    await turn();
    await reader.cancel();
    await read;
    await turn();
    expect(closed).toBe(true);
  });

  it("aborted by the caller's signal, fails with its reason", async () => {
    const source = stalling([]);
    const controller = new AbortController();
    const stream = toReadableStream(async function* (signal) {
      for await (const part of parts(source, signal)) yield Uint8Array.from(part);
    }, controller.signal);
    const collected = collect(stream);
    await source.stalled;
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(collected).rejects.toBe(reason);
  });
});
