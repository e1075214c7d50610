import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { chmod, open, readdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { giveBuffer, takeBuffer } from "../../src/io/buffers.js";
import { writeBehind } from "../../src/io/buffers.js";
import { readChunks, readRange, replaceFile, writeContent } from "../../src/io/files.js";
import { expectCode } from "../support/codes.js";

const directory = mkdtempSync(join(tmpdir(), "files-"));
afterAll(() => {
  rmSync(directory, { recursive: true });
});
let files = 0;
const newFile = (): string => join(directory, String(files++));

async function* overwriting(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  const memory = new Uint8Array(size);
  for (let start = 0; start < bytes.byteLength; start += size) {
    const part = bytes.subarray(start, start + size);
    memory.set(part);
    yield memory.subarray(0, part.byteLength);
    await Promise.resolve();
    memory.fill(0xff);
  }
}

describe("writeContent", () => {
  const bytes = randomBytes(3_000_000);

  it.each([1_000, 65_536, 524_288, 524_289, 2_900_000])(
    "writes content that overwrites its memory after each %i bytes",
    async (size) => {
      const file = newFile();
      const written = await writeContent(file, overwriting(bytes, size), "there", { flush: false });
      expect(written).toBe(bytes.byteLength);
      expect((await readFile(file)).equals(bytes)).toBe(true);
    },
  );

  it("writes content of single bytes, and empty content", async () => {
    for (const content of [bytes.subarray(0, 5000), new Uint8Array()]) {
      const file = newFile();
      await writeContent(file, overwriting(content, 1), "there", { flush: true });
      expect((await readFile(file)).equals(content)).toBe(true);
    }
  });

  it("fails with the error of the content, once earlier writes have ended", async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield* overwriting(bytes, 500_000);
      throw new RangeError("enough");
    }
    const content = writeContent(newFile(), failing(), "there", { flush: false });
    await expect(content).rejects.toThrow(new RangeError("enough"));
  });

  it("fails with the error of a write that was still running", async () => {
    let chunks = 0;
    async function* counted(): AsyncGenerator<Uint8Array> {
      for await (const chunk of overwriting(Buffer.alloc(100_000_000), 1_000_000)) {
        chunks++;
        yield chunk;
      }
    }
    const file = newFile();
    await writeFile(file, "");
    const readOnly = await open(file, "r");
    const writer = writeBehind(readOnly);
    const writing = (async () => {
      for await (const chunk of counted()) await writer.write(chunk);
      await writer.finish();
    })();
    await expect(writing).rejects.toThrow(/EBADF/);
    await writer.close();
    await readOnly.close();
    expect(chunks).toBeLessThan(20);
  });

  it("does not overwrite an existing file", async () => {
    const file = newFile();
    await writeFile(file, "before");
    await expectCode(
      writeContent(file, overwriting(bytes, 1000), "there", { flush: false }),
      "DESTINATION_UNWRITABLE",
    );
    expect(await readFile(file, "utf8")).toBe("before");
  });
});

describe("reading a file", () => {
  const bytes = randomBytes(2_000_000);

  it("gives each chunk memory of its own", async () => {
    const file = newFile();
    await writeFile(file, bytes);
    const chunks: Uint8Array[] = [];
    for await (const chunk of readChunks(file)) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
  });

  it.each([
    [0, 2_000_000],
    [524_287, 524_289],
    [1_999_999, Infinity],
    [5, 5],
    [2_500_000, Infinity],
  ])("gives the bytes from %i up to %i", async (start, end) => {
    const file = newFile();
    await writeFile(file, bytes);
    const handle = await open(file);
    const chunks: Uint8Array[] = [];
    for await (const chunk of readRange(handle, start, end)) chunks.push(chunk);
    await handle.close();
    expect(Buffer.concat(chunks).equals(bytes.subarray(start, end))).toBe(true);
  });

  it("ends at the new end of a file that is truncated meanwhile", async () => {
    const file = newFile();
    await writeFile(file, bytes);
    let size = 0;
    for await (const chunk of readChunks(file)) {
      if (size === 0) await truncate(file, 1_200_000);
      size += chunk.byteLength;
    }
    // The chunk that was being read at that time may be complete.
    expect(size).toBeGreaterThanOrEqual(1_048_576);
    expect(size).toBeLessThanOrEqual(1_200_000);
  });

  it("may end early, while the next chunk is being read", async () => {
    const file = newFile();
    await writeFile(file, bytes);
    const handle = await open(file);
    for await (const chunk of readRange(handle, 0, Infinity)) {
      expect(chunk.byteLength).toBeGreaterThan(0);
      break;
    }
    await expect(handle.close()).resolves.toBeUndefined();
  });
});

describe("replaceFile", () => {
  it("makes a private file, whatever the mode of the old one", async () => {
    const file = newFile();
    for (const content of ["old", "new"]) {
      await replaceFile(file, `${file}.staged`, content);
      expect(await readFile(file, "utf8")).toBe(content);
      expect((await stat(file)).mode & 0o777).toBe(0o600);
      await chmod(file, 0o644);
    }
  });

  it("leaves nothing behind if it fails", async () => {
    const parent = newFile();
    mkdirSync(join(parent, "directory"), { recursive: true });
    const failing = replaceFile(join(parent, "directory"), join(parent, "staged"), "secret");
    await expect(failing).rejects.toThrow("EISDIR");
    expect(await readdir(parent)).toEqual(["directory"]);
  });
});

it("wipes memory before it is used again", () => {
  const buffer = takeBuffer(1234).fill(7);
  giveBuffer(buffer);
  const again = takeBuffer(1234);
  expect(again.buffer).toBe(buffer.buffer);
  expect(again.every((byte) => byte === 0)).toBe(true);
  expect(takeBuffer(1234).buffer).not.toBe(buffer.buffer);
});
