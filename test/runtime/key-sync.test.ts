import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { syncKeys, type KeySyncResult } from "../../src/runtime/key-sync.js";
import { temporaryDirectories } from "../support/image.js";

const newDirectory = temporaryDirectories();
let base: string;
let from: string;
let to: string;

beforeEach(() => {
  base = newDirectory();
  from = join(base, "from");
  to = join(base, "node", "keys");
  mkdirSync(from);
  mkdirSync(join(base, "node"));
});

const sync = (): Promise<KeySyncResult> =>
  syncKeys({ from, to, signal: new AbortController().signal });
const put = (name: string, text: string): void => {
  writeFileSync(join(from, name), text);
};
const filesOf = (directory: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(directory).map((name) => [name, readFileSync(join(directory, name), "utf8")]),
  );

/** Writes a volume as the kubelet does (kubernetes pkg/volume/util/atomic_writer.go). */
function mountSecret(version: string, files: Record<string, string>): void {
  mkdirSync(join(from, version));
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(from, version, name), text);
  }
  symlinkSync(version, join(from, "..data_tmp"));
  renameSync(join(from, "..data_tmp"), join(from, "..data"));
  for (const name of readdirSync(from)) {
    if (!name.startsWith(".") && !(name in files)) rmSync(join(from, name));
  }
  for (const name of Object.keys(files)) {
    if (!existsSync(join(from, name))) symlinkSync(join("..data", name), join(from, name));
  }
}

describe("a pass", () => {
  it("copies the files of a mounted Secret, and no links", async () => {
    mountSecret("..2026_1", { "a.pem": "A", "b.pem": "B" });
    expect(await sync()).toEqual({
      ...{ files: 2, added: ["a.pem", "b.pem"], changed: [], removed: [] },
    });
    expect(filesOf(to)).toEqual({ "a.pem": "A", "b.pem": "B" });
    for (const name of ["a.pem", "b.pem"]) {
      const stats = lstatSync(join(to, name));
      expect([stats.isFile(), stats.mode & 0o777]).toEqual([true, 0o600]);
    }
    expect(statSync(to).mode & 0o777).toBe(0o700);
  });

  it("waits for another pass to the same directory, which makes every copy only once", async () => {
    for (let i = 0; i < 20; i++) put(`key-${String(i)}`, String(i));
    const results = await Promise.all(Array.from({ length: 5 }, sync));
    expect(filesOf(to)).toEqual(filesOf(from));
    expect(results.flatMap(({ added }) => added).toSorted()).toEqual(readdirSync(from).toSorted());
    expect(readdirSync(join(base, "node", ".keys.ocicrypt-sync"))).toEqual(["copies.json"]);
  });

  it("follows the next version of a Secret", async () => {
    mountSecret("..2026_1", { "a.pem": "A", "b.pem": "B" });
    await sync();
    mountSecret("..2026_2", { "a.pem": "A2", "c.pem": "C" });
    expect(await sync()).toEqual({
      ...{ files: 2, added: ["c.pem"], changed: ["a.pem"], removed: ["b.pem"] },
    });
    expect(filesOf(to)).toEqual({ "a.pem": "A2", "c.pem": "C" });
  });

  it("changes nothing if nothing has changed", async () => {
    put("a.pem", "A");
    await sync();
    const before = statSync(join(to, "a.pem")).ino;
    expect(await sync()).toEqual({ files: 1, added: [], changed: [], removed: [] });
    expect(statSync(join(to, "a.pem")).ino).toBe(before);
  });

  it("skips subdirectories and names that start with a dot", async () => {
    put("a.pem", "A");
    put(".hidden", "H");
    mkdirSync(join(from, "sub"));
    writeFileSync(join(from, "sub", "b.pem"), "B");
    execFileSync("mkfifo", [join(from, "pipe")]);
    await sync();
    expect(readdirSync(to)).toEqual(["a.pem"]);
  });

  it("corrects the mode of a copy", async () => {
    put("a.pem", "A");
    await sync();
    chmodSync(join(to, "a.pem"), 0o644);
    expect((await sync()).changed).toEqual(["a.pem"]);
    expect(statSync(join(to, "a.pem")).mode & 0o777).toBe(0o600);
  });

  it("writes a removed copy again", async () => {
    put("a.pem", "A");
    await sync();
    rmSync(join(to, "a.pem"));
    expect((await sync()).added).toEqual(["a.pem"]);
  });

  it("removes all copies when the source is empty", async () => {
    put("a.pem", "A");
    await sync();
    rmSync(join(from, "a.pem"));
    expect((await sync()).removed).toEqual(["a.pem"]);
    expect(readdirSync(to)).toEqual([]);
  });

  it("keeps the copies when the source is missing", async () => {
    put("a.pem", "A");
    await sync();
    rmSync(from, { recursive: true });
    await expect(sync()).rejects.toThrow(expect.objectContaining({ code: "KEY_UNREADABLE" }));
    expect(readdirSync(to)).toEqual(["a.pem"]);
  });
});

