import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { exportImage } from "../../src/files/export.js";
import { layoutSource } from "../../src/store/layout/source.js";
import { parseLayoutReference } from "../../src/store/reference.js";
import { collect } from "../support/bytes.js";
import { layerOf, layoutOf, temporaryDirectories } from "../support/image.js";
import { openKey } from "../support/layers.js";
import { encrypt } from "../support/operations.js";
import { archive, pax, rawEntry, readAll } from "../support/tar.js";

const directory = temporaryDirectories();

async function exported(
  layers: readonly (readonly Buffer[])[],
  isEncrypted = false,
): Promise<Buffer> {
  const plain = directory();
  await layoutOf(plain, layers.map((entries) => layerOf(archive(...entries)))); // prettier-ignore
  const path = isEncrypted ? directory() : plain;
  if (isEncrypted) await encrypt(plain, path);
  const source = layoutSource(parseLayoutReference(`oci:${path}`));
  return collect(exportImage(source, isEncrypted ? { keys: [openKey()] } : {}));
}

const LONG = "n".repeat(200);
const BINARY = Buffer.from([1, 0, 0xff, 0x0a]);
const LAYERS = [
  [
    rawEntry({ name: "./", type: "5", mode: 0o711 }),
    rawEntry({ name: "d/", type: "5", mode: 0o1777, mtime: 1_700_000_000 }),
    rawEntry({ name: "d/old" }, "old"),
    rawEntry({ name: "a", mode: 0o4755, uid: 1, gid: 2 }, "x".repeat(1000)),
    rawEntry({ name: "b", type: "1", target: "a" }),
    rawEntry({ name: Buffer.from("latin-\xe9", "latin1") }, "latin"),
    pax([["path", LONG], ["uid", "4000000"], ["mtime", "1700000000.25"], ["SCHILY.xattr.user.x", BINARY]]), // prettier-ignore
    rawEntry({}, "long"),
    pax([["linkpath", `${LONG}x`]]),
    rawEntry({ name: "link", type: "2", mode: 0o777 }),
    rawEntry({ name: "link2", type: "1", target: "link" }),
  ],
  [
    rawEntry({ name: "d/.wh.old" }),
    rawEntry({ name: "d/new" }, "new"),
    rawEntry({ name: "c", type: "1", target: "/b" }),
    rawEntry({ name: ".wh.a" }),
    pax([["mtime", "-5"]]),
    rawEntry({ name: "e/implied" }),
    pax([
      ["GNU.sparse.map", "2,2"],
      ["GNU.sparse.size", "9"],
    ]),
    rawEntry({ name: "sparse" }, "ab"),
  ],
];

describe("exportImage", () => {
  it.for([false, true])("writes the merged files (encrypted: %s)", async (isEncrypted) => {
    const entries = await readAll(await exported(LAYERS, isEncrypted));
    const found = entries.map(({ name, type, target, content }) =>
      [name, type, target, content.toString("latin1")].filter((each) => each !== "").join(" "),
    );
    expect(found).toEqual([
      ...[
        "./ directory",
        `b file ${"x".repeat(1000)}`,
        "c link b",
        "d/ directory",
        "d/new file new",
      ],
      ...["e/ directory", "e/implied file", "latin-\xe9 file latin"],
      ...[`link symlink ${LONG}x`, "link2 link link", `${LONG} file long`],
      ...["sparse file \0\0ab\0\0\0\0\0"],
    ]);
    const byName = new Map(entries.map((entry) => [entry.name, entry]));
    expect(byName.get("./")).toMatchObject({ mode: 0o711 });
    expect(byName.get("d/")).toMatchObject({ mode: 0o1777, mtime: "1700000000" });
    expect(byName.get("b")).toMatchObject({ mode: 0o4755, uid: 1, gid: 2 });
    expect(byName.get("e/")).toMatchObject({ mode: 0o755, uid: 0 });
    expect(byName.get("e/implied")).toMatchObject({ mtime: "-5" });
    expect(byName.get(LONG)).toMatchObject({ uid: 4_000_000, mtime: "1700000000.25" });
    expect(byName.get(LONG)?.xattrs).toEqual(new Map([["user.x", new Uint8Array(BINARY)]]));
  });

  it.for(["tar", "bsdtar"])("is read by %s", async (program) => {
    const to = directory();
    const bytes = await exported(LAYERS);
    execFileSync(program, ["-xpf", "-", "-C", to], { input: bytes, stdio: ["pipe", "ignore", "pipe"] }); // prettier-ignore
    const stat = (name: string, format: string): string =>
      execFileSync("stat", ["-c", format, join(to, name)])
        .toString()
        .trim();
    const isRoot = process.getuid?.() === 0;
    expect(stat("b", "%a %s %h")).toBe(isRoot ? "4755 1000 2" : stat("b", "%a %s %h"));
    expect(stat("b", "%i")).toBe(stat("c", "%i"));
    expect(stat("d", "%a %Y")).toBe("1777 1700000000");
    expect(stat("e/implied", "%Y")).toBe("-5");
    expect(stat("link", "%N")).toContain(`${LONG}x`);
    if (isRoot) expect(stat(LONG, "%u")).toBe("4000000");
    expect(readFileSync(join(to, LONG), "utf8")).toBe("long");
    expect(readFileSync(Buffer.from(`${to}/latin-\xe9`, "latin1"), "utf8")).toBe("latin");
    expect(readFileSync(join(to, "sparse"), "latin1")).toBe("\0\0ab\0\0\0\0\0");
  });

  it("writes what tar packs, whatever the lengths and numbers", async () => {
    for (let length = 95; length <= 105; length++) {
      const names = ["n", "t"].map((letter) => letter.repeat(length));
      const [name = "", target = ""] = names;
      const layer = [
        pax([
          ["path", name],
          ["size", "3"],
        ]),
        rawEntry({ size: 3 }, "abc"),
        pax([
          ["path", `${target}-link`],
          ["linkpath", target],
        ]),
        rawEntry({ type: "2" }),
      ];
      const entries = await readAll(await exported([layer]));
      expect(entries.map((entry) => [entry.name, entry.target])).toEqual([
        [name, ""],
        [`${target}-link`, target],
      ]);
    }
  });

  it("is an empty archive for an image without files", async () => {
    expect(await exported([[]])).toEqual(Buffer.alloc(1024));
    expect(execFileSync("tar", ["-tf", "-"], { input: await exported([]) }).toString()).toBe("");
  });

  it("never contains a name that leads out of the root, even for a hostile layer", async () => {
    const to = directory();
    mkdirSync(join(to, "in"));
    const bytes = await exported([
      [rawEntry({ name: "../out" }, "x"), rawEntry({ name: "l", type: "2", target: ".." }), rawEntry({ name: "l/out2" }, "y")], // prettier-ignore
    ]);
    expect((await readAll(bytes)).map(({ name }) => name)).toEqual(["l", "out", "out2"]);
    execFileSync("tar", ["-xf", "-", "-C", join(to, "in")], { input: bytes });
    expect(execFileSync("ls", [to]).toString()).toBe("in\n");
  });
});
