import { pack } from "tar-stream";
import { single } from "../../../dist/io/source.js";
import { applyLayer } from "../../../dist/files/merge.js";
import { readTar } from "../../../dist/files/tar-reader.js";
import { writeHeader } from "../../../dist/store/archive/tar-writer.js";
import { emptyTree, findFile, lastOf } from "../../../dist/files/tree.js";

async function layerOf(entries) {
  const archive = pack();
  for (const [header, content = ""] of entries) {
    archive.entry({ mtime: new Date(0), ...header }, content);
  }
  archive.finalize();
  const chunks = [];
  for await (const chunk of archive) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Content above this size in bytes is skipped: a hole may be large. */
const MAX_CONTENT = 1024 * 1024;

async function* entriesOf(bytes) {
  for await (const entry of readTar(single(bytes), "the layer")) {
    if (entry.size <= MAX_CONTENT) for await (const chunk of entry.content()) void chunk;
    yield entry;
  }
}

/** The files of a layer, applied to itself, so that its whiteouts and links have something below. */
export const layer = {
  form: "archive",
  seeds: () =>
    Promise.all([
      layerOf([
        [{ name: "d/", type: "directory" }],
        [{ name: "d/f", mode: 0o4755 }, "content"],
        [{ name: "l", type: "symlink", linkname: "../d" }],
        [{ name: "l/.wh.f" }],
        [{ name: "h", type: "link", linkname: "d/f" }],
        [{ name: "null", type: "character-device", devmajor: 1, devminor: 3 }],
      ]),
      layerOf([
        [{ name: "a", pax: { path: "p/a", mtime: "1.5", "SCHILY.xattr.user.x": "y" } }, "x"],
        [{ name: "s", pax: { "GNU.sparse.map": "2,2", "GNU.sparse.size": "9" } }, "ab"],
        [{ name: "p/.wh..wh..opq" }],
        [{ name: "s", pax: { "GNU.sparse.major": "1", "GNU.sparse.realsize": "9" } }, "1\n0\n"],
      ]),
    ]),
  dictionary: ["ustar\x0000", "ustar  \0", ".wh.", ".wh..wh..opq", "../", "22 GNU.sparse.map=0,1\n", "S", "L", "K", "\0"], // prettier-ignore
  async run(bytes) {
    const tree = emptyTree();
    const usage = { entries: 0, size: 0 };
    await applyLayer(tree, 0, entriesOf(bytes), usage);
    await applyLayer(tree, 1, entriesOf(bytes), usage);
    const { inode } = lastOf(findFile(tree, "l/../d")).node;
    writeHeader({ ...inode, name: "d", type: "5" });
  },
};
