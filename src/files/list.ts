import type { ImageSource } from "../store/types.js";
import { openRootFiles, type ImageFilesOptions } from "./root-files.js";
import type { Device } from "./tar-header.js";
import { findFile, lastOf, pathOf, toText, type Inode, type Trail } from "./tree.js";

/** A file of an image, as it is after all selected layers. */
export interface ImageFile {
  /**
   * Its absolute path. Bytes that are not UTF-8 are U+FFFD, and such a path names the file if no other
   * file in the directory has the same text.
   */
  path: string;
  type: Inode["type"];
  /** The permissions, as a number of up to 12 bits. */
  mode: number;
  uid: number;
  gid: number;
  /** The size of a file's content in bytes; 0 for everything else. */
  size: number;
  mtime: Date;
  /** The target of a symbolic link. */
  target?: string;
  /** The numbers of a device. */
  device?: Device;
  /**
   * The number of the layer that the file comes from; absent for a directory that no layer has, but
   * that other files need.
   */
  layer?: number;
}

export interface ListFilesOptions extends ImageFilesOptions {
  /** The path of a directory or another file; symbolic links are followed. Default: `/`. */
  path?: string | undefined;
  /** Whether to list the content of subdirectories too. Default: false. */
  recursive?: boolean | undefined;
}

export interface ImageFiles {
  /** The digest of the manifest that the files come from. */
  digest: string;
  /** `os/arch`, or `-` if neither an index nor a selection of platforms names it. */
  platform: string;
  /**
   * The files in the directory, sorted by their names, each directory before its content; the file
   * itself if `path` is not a directory.
   */
  files: ImageFile[];
}

/**
 * Lists the files of an image, with its layers merged: files that a later layer deleted or replaced are
 * left out. Encrypted layers need keys. Every selected layer is verified first, as by `decryptImage`.
 *
 * Layers larger than 16 MiB together are stored in a private file in the directory for temporary files,
 * which has no name and disappears with the process; browsers store them in a `Blob`.
 *
 * @throws {@link OcicryptError} `FILE_NOT_FOUND`, `FILE_UNREADABLE`, `PLATFORM_AMBIGUOUS`,
 *   `LAYER_UNREADABLE`, `COMPRESSION_UNSUPPORTED`, `NO_KEYS`, `DESTINATION_FULL`,
 *   `DESTINATION_UNWRITABLE`, and those of `decryptImage`
 */
export async function listFiles(
  source: ImageSource,
  options: ListFilesOptions = {},
): Promise<ImageFiles> {
  const { path = "/", recursive = false } = options;
  const { digest, platform, tree, close } = await openRootFiles(source, options, false);
  try {
    const found = filesBelow(findFile(tree, path), recursive);
    return { digest, platform, files: Array.from(found, describeFile) };
  } finally {
    await close();
  }
}

/** Yields the places below a directory, sorted by their names; another file by itself. */
export function* filesBelow(trail: Trail, recursive: boolean): Generator<Trail, void, undefined> {
  const below = (parent: Trail): Trail[] =>
    [...(lastOf(parent).node.children ?? [])]
      .sort(([a], [b]) => (a < b ? 1 : -1))
      .map(([name, node]): Trail => [...parent, { name, node }]);
  if (lastOf(trail).node.children === undefined) yield trail;
  const left = below(trail);
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    yield next;
    if (!recursive) continue;
    for (const child of below(next)) left.push(child);
  }
}

function describeFile(trail: Trail): ImageFile {
  const { type, mode, uid, gid, size, mtime, target, device, place } = lastOf(trail).node.inode;
  return {
    ...{ path: toText(pathOf(trail)), type, mode, uid, gid, size },
    mtime: new Date(1000 * Number(mtime)),
    ...(type === "symlink" && { target: toText(target) }),
    ...((type === "character-device" || type === "block-device") && { device }),
    ...(place !== undefined && { layer: place.layer }),
  };
}
