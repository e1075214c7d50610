import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readTar } from "../../src/files/tar-reader.js";
import { expectCode } from "../support/codes.js";
import { unavailable } from "../support/environment.js";
import { temporaryDirectories } from "../support/image.js";
import { collect } from "../support/bytes.js";
import { archive, END, inChunks, packWith, pax, rawEntry, rawHeader, readAll } from "../support/tar.js"; // prettier-ignore

const directory = temporaryDirectories();

/** Every kind of file that needs no privilege, with names and contents of many lengths. */
function sample(): string {
  const root = directory();
  mkdirSync(join(root, "dir/sub"), { recursive: true });
  writeFileSync(join(root, "empty"), "");
  writeFileSync(join(root, "block"), Buffer.alloc(512, 1));
  writeFileSync(join(root, "dir/file"), Buffer.alloc(70_001, 2), { mode: 0o640 });
  writeFileSync(join(root, "dir", "n".repeat(150)), "long name");
  mkdirSync(join(root, "d".repeat(90), "e".repeat(90)), { recursive: true });
  writeFileSync(join(root, "d".repeat(90), "e".repeat(90), "f"), "long path");
  writeFileSync(join(root, "grüße"), "name in UTF-8");
  writeFileSync(Buffer.from(`${root}/latin-\xe9`, "latin1"), "name in Latin-1");
  symlinkSync("dir/file", join(root, "link"));
  symlinkSync("t".repeat(200), join(root, "long-link"));
  linkSync(join(root, "block"), join(root, "hard"));
  execFileSync("mkfifo", [join(root, "fifo")]);
  utimesSync(join(root, "empty"), 1_700_000_000.5, 1_700_000_000.5);
  return root;
}

const FORMATS = [
  ["tar", "--format=v7"],
  ["tar", "--format=oldgnu"],
  ["tar", "--format=gnu"],
  ["tar", "--format=ustar"],
  ["tar", "--format=posix"],
  ["bsdtar", "--format=ustar"],
  ["bsdtar", "--format=pax"],
  ["bsdtar", "--format=gnutar"],
  ["busybox", "tar"],
] as const;

