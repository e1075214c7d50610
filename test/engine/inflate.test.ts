import { spawnSync } from "node:child_process";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { canInflate as nodeCanInflate, inflate as onNode } from "../../src/engine/node/inflate.js";
import { canInflate, inflate } from "../../src/engine/web/inflate.js";
import { collect } from "../support/bytes.js";
import { compress, TAR_ZSTD } from "../support/image.js";
import { inChunks } from "../support/tar.js";

const engines = [
  ["node", onNode],
  ["web", inflate],
] as const;

const damaged = (cause: unknown): Error => new Error("damaged", { cause });

function noise(size: number): Buffer {
  let state = 1;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24;
  return Buffer.from(Array.from({ length: size }, next));
}

const TEXT = Buffer.from("some content\n".repeat(50));
const NOISE = noise(70_000);
const LONG = Buffer.alloc(600_000, "a");

function changed(bytes: Buffer, fromEnd: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length - fromEnd] = (copy.at(-fromEnd) ?? 0) ^ 1;
  return copy;
}

/** RFC 1952 section 2.3: with an extra field, a name, a comment and the CRC of the header missing. */
function withHeaderFields(bytes: Buffer): Buffer {
  const head = Buffer.from(bytes.subarray(0, 10));
  head[3] = 0x04 | 0x08 | 0x10;
  return Buffer.concat([
    head,
    Buffer.from("\x03\0abcname\0comment\0", "latin1"),
    bytes.subarray(10),
  ]);
}

const gzip = gzipSync(TEXT);

/** Each file with its content; `undefined` for a file that must fail. */
const FILES: Readonly<Record<string, readonly [bytes: Buffer, content: Buffer | undefined]>> = {
  "one member": [gzip, TEXT],
  "noise, which is stored": [gzipSync(NOISE), NOISE],
  "more than one buffer of output": [gzipSync(LONG), LONG],
  "several members": [
    Buffer.concat([gzip, gzipSync(NOISE), gzipSync(LONG)]),
    Buffer.concat([TEXT, NOISE, LONG]),
  ],
  "an empty member": [gzipSync(""), Buffer.alloc(0)],
  "a last member that is empty, as in eStargz": [Buffer.concat([gzip, gzipSync("")]), TEXT],
  "a header with all fields": [withHeaderFields(gzip), TEXT],
  "zeros at the end": [Buffer.concat([gzip, Buffer.alloc(1000)]), TEXT],
  "one zero at the end": [Buffer.concat([gzip, Buffer.alloc(1)]), TEXT],
  "a member of noise and zeros": [Buffer.concat([gzipSync(NOISE), Buffer.alloc(512)]), NOISE],
  "garbage at the end": [Buffer.concat([gzip, Buffer.from("garbage")]), undefined],
  "half a magic number at the end": [Buffer.concat([gzip, Buffer.of(0x1f)]), undefined],
  "a header at the end": [Buffer.concat([gzip, gzip.subarray(0, 10)]), undefined],
  "a wrong CRC": [changed(gzip, 8), undefined],
  "a wrong length": [changed(gzip, 1), undefined],
  "a wrong CRC in the second member": [Buffer.concat([gzip, changed(gzip, 8)]), undefined],
  "damaged blocks": [changed(gzipSync(NOISE), 5000), undefined],
  "a cut trailer": [gzip.subarray(0, -1), undefined],
  "a missing trailer": [gzip.subarray(0, -8), undefined],
  "a cut block": [gzip.subarray(0, -20), undefined],
  "a cut header": [gzip.subarray(0, 5), undefined],
  "an unknown method": [
    Buffer.concat([gzip.subarray(0, 2), Buffer.of(7), gzip.subarray(3)]),
    undefined,
  ],
  nothing: [Buffer.alloc(0), undefined],
  "no gzip": [TEXT, undefined],
};

/** In bytes; 0 for chunks that end with each member, as with `gzip` of 43 bytes. */
const CHUNKS = [
  1,
  2,
  7,
  9,
  10,
  11,
  100,
  gzip.length - 1,
  gzip.length,
  gzip.length + 1,
  65_536,
  1e9,
];

