import type { Bytes } from "../io/source.js";
import type { ImageSource } from "../store/types.js";
import { filesBelow } from "./list.js";
import { streamFiles, type ImageFilesOptions, type RootFiles } from "./root-files.js";
import { END, padding, writeHeader } from "../store/archive/tar-writer.js";
import { lastOf, pathOf, type Inode } from "./tree.js";

/**
 * Writes the files of an image as one tar archive, with the layers merged: files that a later layer
 * deleted or replaced are left out. Hard links stay links. Owners are numbers only, as container
 * runtimes use them, and sparse files are written in full.
 *
 * The stream is lazy: nothing happens until you read it. It emits nothing before every selected layer
 * is verified, and fails with the errors of {@link listFiles}. After a failure,
 * the archive lacks its end.
 */
export function exportImage(
  source: ImageSource,
  options: ImageFilesOptions = {},
): ReadableStream<Bytes> {
  return streamFiles(source, options, archive);
}

/** Yields the archive, in the order of the tree: tar restores the time of a directory when it leaves it. */
async function* archive({ tree, content }: RootFiles): AsyncGenerator<Uint8Array, void, undefined> {
  const names = new Map<Inode, string>();
  const { root } = tree;
  if (root.inode.place !== undefined) yield headerOf("./", root.inode);
  for (const trail of filesBelow([{ name: "", node: root }], true)) {
    const { inode } = lastOf(trail).node;
    const path = pathOf(trail).slice(1);
    if (inode.type === "directory") {
      yield headerOf(`${path}/`, inode);
      continue;
    }
    const linkTo = names.get(inode);
    yield headerOf(path, inode, linkTo);
    if (linkTo !== undefined) continue;
    names.set(inode, path);
    if (inode.type !== "file") continue;
    yield* content(inode);
    yield padding(inode.size);
  }
  yield END;
}

const TYPES: Readonly<Record<Inode["type"], string>> = {
  file: "0",
  symlink: "2",
  "character-device": "3",
  "block-device": "4",
  directory: "5",
  fifo: "6",
};

/** @param linkTo the name of an earlier entry that this one is a hard link to */
function headerOf(name: string, inode: Inode, linkTo?: string): Uint8Array {
  if (linkTo !== undefined) {
    return writeHeader({ ...inode, name, type: "1", target: linkTo, size: 0, xattrs: undefined });
  }
  const target = inode.type === "symlink" ? inode.target : "";
  return writeHeader({ ...inode, name, type: TYPES[inode.type], target });
}
