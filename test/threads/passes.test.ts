import { createHash, createHmac, createSecretKey, randomBytes } from "node:crypto";
import type * as threads from "node:worker_threads";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { PART_SIZE } from "../../src/spec/limits.js";

/** The threads that were started, and how the next one fails. */
const seen = vi.hoisted(() => ({
  workers: [] as threads.Worker[],
  memory: [] as SharedArrayBuffer[],
  fault: undefined as "refused" | "missing" | "out of memory" | undefined,
  cores: 2,
}));

vi.mock(import("node:os"), async (original) => ({
  ...(await original()),
  availableParallelism: () => seen.cores,
}));

vi.mock(import("node:worker_threads"), async (original) => {
  const actual = await original();
  class Watched extends actual.Worker {
    constructor(file: URL, options: threads.WorkerOptions) {
      if (seen.fault === "refused") throw new Error("not allowed");
      // Less than Node.js needs to start a thread.
      const limits = { resourceLimits: { maxOldGenerationSizeMb: 1, maxYoungGenerationSizeMb: 1 } };
      super(seen.fault === "missing" ? new URL("missing.js", file) : file, {
        ...options,
        ...(seen.fault === "out of memory" && limits),
      });
      seen.workers.push(this);
      seen.memory.push((options.workerData as { memory: SharedArrayBuffer }).memory);
    }
  }
  return { ...actual, Worker: Watched };
});

const LONG = 64 * 1024 * 1024;
const KEY = randomBytes(32);

async function load(): Promise<typeof import("../../src/threads/passes.js")> {
  vi.resetModules();
  return import("../../src/threads/passes.js");
}

let passes: typeof import("../../src/threads/passes.js");
beforeEach(async () => {
  Object.assign(seen, { workers: [], memory: [], fault: undefined, cores: 2 });
  passes = await load();
});

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** Runs all passes over parts, whose ciphertext is their complement. */
async function run(parts: readonly Uint8Array[], count?: number): Promise<string[]> {
  const open = await passes.openPasses(LONG, count);
  const hmac = open.hmacCipher(createSecretKey(KEY));
  const cipher = open.hashCipher("sha256");
  const plain = open.hashPlain("sha512");
  const memory = new Uint8Array(PART_SIZE);
  try {
    for (const part of parts) {
      await open.room();
      plain.update(part);
      // The same memory for each part.
      const encrypted = memory.subarray(0, part.byteLength);
      encrypted.set(part.map((byte) => ~byte));
      hmac.update(encrypted);
      cipher.update(encrypted);
    }
    return [await hmac.digest(), await cipher.digest(), await plain.digest()].map(hex);
  } finally {
    open.close();
  }
}

function expected(parts: readonly Uint8Array[]): string[] {
  const plain = Buffer.concat(parts);
  const encrypted = plain.map((byte) => ~byte);
  return [
    createHmac("sha256", KEY).update(encrypted).digest("hex"),
    createHash("sha256").update(encrypted).digest("hex"),
    createHash("sha512").update(plain).digest("hex"),
  ];
}

const PARTS = Array.from({ length: 100 }, (_, i) => randomBytes(i % 7 === 0 ? 1 : 131_072 - i));

describe("the passes over a layer", () => {
  it.each([
    [0, 0],
    [1, 1],
    [2, 2],
    [3, 3],
    [9, 3],
  ])("are right with up to %i threads, and start %i", async (count, started) => {
    expect(await run(PARTS, count)).toEqual(expected(PARTS));
    expect(seen.workers.length).toBe(started);
  });

  it.each([
    [1, 0],
    [2, 1],
    [4, 3],
    [64, 3],
  ])("use what is left of %i cores by default, %i threads", async (cores, started) => {
    seen.cores = cores;
    expect(await run(PARTS)).toEqual(expected(PARTS));
    expect(seen.workers.length).toBe(started);
  });

  it("are right for an empty layer", async () => {
    expect(await run([], 2)).toEqual(expected([]));
  });

  it("of many layers at once share the threads", async () => {
    const layers = Array.from({ length: 20 }, (_, i) => PARTS.slice(i, i + 40));
    const found = await Promise.all(layers.map((parts) => run(parts, 2)));
    expect(found).toEqual(layers.map(expected));
    expect(seen.workers.length).toBe(2);
  });

  it.each([
    ["short", LONG - 1],
    ["of unknown size", undefined],
  ])("stay here for a layer that is %s", async (_, size) => {
    expect(await passes.openPasses(size, 2)).toBe(passes.HERE);
    expect(seen.workers.length).toBe(0);
  });

  it("may end at any time, and others follow", async () => {
    for (let i = 0; i < 20; i++) {
      const open = await passes.openPasses(LONG, 2);
      const hash = open.hashCipher("sha256");
      for (const part of PARTS.slice(0, i)) {
        await open.room();
        hash.update(part);
      }
      open.close();
    }
    // Memory is free again only when the threads have read it.
    await vi.waitFor(
      async () => {
        const open = await passes.openPasses(LONG, 2);
        open.close();
        expect(open).not.toBe(passes.HERE);
      },
      { timeout: 60_000 },
    );
    expect(await run(PARTS, 2)).toEqual(expected(PARTS));
  });

  it("leave nothing in shared memory", async () => {
    await run(PARTS, 3);
    const [memory] = seen.memory;
    await vi.waitFor(
      () => {
        expect(Buffer.from(memory!).equals(Buffer.alloc(memory!.byteLength))).toBe(true);
      },
      { timeout: 60_000 },
    );
  });

  it("wipe the key in shared memory as soon as it was read", async () => {
    const open = await passes.openPasses(LONG, 1);
    const hmac = open.hmacCipher(createSecretKey(KEY));
    await hmac.digest();
    expect(Buffer.from(seen.memory[0]!).includes(KEY)).toBe(false);
    open.close();
  });

  it.each([-1, 1.5, 65, NaN])("reject %d threads", async (count) => {
    await expect(passes.openPasses(LONG, count)).rejects.toThrow(RangeError);
  });
});

describe("where threads fail", () => {
  // From Node.js 22 on, V8 ends the whole process if a thread has too little memory to start.
  const ENDS_PROCESS = Number(process.versions.node.split(".")[0]) >= 22;
  const FAULTS = [
    "refused",
    "missing",
    ...(ENDS_PROCESS ? [] : (["out of memory"] as const)),
  ] as const;
  it.each(FAULTS)("at the start (%s), everything runs on this thread", async (fault) => {
    seen.fault = fault;
    expect(await passes.openPasses(LONG, 2)).toBe(passes.HERE);
    expect(await run(PARTS, 2)).toEqual(expected(PARTS));
  });

  it("in the middle, the layer fails, and the next one has a new thread", async () => {
    const open = await passes.openPasses(LONG, 1);
    const hash = open.hashCipher("sha256");
    await seen.workers[0]!.terminate();
    const hashing = (async () => {
      for (const part of PARTS) {
        await open.room();
        hash.update(part);
      }
    })();
    // Of a class that was loaded anew.
    await expect(hashing).rejects.toMatchObject({ code: "THREAD_FAILED" });
    await expect(hash.digest()).rejects.toMatchObject({ code: "THREAD_FAILED" });
    open.close();
    expect(await run(PARTS, 1)).toEqual(expected(PARTS));
    expect(seen.workers.length).toBe(2);
  });
});
