import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, expect, it, vi } from "vitest";
import type { ArchiveEntry } from "../../../src/store/archive/tar-writer.js";
import { writeArchive } from "../../../src/store/archive/destination.js";
import { chunked } from "../../support/bytes.js";
import { temporaryDirectories } from "../../support/image.js";
import { watched } from "../../support/sources.js";

/** After how many writes the disk is full. */
const disk = vi.hoisted(() => ({ room: Infinity }));

vi.mock(import("node:fs/promises"), async (original) => {
  const files = await original();
  return {
    ...files,
    open: async (...args: Parameters<typeof files.open>) => {
      const handle = await files.open(...args);
      const write = handle.write.bind(handle) as (...args: unknown[]) => Promise<never>;
      handle.write = async (...bytes: unknown[]) => {
        if (disk.room-- <= 0) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
        return write(...bytes);
      };
      return handle;
    },
  };
});

const directory = temporaryDirectories();

const LARGE = Buffer.alloc(3_000_000, "large");

function entry(name: string, bytes: Uint8Array): ArchiveEntry {
  return { name, size: bytes.byteLength, content: chunked(bytes, 65_536) };
}

beforeEach(() => {
  disk.room = Infinity;
});

it.each([0, 1, 2, 10])("ends when the disk is full after %i writes", async (room) => {
  disk.room = room;
  const content = watched(
    Array.from({ length: 46 }, (_, i) => LARGE.subarray(i << 16, (i + 1) << 16)),
  );
  const entries = [entry("a", Buffer.from("small")), { name: "b", size: LARGE.length, content }];
  const writing = writeArchive(join(directory(), "x"), [...entries, entry("c", LARGE)]);
  await expect(writing).rejects.toThrow("no space");
  expect(content.pulled === 0 || content.closed).toBe(true);
});

it("ends when content fails", async () => {
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    yield LARGE;
    await Promise.reject(new Error("broken"));
  };
  const entries = [
    entry("a", LARGE),
    { name: "b", size: 2 * LARGE.byteLength, content: failing() },
    entry("c", LARGE),
  ];
  await expect(writeArchive(join(directory(), "x"), entries)).rejects.toThrow("broken");
});

it("ends when it is aborted", async () => {
  const abort = new AbortController();
  const reason = new Error("enough");
  const content = async function* (): AsyncGenerator<Uint8Array> {
    yield LARGE;
    abort.abort(reason);
    await Promise.resolve();
    for (;;) yield LARGE;
  };
  const entries = [{ name: "a", size: 2 ** 40, content: content() }];
  const writing = writeArchive(join(directory(), "x"), entries, { signal: abort.signal });
  await expect(writing).rejects.toBe(reason);
});

it.each([
  ["shorter", -1],
  ["longer", 1],
])("rejects content that is %s than its size", async (_, by) => {
  const wrong = { ...entry("a", LARGE), size: LARGE.byteLength + by };
  await expect(writeArchive(join(directory(), "x"), [wrong])).rejects.toThrow("Size mismatch");
});

it("writes what tar reads, with long names and any sizes", async () => {
  const file = join(directory(), "x");
  const names = ["index.json", `blobs/sha256/${"a".repeat(64)}`, `blobs/sha512/${"b".repeat(128)}`];
  const sizes = [0, 511, 1_000_000];
  const contents = sizes.map((size) => LARGE.subarray(0, size));
  await writeArchive(
    file,
    contents.map((content, i) => entry(names[i]!, content)),
  );
  const list = execFileSync("tar", ["--numeric-owner", "--utc", "-tvf", file], {
    encoding: "utf8",
  });
  expect(
    list
      .trimEnd()
      .split("\n")
      .map((line) => line.replace(/ +/g, " ")),
  ).toEqual(names.map((name, i) => `-rw-r--r-- 0/0 ${String(sizes[i])} 1970-01-01 00:00 ${name}`));
  for (const [i, name] of names.entries()) {
    const read = execFileSync("tar", ["-xOf", file, name], { maxBuffer: 1 << 24 });
    expect(read.equals(contents[i]!)).toBe(true);
  }
});

it("overwrites no file", async () => {
  const file = join(directory(), "x");
  await writeArchive(file, [entry("a", LARGE)]);
  const before = await readFile(file);
  await expect(writeArchive(file, [])).rejects.toThrow("EEXIST");
  expect((await readFile(file)).equals(before)).toBe(true);
});

it("keeps no content in memory", async () => {
  const chunk = Buffer.alloc(1 << 20);
  const content = watched(Array.from({ length: 64 }, () => chunk));
  disk.room = 5;
  const writing = writeArchive(join(directory(), "x"), [{ name: "a", size: 64 << 20, content }]);
  await expect(writing).rejects.toThrow("no space");
  expect(content.pulled).toBeLessThan(16);
});
