import { fromLatin1, fromUtf8, toLatin1, toUtf8 } from "#engine/bytes";
import { OcicryptError, shown } from "../errors.js";
import {
  MAX_FILE_NAME,
  MAX_FILE_TEXT,
  MAX_FILES,
  MAX_LINKS,
  MAX_PATH_STEPS,
} from "../spec/limits.js";
import { unreadable } from "./tar-header.js";
import type { EntryType, TarEntry } from "./tar-reader.js";

/** The bytes of an entry in the uncompressed layer, headers included. */
export interface Place {
  layer: number;
  start: number;
  end: number;
}

/** A file with its attributes; several names can have the same file. */
export interface Inode extends Pick<
  TarEntry,
  "mode" | "uid" | "gid" | "size" | "mtime" | "target" | "device" | "xattrs"
> {
  type: Exclude<EntryType, "link">;
  /** The bytes of the layer that it comes from; `undefined` for a directory that no layer has. */
  place: Place | undefined;
}

/** A name in a directory. */
export interface Node {
  inode: Inode;
  /** The content of a directory, by names with one character for each byte. */
  children?: Map<string, Node>;
  /** The names that a layer deleted here, with the number of the layer. */
  deleted?: Map<string, number>;
}

/** A tree of files, and counts of the work that was done on it, which has limits. */
export interface FileTree {
  root: Node;
  /** Entries of layers. */
  entries: number;
  /** Bytes of the files of those entries. */
  size: number;
  /** Names that were added. */
  nodes: number;
  /** Bytes of the paths of those names, and of everything else that is held about files. */
  text: number;
  steps: number;
}

export function emptyTree(): FileTree {
  return { root: directory(), entries: 0, size: 0, nodes: 1, text: 0, steps: 0 };
}

/** A directory that no layer describes, as container runtimes create it. */
function directory(): Node {
  const owner = { uid: 0, gid: 0, size: 0, mtime: "0", target: "", xattrs: undefined };
  const device = { major: 0, minor: 0 };
  const inode: Inode = { type: "directory", mode: 0o755, ...owner, device, place: undefined };
  return { inode, children: new Map() };
}

/**
 * Adds a name to a directory, and replaces a node of this name.
 *
 * @throws {@link OcicryptError} `LAYER_UNREADABLE` if the tree is too large
 */
export function addNode(tree: FileTree, parent: Trail, name: string, node: Node): void {
  const length = parent.reduce((sum, step) => sum + step.name.length + 1, name.length);
  if (length > MAX_FILE_NAME) {
    throw unreadable(`the path of a file is longer than ${String(MAX_FILE_NAME)} bytes`);
  }
  if (++tree.nodes > MAX_FILES) {
    throw unreadable(`the image has more than ${String(MAX_FILES)} files`);
  }
  addText(tree, length);
  const { children, deleted } = lastOf(parent).node;
  children?.set(name, node);
  deleted?.delete(name);
}

/**
 * Counts what is held about files.
 *
 * @throws {@link OcicryptError} `LAYER_UNREADABLE` if there is too much
 */
export function addText(tree: FileTree, length: number): void {
  tree.text += length;
  if (tree.text <= MAX_FILE_TEXT) return;
  throw unreadable("the names and attributes of the image's files are too long");
}

/** A place in the tree: the nodes from the root on, each with its name. */
export type Trail = readonly [Step, ...Step[]];

export interface Step {
  name: string;
  node: Node;
}

export interface WalkOptions {
  /** Whether to follow a symbolic link at the end of the path. */
  follow: boolean;
  /** Whether to create missing directories. */
  create?: boolean;
  /** Whether U+FFFD in a name may be what is not UTF-8. */
  isText?: boolean;
}

/** The reason why a path leads nowhere. */
export interface Lost {
  lost: "missing" | "not a directory" | "too many links";
  /** The names up to the failure. */
  path: string;
  /** The layer that deleted the file. */
  deletedBy?: number | undefined;
}

