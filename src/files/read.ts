import { OcicryptError, shown } from "../errors.js";
import type { Bytes } from "../io/source.js";
import type { ImageSource } from "../store/types.js";
import { streamFiles, type ImageFilesOptions, type RootFiles } from "./root-files.js";
import { findFile, lastOf, type Inode } from "./tree.js";

/**
 * Reads a file of an image, with the layers merged. Symbolic links are followed within the image. The
 * stream is lazy: nothing happens until you read it. It emits nothing before every selected layer is
 * verified. It fails with the errors of {@link listFiles}, and with `FILE_UNREADABLE` unless the path
 * names a regular file.
 *
 * @param path the path of the file, relative to the root of the image
 */
export function readFile(
  source: ImageSource,
  path: string,
  options: ImageFilesOptions = {},
): ReadableStream<Bytes> {
  return readFiles(source, [path], options);
}

/** Reads files one after another; see {@link readFile}. All of them are found before any is read. */
export function readFiles(
  source: ImageSource,
  paths: readonly string[],
  options: ImageFilesOptions,
): ReadableStream<Bytes> {
  return streamFiles(source, options, async function* (files) {
    const inodes = paths.map((path) => regularFile(files, path));
    for (const inode of inodes) yield* files.content(inode);
  });
}

const NAMES: Readonly<Record<Exclude<Inode["type"], "file">, string>> = {
  directory: "a directory",
  symlink: "a symbolic link",
  "character-device": "a device",
  "block-device": "a device",
  fifo: "a pipe",
};

function regularFile({ tree }: RootFiles, path: string): Inode {
  const { inode } = lastOf(findFile(tree, path)).node;
  if (inode.type === "file") return inode;
  throw new OcicryptError("FILE_UNREADABLE", `${shown(path)} is ${NAMES[inode.type]}`);
}