describe("files of others in the keys directory", () => {
  it("are kept, whether or not they have the content of a source file", async () => {
    mkdirSync(to);
    writeFileSync(join(to, "own.pem"), "OWN");
    writeFileSync(join(to, "same.pem"), "SAME");
    put("a.pem", "A");
    put("same.pem", "SAME");
    await sync();
    for (const name of ["a.pem", "same.pem"]) rmSync(join(from, name));
    expect((await sync()).removed).toEqual(["a.pem"]);
    expect(filesOf(to)).toEqual({ "own.pem": "OWN", "same.pem": "SAME" });
  });

  it("are not replaced, and every other file is copied", async () => {
    mkdirSync(to);
    writeFileSync(join(to, "b.pem"), "OWN");
    symlinkSync("/etc/hostname", join(to, "c.pem"));
    mkdirSync(join(to, "d.pem"));
    for (const name of ["a.pem", "b.pem", "c.pem", "d.pem"]) put(name, name);
    const failure = { code: "KEY_SYNC_CONFLICT", message: expect.stringMatching(/: b.pem, c.pem, d.pem$/) as string }; // prettier-ignore
    await expect(sync()).rejects.toThrow(expect.objectContaining(failure));
    expect(readFileSync(join(to, "a.pem"), "utf8")).toBe("a.pem");
    expect(readFileSync(join(to, "b.pem"), "utf8")).toBe("OWN");
    expect(lstatSync(join(to, "c.pem")).isSymbolicLink()).toBe(true);
  });

  it("include copies that someone changed", async () => {
    put("a.pem", "A");
    await sync();
    writeFileSync(join(to, "a.pem"), "CHANGED");
    rmSync(join(from, "a.pem"));
    expect((await sync()).removed).toEqual([]);
    expect(filesOf(to)).toEqual({ "a.pem": "CHANGED" });
  });
});

describe("the list of copies", () => {
  const list = (): string => join(base, "node", ".keys.ocicrypt-sync", "copies.json");

  it("is beside the keys directory, and private", async () => {
    put("a.pem", "A");
    await sync();
    expect(readdirSync(join(base, "node"))).toEqual([".keys.ocicrypt-sync", "keys"]);
    expect(statSync(join(list(), "..")).mode & 0o777).toBe(0o700);
    expect(statSync(list()).mode & 0o777).toBe(0o600);
  });

  it.each([
    ["is not JSON", "{"],
    ["has no copies", "{}"],
    ["names a file elsewhere", '{"copies":{"../a":["0"]}}'],
    ["has no digests", '{"copies":{"a.pem":"A"}}'],
  ])("is rejected if it %s", async (_, content) => {
    put("a.pem", "A");
    await sync();
    writeFileSync(list(), content);
    rmSync(join(from, "a.pem"));
    await expect(sync()).rejects.toThrow(expect.objectContaining({ code: "KEY_SYNC_CONFLICT" }));
    expect(readdirSync(to)).toEqual(["a.pem"]);
  });

  it("lets the next pass finish one that was killed before or after it replaced a file", async () => {
    put("a.pem", "A");
    await sync();
    const before = JSON.parse(readFileSync(list(), "utf8")) as { copies: Record<string, string[]> };
    put("a.pem", "B");
    await sync();
    const after = JSON.parse(readFileSync(list(), "utf8")) as typeof before;
    const both = [...(before.copies["a.pem"] ?? []), ...(after.copies["a.pem"] ?? [])];
    writeFileSync(list(), JSON.stringify({ copies: { "a.pem": both } }));
    writeFileSync(join(list(), "..", "new-0123"), "left behind");
    for (const content of ["A", "B"]) {
      writeFileSync(join(to, "a.pem"), content);
      put("a.pem", "C");
      await sync();
      expect(filesOf(to)).toEqual({ "a.pem": "C" });
      writeFileSync(list(), JSON.stringify({ copies: { "a.pem": both } }));
    }
    expect(readdirSync(join(list(), ".."))).toEqual(["copies.json"]);
  });
});

describe("a source", () => {
  it("may not be the keys directory", async () => {
    to = from;
    await expect(sync()).rejects.toThrow(/is the keys directory itself/);
  });

  it.each([
    [
      "a file that is larger than any key",
      () => {
        put("a.pem", "A");
        truncateSync(join(from, "a.pem"), 2 * 1024 * 1024);
      },
      "KEY_UNRECOGNIZED",
    ],
    [
      "a link to nothing",
      () => {
        symlinkSync("nothing", join(from, "a.pem"));
      },
      "KEY_UNREADABLE",
    ],
    [
      "a loop of links",
      () => {
        symlinkSync("a.pem", join(from, "a.pem"));
      },
      "KEY_UNREADABLE",
    ],
    [
      "too many files",
      () => {
        for (let i = 0; i <= 2000; i++) put(String(i), "");
      },
      "KEY_UNREADABLE",
    ],
  ] as const)("with %s changes nothing", async (_, make, code) => {
    mkdirSync(to);
    make();
    await expect(sync()).rejects.toThrow(expect.objectContaining({ code }));
    expect(readdirSync(to)).toEqual([]);
  });
});
