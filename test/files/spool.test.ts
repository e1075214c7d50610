import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createSpool } from "../../src/files/spool.js";
import { collect } from "../support/bytes.js";
import { temporaryDirectories } from "../support/image.js";
import { inChunks } from "../support/tar.js";

const directory = temporaryDirectories();
let temporary = "";
beforeEach(() => {
  temporary = mkdtempSync(join(directory(), "tmp-"));
  vi.stubEnv("TMPDIR", temporary);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const bytes = (length: number, value: number): Buffer => Buffer.alloc(length, value);

/** The open files of this process in the directory for temporary files. */
function openFiles(): string[] {
  const all = readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
  return all.filter((path) => path.startsWith(temporary));
}

describe("a spool", () => {
  it("returns each content any number of times", async () => {
    const spool = createSpool(1000);
    const contents = [bytes(400, 1), bytes(5000, 2), bytes(0, 0), bytes(500, 3), bytes(700_000, 4)];
    const stored = [];
    for (const content of contents) stored.push(await spool.add(inChunks(content, 300)));
    for (let i = 0; i < 2; i++) {
      for (const [j, each] of stored.entries()) {
        expect((await collect(each.read())).equals(contents[j] ?? Buffer.alloc(0))).toBe(true);
      }
    }
    await spool.clear();
  });

  it("returns any part of a content", async () => {
    const content = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 251));
    for (const inMemory of [10, 5000]) {
      const spool = createSpool(inMemory);
      await spool.add(inChunks(bytes(77, 9), 30));
      const stored = await spool.add(inChunks(content, 64));
      for (const [start, end] of [
        [0, 0],
        [0, 1000],
        [63, 65],
        [64, 128],
        [999, 2000],
        [1500, 2000],
      ]) {
        // prettier-ignore
        const part = await collect(stored.read(start, end));
        expect(part.equals(content.subarray(start, end))).toBe(true);
      }
      await spool.clear();
    }
  });

  it("copies what it holds in memory", async () => {
    const spool = createSpool();
    const reused = Buffer.from("first");
    const content = await spool.add(
      (async function* () {
        yield await Promise.resolve(reused);
        reused.write("other");
        yield reused;
      })(),
    );
    expect((await collect(content.read())).toString()).toBe("firstother");
    expect(readdirSync(temporary)).toEqual([]);
  });

  it.runIf(process.platform === "linux")(
    "has a file without a name that only this user can read",
    async () => {
      const spool = createSpool(10);
      const modes: number[] = [];
      const stored = await spool.add(inChunks(bytes(2_000_000, 7), 65_536));
      expect(readdirSync(temporary)).toEqual([]);
      const [file = ""] = openFiles();
      expect(file).toMatch(/\/ocicrypt-\w+\/content \(deleted\)$/);
      const fd = readdirSync("/proc/self/fd").find((each) => {
        try {
          return readlinkSync(`/proc/self/fd/${each}`) === file;
        } catch {
          return false;
        }
      });
      const pid = String(process.pid);
      const mode = execFileSync("stat", ["-L", "-c", "%a", `/proc/${pid}/fd/${fd ?? ""}`]);
      modes.push(Number(mode));
      expect(modes).toEqual([600]);
      expect(readFileSync(`/proc/self/fd/${fd ?? ""}`).length).toBe(2_000_000);
      expect((await collect(stored.read())).length).toBe(2_000_000);
      await spool.clear();
      expect(openFiles()).toEqual([]);
    },
  );

  it("can be used again after it was cleared", async () => {
    const spool = createSpool(10);
    await spool.add(inChunks(bytes(100, 1), 30));
    await spool.clear();
    const stored = await spool.add(inChunks(bytes(100, 2), 30));
    expect((await collect(stored.read())).equals(bytes(100, 2))).toBe(true);
    await spool.clear();
    await spool.clear();
  });

  it("keeps earlier content if later content fails", async () => {
    const spool = createSpool(10);
    const first = await spool.add(inChunks(bytes(100, 1), 30));
    await expect(
      spool.add(
        (async function* () {
          yield await Promise.resolve(bytes(50, 9));
          throw new Error("broken off");
        })(),
      ),
    ).rejects.toThrow("broken off");
    const last = await spool.add(inChunks(bytes(100, 3), 30));
    expect((await collect(first.read())).equals(bytes(100, 1))).toBe(true);
    expect((await collect(last.read())).equals(bytes(100, 3))).toBe(true);
    await spool.clear();
  });

  it("names the place where it cannot write", async () => {
    vi.stubEnv("TMPDIR", join(temporary, "missing"));
    const adding = createSpool(10).add(inChunks(bytes(100, 1), 30));
    await expect(adding).rejects.toMatchObject({ code: "DESTINATION_UNWRITABLE" });
    await expect(adding).rejects.toThrow(/a copy of the layers in .*missing/);
  });

  it.runIf(process.platform === "linux")("says that the disk is full", async ({ skip }) => {
    const mount = join(temporary, "small");
    try {
      execFileSync("sh", ["-c", `mkdir ${mount} && mount -t tmpfs -o size=1m tmpfs ${mount}`], { stdio: "ignore" }); // prettier-ignore
    } catch {
      skip("no file system can be mounted");
    }
    try {
      vi.stubEnv("TMPDIR", mount);
      const spool = createSpool(10);
      const adding = spool.add(inChunks(bytes(3_000_000, 1), 65_536));
      await expect(adding).rejects.toMatchObject({ code: "DESTINATION_FULL" });
      await spool.clear();
    } finally {
      execFileSync("umount", ["-l", mount]);
    }
  });
});