describe("archives of other programs", () => {
  it.for(FORMATS)("%s %s", async ([program, ...args], { skip }) => {
    const root = sample();
    const isShort = args[0] === "--format=v7" || args[0] === "--format=ustar";
    // These formats have no place for the longest names.
    const excluded = ["n".repeat(150), "long-link"].map((name) => `--exclude=${name}`);
    const more = isShort ? [...excluded, ...(args[0] === "--format=v7" ? ["--exclude=fifo", `--exclude=${"d".repeat(90)}`] : [])] : []; // prettier-ignore
    let bytes: Buffer;
    try {
      const isBusybox = program === "busybox";
      const all = isBusybox ? ["tar"] : [...args, ...more];
      bytes = packWith(program, root, ...all);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      unavailable(skip, `${program} is not installed`);
    }
    const entries = await readAll(bytes);
    // GNU tar's own reading of the archive; sorted, because a reader's order is that of the archive.
    const listed = execFileSync("tar", ["--quoting-style=literal", "-tf", "-"], { input: bytes });
    expect(entries.map(({ name }) => name)).toEqual(
      listed.toString("latin1").trimEnd().split("\n"),
    );
    const byName = new Map(entries.map((entry) => [entry.name.replace(/^\.\//, ""), entry]));
    expect(byName.get("dir/file")).toMatchObject({ type: "file", mode: 0o640, size: 70_001 });
    expect(byName.get("dir/file")?.content).toEqual(Buffer.alloc(70_001, 2));
    expect(byName.get("latin-\xe9")?.content.toString()).toBe("name in Latin-1");
    expect(byName.get(Buffer.from("grüße").toString("latin1"))?.size).toBe(13);
    expect(byName.get("link")).toMatchObject({ type: "symlink", target: "dir/file", size: 0 });
    expect(byName.get("dir/")).toMatchObject({ type: "directory" });
    const [link] = ["block", "hard"].flatMap((name) => {
      const entry = byName.get(name);
      return entry?.type === "link" ? [entry.target.replace(/^\.\//, "")] : [];
    });
    expect(["block", "hard"]).toContain(link);
    if (!isShort) {
      expect(byName.get(`dir/${"n".repeat(150)}`)?.content.toString()).toBe("long name");
      expect(byName.get("long-link")?.target).toBe("t".repeat(200));
    }
    if (args[0] !== "--format=v7") {
      expect(byName.get("fifo")).toMatchObject({ type: "fifo" });
      expect(byName.get(`${"d".repeat(90)}/${"e".repeat(90)}/f`)?.content.toString()).toBe("long path"); // prettier-ignore
    }
    const isPax = args[0] === "--format=posix" || args[0] === "--format=pax";
    expect(byName.get("empty")?.mtime).toBe(isPax ? "1700000000.5" : "1700000000");
  });

  it("reads devices, large numbers and extended attributes of GNU tar", async () => {
    const root = directory();
    writeFileSync(join(root, "a"), "");
    const binary = Buffer.from([1, 0, 0, 2, 0xff, 0x0a, 0x3d, 0]);
    const plain = packWith("tar", root, "--format=posix", "--owner=:4000000", "--group=:3000000");
    expect(await readAll(plain)).toMatchObject([{}, { uid: 4_000_000, gid: 3_000_000 }]);
    const gnu = packWith("tar", root, "--format=gnu", "--owner=:4000000", "--mtime=@-86400");
    expect(await readAll(gnu)).toMatchObject([{}, { uid: 4_000_000, mtime: "-86400" }]);
    const entries = await readAll(
      archive(
        pax([
          ["SCHILY.xattr.security.capability", binary],
          ["comment", "x"],
        ]),
        rawEntry({ name: "ping" }),
        rawEntry({ name: "null", type: "3", devmajor: 1, devminor: 3 }),
        rawEntry({ name: "sda", type: "4", devmajor: 8, devminor: 0 }),
      ),
    );
    expect(entries[0]?.xattrs).toEqual(new Map([["security.capability", new Uint8Array(binary)]]));
    expect(entries[1]).toMatchObject({ type: "character-device", device: { major: 1, minor: 3 } });
    expect(entries[2]).toMatchObject({ type: "block-device", device: { major: 8, minor: 0 } });
    expect(entries[2]?.xattrs).toBeUndefined();
  });

  it.for(["--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0", "--format=gnu"])(
    "sparse files of GNU tar with %s",
    async (version) => {
      const root = directory();
      const file = join(root, "sparse");
      // More holes than a header of the old format has places for.
      const content = Buffer.alloc(3_000_000);
      for (let i = 0; i < 30; i++) content.fill(`part ${String(i)}`, 90_000 * i, 90_000 * i + 4096);
      writeFileSync(file, "");
      truncateSync(file, content.length);
      for (let i = 0; i < 30; i++) {
        const at = 90_112 * i;
        execFileSync("dd", [`of=${file}`, "bs=4096", "count=1", "conv=notrunc", `seek=${String(at / 4096)}`, "status=none"], { input: Buffer.alloc(4096, 65 + i) }); // prettier-ignore
      }
      const expected = execFileSync("cat", [file], { maxBuffer: 4_000_000 });
      const format = version.startsWith("--format") ? [] : ["--format=posix"];
      const bytes = packWith("tar", root, ...format, version, "--sparse");
      expect(bytes.length).toBeLessThan(200_000);
      const entry = (await readAll(bytes)).find(({ type }) => type === "file");
      expect(entry).toMatchObject({ name: "./sparse", size: 3_000_000 });
      expect(entry?.content.equals(expected)).toBe(true);
    },
  );
});

describe("archives made by hand", () => {
  it("reads the same in chunks of any size", async () => {
    const bytes = archive(
      pax([
        ["path", "p".repeat(300)],
        ["size", "5"],
      ]),
      rawEntry({ size: 0 }, "").subarray(0, 512),
      Buffer.concat([Buffer.from("hello"), Buffer.alloc(507)]),
      rawEntry({ name: "second" }, "x".repeat(1000)),
    );
    const whole = await readAll(bytes, bytes.length);
    expect(whole.map(({ content }) => content.toString())).toEqual(["hello", "x".repeat(1000)]);
    for (const size of [1, 7, 511, 512, 513]) {
      expect(await readAll(bytes, size)).toEqual(
        whole.map((entry) => ({ ...entry, content: entry.content, skip: expect.anything() as unknown })), // prettier-ignore
      );
    }
  });

  it.for<[string, Buffer]>([
    ["nothing", Buffer.alloc(0)],
    ["no end", rawEntry({ name: "a" }, "x")],
    ["half an end", Buffer.concat([rawEntry({ name: "a" }, "x"), Buffer.alloc(512)])],
    ["something behind the end", archive(rawEntry({ name: "a" }, "x"), END, Buffer.from("junk"))],
    ["a global header", archive(pax([["path", "b"], ["comment", "c"]], "g"), rawEntry({ name: "a" }, "x"))], // prettier-ignore
    ["a checksum of signed bytes", archive(signed(), rawEntry({ name: "a" }, "x").subarray(512))],
    ["a header of version 7", archive(rawEntry({ name: "a", format: "v7", mode: Buffer.from(" 644 \0") }, "x"))], // prettier-ignore
  ])("accepts an archive with %s, as Go does", async ([, bytes]) => {
    const entries = await readAll(bytes);
    expect(entries.map(({ content }) => content.toString())).toEqual(bytes.length > 0 ? ["x"] : []);
  });

  it("prefers GNU's long names to pax records, and the last extended header to others", async () => {
    const long = (type: string, name: string): Buffer => rawEntry({ type, name: "././@LongLink" }, `${name}\0`); // prettier-ignore
    const [a, b] = await readAll(
      archive(
        ...[
          pax([
            ["path", "first"],
            ["uid", "7"],
          ]),
          pax([["path", "last"]]),
          rawEntry({ name: "a" }),
        ],
        ...[
          long("L", "long"),
          long("K", "target"),
          pax([
            ["path", "no"],
            ["linkpath", "no"],
          ]),
        ],
        rawEntry({ name: "b", type: "2" }),
      ),
    );
    expect(a).toMatchObject({ name: "last", uid: 0 });
    expect(b).toMatchObject({ name: "long", target: "target" });
  });

  it("has no content for links, even if they have a size", async () => {
    const entries = await readAll(
      archive(rawHeader({ name: "l", type: "1", size: 600, target: "a" }), rawEntry({ name: "b" })),
    );
    expect(entries.map(({ name, size }) => [name, size])).toEqual([["l", 0], ["b", 0]]); // prettier-ignore
  });

  it("reads a directory of version 7 and a name with a prefix", async () => {
    const entries = await readAll(
      archive(rawEntry({ name: "d/", format: "v7" }), rawEntry({ name: "n", prefix: "p/q" })),
    );
    expect(entries).toMatchObject([{ type: "directory" }, { name: "p/q/n" }]);
  });

  it("stops reading when its consumer does", async () => {
    let isClosed = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield await Promise.resolve(rawEntry({ name: "a" }, "x"));
      } finally {
        isClosed = true;
      }
    }
    for await (const { name } of readTar(source(), "layer 0")) if (name === "a") break;
    expect(isClosed).toBe(true);
  });

  it("reads content only once", async () => {
    for await (const entry of readTar(inChunks(archive(rawEntry({}, "x")), 512), "layer 0")) {
      expect((await collect(entry.content())).toString()).toBe("x");
      await expect(collect(entry.content())).rejects.toThrow(TypeError);
    }
  });
});

/** A header with a byte above 127 in its name, and the sum of signed bytes. */
function signed(): Buffer {
  const header = rawHeader({ name: Buffer.from([0x61, 0, 0xff]), size: 1 });
  const sum = Number.parseInt(header.toString("latin1", 148, 154), 8) - 256;
  header.write(sum.toString(8).padStart(6, "0"), 148, "latin1");
  return header;
}

const MIB = 1024 * 1024;
const OLD = { name: "s", type: "S", format: "gnu" } as const;
const octal = (value: number): string => `${value.toString(8).padStart(11, "0")}\0`;

describe("is rejected as LAYER_UNREADABLE:", () => {
  it.for<[string, Buffer]>([
    ["text", Buffer.from("text\n".repeat(200))],
    ["a wrong checksum", archive(rawEntry({ checksumError: 1 }))],
    ["a truncated header", rawEntry({}).subarray(0, 100)],
    ["truncated content", rawEntry({}, "x".repeat(600)).subarray(0, 1000)],
    ["truncated padding", rawEntry({}, "x").subarray(0, 600)],
    ["a lone empty block", Buffer.concat([Buffer.alloc(512), rawEntry({})])],
    ["an unknown type", archive(rawEntry({ type: "M" }))],
    ["a negative size", archive(rawHeader({ size: Buffer.alloc(12, 0xff) }))],
    ["a size above 2^53", archive(rawHeader({ size: Buffer.from("80000000ffffffffffffffff", "hex") }))], // prettier-ignore
    ["a size that is no number", archive(rawHeader({ size: Buffer.from("99999999999\0") }))],
    ["a file of more than 1 TiB", archive(pax([["size", String(1024 ** 4 + 1)]]), rawHeader({}))],
    ["a pax header above 1 MiB", archive(rawEntry({ type: "x" }, Buffer.alloc(MIB + 1)))],
    ["a pax header that claims 8 GiB", archive(rawHeader({ type: "x", size: 8 * 1024 ** 3 - 1 }))],
    ["a long name above 4096 bytes", archive(rawEntry({ type: "L" }, "n".repeat(4097)), rawEntry({}))], // prettier-ignore
    ["a pax path above 4096 bytes", archive(pax([["path", "n".repeat(4097)]]), rawEntry({}))],
    ["a pax path with NUL", archive(pax([["path", "a\0b"]]), rawEntry({}))],
    ["a pax target with NUL", archive(pax([["linkpath", "a\0b"]]), rawEntry({}))],
    ["a damaged pax record", archive(rawEntry({ type: "x" }, "99 path=x\n"), rawEntry({}))],
    ["a pax size in letters", archive(pax([["size", "0x10"]]), rawEntry({}))],
    ["a negative pax uid", archive(pax([["uid", "-1"]]), rawEntry({}))],
    ["a pax time in letters", archive(pax([["mtime", "now"]]), rawEntry({}))],
    ["endless extended headers", archive(...Array.from({ length: 101 }, () => pax([["uid", "1"]])), rawEntry({}))], // prettier-ignore
    ["sparse parts that overlap", archive(pax([["GNU.sparse.map", "0,4,2,4"], ["GNU.sparse.size", "9"]]), rawEntry({}, "12345678"))], // prettier-ignore
    ["sparse parts behind the end", archive(pax([["GNU.sparse.map", "8,4"], ["GNU.sparse.size", "9"]]), rawEntry({}, "1234"))], // prettier-ignore
    ["sparse parts of another length", archive(pax([["GNU.sparse.map", "0,5"], ["GNU.sparse.size", "9"]]), rawEntry({}, "1234"))], // prettier-ignore
    ["half a sparse part", archive(pax([["GNU.sparse.map", "0,4,5"], ["GNU.sparse.size", "9"]]), rawEntry({}, "1234"))], // prettier-ignore
    ["a sparse length without an offset", archive(pax([["GNU.sparse.numbytes", "4"]]), rawEntry({}, "1234"))], // prettier-ignore
    ["a sparse file without a size", archive(pax([["GNU.sparse.map", "0,4"]]), rawEntry({}, "1234"))], // prettier-ignore
    ["a sparse map of letters in the content", archive(pax([["GNU.sparse.major", "1"], ["GNU.sparse.realsize", "9"]]), rawEntry({}, "x\n"))], // prettier-ignore
    ["an endless sparse map in the content", archive(pax([["GNU.sparse.major", "1"], ["GNU.sparse.realsize", "9"]]), rawEntry({}, `999999\n${"0\n".repeat(MIB)}`))], // prettier-ignore
    ["an old sparse file of another length", archive(rawEntry({ ...OLD, patch: { 386: octal(0), 398: octal(9), 483: octal(9) } }, "1234"))], // prettier-ignore
    ["an old sparse file with endless parts", archive(rawHeader({ ...OLD, patch: { 482: "1" } }), ...Array.from({ length: 2100 }, () => Buffer.alloc(512, "0")))], // prettier-ignore
  ])("%s", async ([, bytes]) => {
    await expectCode(readAll(bytes), "LAYER_UNREADABLE");
  });

  it("random changes, unless the archive is still readable", async () => {
    const valid = archive(
      pax([
        ["path", "p"],
        ["mtime", "1.5"],
        ["GNU.sparse.map", "2,2"],
        ["GNU.sparse.size", "9"],
      ]),
      rawEntry({}, "ab"),
      rawEntry({ ...OLD, patch: { 386: octal(1), 398: octal(2), 483: octal(5) } }, "cd"),
    );
    expect((await readAll(valid)).map(({ content }) => content.toString("latin1"))).toEqual([
      "\0\0ab\0\0\0\0\0",
      "\0cd\0\0",
    ]);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        async (changes, isCorrected) => {
          const bytes = Buffer.from(valid);
          for (const [at, value] of changes) bytes[at] = value;
          if (isCorrected) correctChecksums(bytes);
          try {
            await readAll(bytes);
          } catch (error) {
            expect(error).toMatchObject({ code: "LAYER_UNREADABLE" });
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

function correctChecksums(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; at += 512) {
    const block = bytes.subarray(at, at + 512);
    if (block.toString("latin1", 257, 262) !== "ustar") continue;
    block.write("        ", 148, "latin1");
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  }
}
