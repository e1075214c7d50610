import { describe, expect, it } from "vitest";
import { applyLayer } from "../../src/files/merge.js";
import { filesBelow } from "../../src/files/list.js";
import { readTar } from "../../src/files/tar-reader.js";
import { emptyTree, lastOf, pathOf, type FileTree } from "../../src/files/tree.js";
import { expectCode } from "../support/codes.js";
import { archive, inChunks, pax, rawEntry, type RawHeader } from "../support/tar.js";

const file = (name: string, more: RawHeader = {}): Buffer => rawEntry({ name, ...more }, "x");
const dir = (name: string, more: RawHeader = {}): Buffer => rawEntry({ name, type: "5", ...more });
const symlink = (name: string, target: string): Buffer => rawEntry({ name, type: "2", target });
const hardlink = (name: string, target: string): Buffer => rawEntry({ name, type: "1", target });

/** Merges layers, each of entries. */
async function merge(...layers: readonly (readonly Buffer[])[]): Promise<FileTree> {
  const tree = emptyTree();
  for (const [i, entries] of layers.entries()) {
    await applyLayer(tree, i, readTar(inChunks(archive(...entries), 4096), "layer"));
  }
  return tree;
}

/** The paths of a tree, with the layer that each comes from. */
function list(tree: FileTree): Record<string, number | undefined> {
  const below = filesBelow([{ name: "", node: tree.root }], true);
  return Object.fromEntries(
    Array.from(below, (trail) => [pathOf(trail), lastOf(trail).node.inode.place?.layer]),
  );
}

describe("a layer above another", () => {
  it("adds and replaces files, and keeps the rest of a directory", async () => {
    const tree = await merge(
      [dir("etc/", { mode: 0o700 }), file("etc/a"), file("etc/b")],
      [dir("etc", { mode: 0o755 }), file("./etc/b"), file("/etc/c")],
    );
    expect(list(tree)).toEqual({ "/etc": 1, "/etc/a": 0, "/etc/b": 1, "/etc/c": 1 });
    expect(tree.root.children?.get("etc")?.inode.mode).toBe(0o755);
  });

  it("replaces a directory by a file, and a file or link by a directory", async () => {
    const tree = await merge(
      [dir("a"), file("a/x"), file("b"), symlink("c", "d"), dir("d"), file("d/x")],
      [file("a"), dir("b"), file("b/y"), dir("c"), file("c/z")],
    );
    expect(list(tree)).toEqual({ "/a": 1, "/b": 1, "/b/y": 1, "/c": 1, "/c/z": 1, "/d": 0, "/d/x": 0 }); // prettier-ignore
  });

  // The examples of https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
  it("deletes a file with a whiteout", async () => {
    const tree = await merge(
      [dir("a"), dir("a/b"), dir("a/b/c"), file("a/b/c/bar")],
      [dir("a"), file("a/.wh..wh..opq"), dir("a/b"), dir("a/b/c"), file("a/b/c/foo")],
    );
    expect(Object.keys(list(tree))).toEqual(["/a", "/a/b", "/a/b/c", "/a/b/c/foo"]);
    const other = await merge(
      [dir("bin"), file("bin/my-app-binary"), file("bin/my-app-tools"), dir("bin/tools")],
      [file("bin/.wh.my-app-tools"), file("bin/.wh.tools")],
    );
    expect(Object.keys(list(other))).toEqual(["/bin", "/bin/my-app-binary"]);
  });

  it("applies whiteouts only to layers below, wherever they are in the layer", async () => {
    const below = [dir("d"), file("d/old"), file("f")];
    for (const layer of [
      [file("d/new"), file("d/.wh..wh..opq"), file("f"), file(".wh.f")],
      [file("d/.wh..wh..opq"), file(".wh.f"), file("d/new"), file("f")],
    ]) {
      expect(list(await merge(below, layer))).toEqual({ "/d": 0, "/d/new": 1, "/f": 1 });
    }
  });

  it("can make the root opaque", async () => {
    expect(list(await merge([dir("a"), file("b")], [file(".wh..wh..opq"), file("c")]))).toEqual({
      "/c": 1,
    });
  });

  it("leaves out AUFS's own files, and ignores whiteouts of absent files", async () => {
    const tree = await merge(
      [file("a")],
      [dir(".wh..wh.plnk"), file(".wh..wh.plnk/1.2"), file(".wh..wh.aufs"), file(".wh.b"), file("x/.wh.y"), file("a/.wh.y")], // prettier-ignore
    );
    expect(list(tree)).toEqual({ "/a": 0 });
  });

  it("follows links within the image on the way to a file", async () => {
    const tree = await merge(
      [dir("run"), dir("var"), symlink("var/run", "/run"), symlink("up", "../../var/../var")],
      [file("var/run/pid"), file("up/lib"), file("up/run/.wh.none")],
    );
    expect(list(tree)).toMatchObject({ "/run/pid": 1, "/var/lib": 1, "/var/run": 0, "/up": 0 });
  });

  it("creates missing directories, also where a link leads to", async () => {
    const tree = await merge([symlink("l", "/new/dir")], [file("l/f"), file("x/y/z")]);
    expect(list(tree)).toMatchObject({ "/new": undefined, "/new/dir/f": 1, "/x/y": undefined });
    expect(tree.root.children?.get("new")?.inode).toMatchObject({ mode: 0o755, uid: 0 });
  });

  it("deletes through links within the image", async () => {
    const tree = await merge([dir("d"), file("d/f"), symlink("l", "d")], [file("l/.wh.f")]);
    expect(list(tree)).toEqual({ "/d": 0, "/l": 0 });
  });
});