describe.for(engines)("inflate of the engine for %s", ([, inflated]) => {
  it.for(Object.entries(FILES))(
    "reads gzip with %s in any chunks",
    async ([, [bytes, content]]) => {
      for (const size of bytes.length > 10_000 ? CHUNKS.filter((each) => each > 6) : CHUNKS) {
        const read = collect(inflated(inChunks(bytes, size), "gzip", damaged));
        if (content === undefined)
          await expect(read, `chunks of ${String(size)}`).rejects.toThrow("damaged");
        else expect((await read).equals(content), `chunks of ${String(size)}`).toBe(true);
      }
    },
  );

  it("passes on an error of its source, and closes it when its consumer stops", async () => {
    let closed = 0;
    async function* source(fails: boolean): AsyncGenerator<Uint8Array> {
      try {
        yield await Promise.resolve(gzipSync(NOISE).subarray(0, 1000));
        if (fails) throw new Error("broken off");
        for (;;) yield await Promise.resolve(gzipSync(NOISE));
      } finally {
        closed++;
      }
    }
    await expect(collect(inflated(source(true), "gzip", damaged))).rejects.toThrow("broken off");
    const endless = (async function* () {
      for (;;) yield await Promise.resolve(gzipSync(LONG));
    })();
    for await (const chunk of inflated(endless, "gzip", damaged)) if (chunk.length > 0) break;
    expect(await endless.next()).toEqual({ done: true, value: undefined });
    expect(closed).toBe(1);
  });

  it("never holds more than a few buffers of what a bomb unpacks to", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
    let total = 0;
    let longest = 0;
    for await (const { byteLength } of inflated(inChunks(bomb, bomb.length), "gzip", damaged)) {
      total += byteLength;
      longest = Math.max(longest, byteLength);
    }
    expect([total, longest]).toEqual([64 * 1024 * 1024, 256 * 1024]);
  });
});

it("zstd is for the Node.js versions that have it", async () => {
  expect([canInflate("gzip"), nodeCanInflate("gzip"), canInflate("zstd")]).toEqual([
    true,
    true,
    false,
  ]);
  expect(nodeCanInflate("zstd")).toBe("createZstdDecompress" in (await import("node:zlib")));
});

describe.runIf(nodeCanInflate("zstd"))("the engine for Node.js reads zstd", () => {
  const onZstd = (bytes: Buffer, size: number): Promise<Buffer> =>
    collect(onNode(inChunks(bytes, size), "zstd", damaged));
  // RFC 8878 section 3.1.2: four bytes to skip, and none.
  const SKIPPED = Buffer.from("502a4d1804000000010203045f2a4d1800000000", "hex");
  const TWO = Buffer.concat([compress(TEXT, TAR_ZSTD), compress(NOISE, TAR_ZSTD)]);

  it.each([1, 7, 1000, 1_000_000])("of several frames, in chunks of %i bytes", async (size) => {
    expect((await onZstd(TWO, size)).equals(Buffer.concat([TEXT, NOISE]))).toBe(true);
    const skipped = Buffer.concat([SKIPPED, TWO, SKIPPED, TWO, SKIPPED]);
    const twice = Buffer.concat([TEXT, NOISE, TEXT, NOISE]);
    expect((await onZstd(skipped, size)).equals(twice)).toBe(true);
    const long = await onZstd(compress(LONG, TAR_ZSTD), size);
    expect(long.equals(LONG)).toBe(true);
  });

  it("as the program zstd writes it, with and without checksums and sizes", async () => {
    for (const options of [["-1"], ["-19", "--no-check"], ["--no-content-size"], ["-1", "--long=27"]]) {
      for (const content of [TEXT, NOISE, LONG, Buffer.alloc(0)]) {
        const written = spawnSync("zstd", ["-q", "-c", ...options], { input: content });
        expect(written.status).toBe(0);
        expect((await onZstd(written.stdout, 1000)).equals(content)).toBe(true);
      }
    }
  }); // prettier-ignore

  it.each([
    ["cut", TWO.subarray(0, -1)],
    ["cut in its first frame", TWO.subarray(0, 20)],
    ["cut in a header", TWO.subarray(0, 5)],
    ["with a cut frame to skip", SKIPPED.subarray(0, 10)],
    ["with other bytes after it", Buffer.concat([TWO, Buffer.from("garbage")])],
    ["with zeros after it", Buffer.concat([TWO, Buffer.alloc(8)])],
  ])("not if it is %s", async (_, bytes) => {
    for (const size of [7, 1_000_000]) {
      await expect(onZstd(bytes, size)).rejects.toThrow("damaged");
    }
  });
});