/**
 * Walks along a path as the kernel does for a process whose root is the image: symbolic links lead
 * to files of the image only, and `..` never leaves the root.
 *
 * @param path names with one character for each byte
 * @throws {@link OcicryptError} `LAYER_UNREADABLE` if the tree took too much work
 */
export function walk(
  tree: FileTree,
  path: string,
  { follow, create = false, isText = false }: WalkOptions,
): Trail | Lost {
  const left = path.split("/").reverse();
  const trail: [Step, ...Step[]] = [{ name: "", node: tree.root }];
  let links = 0;
  for (let name = left.pop(); name !== undefined; name = left.pop()) {
    if (++tree.steps > MAX_PATH_STEPS) {
      throw unreadable("the paths of the image's files are too long to be followed");
    }
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (trail.length > 1) trail.pop();
      continue;
    }
    const { node: parent } = trail.at(-1) ?? trail[0];
    if (parent.children === undefined) return { lost: "not a directory", path: pathOf(trail) };
    let node = parent.children.get(name);
    if (node === undefined && isText) [name, node] = shownAs(parent.children, name);
    if (node === undefined) {
      if (!create)
        return {
          lost: "missing",
          path: pathOf([...trail, { name, node: parent }]),
          deletedBy: parent.deleted?.get(name),
        };
      node = directory();
      addNode(tree, trail, name, node);
    }
    if (node.inode.type === "symlink" && (follow || left.length > 0)) {
      if (++links > MAX_LINKS) return { lost: "too many links", path: pathOf(trail) };
      const { target } = node.inode;
      if (target.startsWith("/")) trail.splice(1);
      left.push(...target.split("/").reverse());
      continue;
    }
    trail.push({ name, node });
  }
  return trail;
}

/** Finds the only file that is shown by a name, which {@link toText} made of bytes that are not UTF-8. */
function shownAs(children: ReadonlyMap<string, Node>, name: string): [string, Node | undefined] {
  const text = toText(name);
  const isLossy = text.includes("\uFFFD");
  const [found, another] = isLossy ? [...children].filter(([own]) => toText(own) === text) : [];
  return found !== undefined && another === undefined ? found : [name, undefined];
}

/** The absolute path of a place, with one character for each byte. */
export function pathOf(trail: readonly Step[]): string {
  return trail.length === 1 ? "/" : trail.map(({ name }) => name).join("/");
}

export function isLost(found: Trail | Lost): found is Lost {
  return "lost" in found;
}

export function lastOf(trail: Trail): Step {
  return trail.at(-1) ?? trail[0];
}

/**
 * Finds a file by a path that a person wrote.
 *
 * @throws {@link OcicryptError} `FILE_NOT_FOUND`, `FILE_UNREADABLE`
 */
export function findFile(tree: FileTree, path: string): Trail {
  // The limit on work is for hostile images, not for callers that look up many files.
  const found = walk({ ...tree, steps: 0 }, fromText(path), { follow: true, isText: true });
  if (!isLost(found)) return found;
  const what = shown(path);
  if (found.lost === "too many links") {
    const message = `${what} leads through more than ${String(MAX_LINKS)} symbolic links`;
    throw new OcicryptError("FILE_UNREADABLE", message);
  }
  const where = toText(found.path);
  if (found.lost === "not a directory") {
    const message = `the image has no file ${what}: ${shown(where)} is not a directory`;
    throw new OcicryptError("FILE_NOT_FOUND", message);
  }
  const why = found.deletedBy === undefined ? "does not exist" : `was deleted by layer ${String(found.deletedBy)}`; // prettier-ignore
  const message = where === path || where === `/${path}` ? `it ${why}` : `${shown(where)} ${why}`;
  throw new OcicryptError("FILE_NOT_FOUND", `the image has no file ${what}: ${message}`);
}

/** A name as text; bytes that are not UTF-8 become U+FFFD. */
export function toText(name: string): string {
  return toUtf8(fromLatin1(name));
}

function fromText(text: string): string {
  return toLatin1(fromUtf8(text));
}