describe("names", () => {
  it("never leave the root", async () => {
    const tree = await merge([
      ...[
        file("../../a"),
        file("/b"),
        file("c/../../../d"),
        file("//e//./f"),
        symlink("g", "../.."),
      ],
      ...[file("g/h"), hardlink("i", "../../../a")],
    ]);
    expect(Object.keys(list(tree))).toEqual(["/a", "/b", "/d", "/e", "/e/f", "/g", "/h", "/i"]);
  });

  it("of the root directory give it its attributes", async () => {
    const tree = await merge([dir("./", { mode: 0o711 })], [file("a")]);
    expect(tree.root.inode).toMatchObject({ mode: 0o711, place: { layer: 0, start: 0 } });
  });

  it("of members of JavaScript's objects are ordinary names", async () => {
    const tree = await merge([file("__proto__"), dir("constructor"), file("constructor/toString")]);
    expect(Object.keys(list(tree)).sort()).toEqual(["/__proto__", "/constructor", "/constructor/toString"].sort()); // prettier-ignore
  });
});

describe("hard links", () => {
  it("are names of one file, from any layer below", async () => {
    const tree = await merge([file("a"), hardlink("b", "./a")], [hardlink("c", "/b"), file("a")]);
    const [a, b, c] = ["a", "b", "c"].map((name) => tree.root.children?.get(name)?.inode);
    expect(b).toBe(c);
    expect(a).not.toBe(b);
    expect(b?.place).toEqual({ layer: 0, start: 0, end: 1024 });
  });

  it("survive the deletion of the other name", async () => {
    const tree = await merge([file("a"), hardlink("b", "a")], [file(".wh.a")]);
    expect(list(tree)).toEqual({ "/b": 0 });
  });

  it("of symbolic links are links themselves", async () => {
    const tree = await merge([symlink("a", "target"), hardlink("b", "a")]);
    expect(tree.root.children?.get("b")?.inode).toMatchObject({
      type: "symlink",
      target: "target",
    });
  });
});

describe("is rejected as LAYER_UNREADABLE:", () => {
  const chain = Array.from({ length: 42 }, (_, i) => symlink(`l${String(i)}`, `l${String(i + 1)}`));
  it.for<[string, Buffer[][]]>([
    ["a hard link to a missing file", [[hardlink("a", "b")]]],
    ["a hard link to itself", [[file("a"), hardlink("a", "a")]]],
    ["a hard link to a deleted file", [[file("a")], [file(".wh.a"), hardlink("b", "a")]]],
    ["a hard link to a directory", [[dir("d"), hardlink("a", "d")]]],
    ["a hard link to the root", [[hardlink("a", "/")]]],
    ["a file below a file", [[file("a"), file("a/b")]]],
    ["a file below a device", [[rawEntry({ name: "a", type: "3" }), file("a/b/c")]]],
    ["a file instead of the root", [[file("..")]]],
    ["a whiteout of nothing", [[file("d/.wh.")]]],
    ["a whiteout of the parent", [[file("d/.wh...")]]],
    ["a whiteout of the directory", [[file("d/.wh..")]]],
    ["a file behind a loop of links", [[symlink("a", "b"), symlink("b", "a"), file("a/x")]]],
    ["a file behind too many links", [[...chain, file("l0/x")]]],
    ["a path that links make longer than 4096 bytes", [[pax([["path", "d/".repeat(2000)]]), dir("x"), pax([["linkpath", "d/".repeat(2000)]]), symlink("l", "x"), pax([["path", `l/${"e/".repeat(100)}`]]), dir("x")]]], // prettier-ignore
    ["a target of more than 4096 bytes", [[pax([["linkpath", "d/".repeat(2049)]]), symlink("l", "x")]]], // prettier-ignore
    ["more than 1 TiB of files", [Array.from({ length: 5 }, (_, i) => Buffer.concat([pax([["GNU.sparse.map", ""], ["GNU.sparse.size", String(300 * 1024 ** 3)]]), rawEntry({ name: String(i) })]))]], // prettier-ignore
  ])("%s", async ([, layers]) => {
    await expectCode(merge(...layers), "LAYER_UNREADABLE");
  });

  it("paths that take too many steps together", async () => {
    // Each entry is short, but leads through a link to a place that is deep.
    const deep = "d/".repeat(1900);
    const start = [pax([["path", deep]]), dir("x"), pax([["linkpath", deep]]), symlink("l", "x")];
    const many = Array.from({ length: 12_000 }, (_, i) => rawEntry({ name: `l/${String(i)}` }));
    await expectCode(merge([...start, ...many]), "LAYER_UNREADABLE");
  });
});
