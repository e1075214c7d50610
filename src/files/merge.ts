import { shown } from "../errors.js";
import { MAX_FILES, MAX_FILES_SIZE } from "../spec/limits.js";
import { requireName, unreadable } from "./tar-header.js";
import type { TarEntry } from "./tar-reader.js";
import {
  addNode,
  addText,
  isLost,
  lastOf,
  toText,
  walk,
  type FileTree,
  type Inode,
  type Node,
} from "./tree.js";

/*
 * https://github.com/opencontainers/image-spec/blob/main/layer.md. Where it is silent, a layer is
 * applied as containerd does (pkg/archive/tar.go): links within the image are followed on the way to
 * a file, and missing directories are created.
 */

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
/** The names of AUFS's own files, which are not part of the image. */
const AUFS = ".wh..wh.";

type Added = Omit<TarEntry, "name" | "content"> & { path: string[] };

/**
 * Applies the next layer to a tree.
 *
 * @param layer the number of the layer
 * @throws {@link OcicryptError} `LAYER_UNREADABLE`, and the errors of the entries
 */
export async function applyLayer(
  tree: FileTree,
  layer: number,
  entries: AsyncIterable<TarEntry>,
): Promise<void> {
  const where = `layer ${String(layer)}`;
  const added: Added[] = [];
  for await (const entry of entries) {
    count(tree, entry, where);
    const path = cleanPath(entry.name, where);
    const [name = ""] = path.slice(-1);
    const isHidden = path[0]?.startsWith(AUFS) === true && path.join("/") !== OPAQUE;
    if (isHidden) {
      // It is not part of the image.
    } else if (name.startsWith(WHITEOUT)) {
      // Whiteouts are for the layers below, so they come before all entries of this layer.
      applyWhiteout(tree, path, layer);
    } else {
      const { type, mode, uid, gid, size, mtime, target, device, xattrs, start, end } = entry;
      const attributes = { mode, uid, gid, size, mtime, target, device, xattrs };
      added.push({ type, ...attributes, start, end, path });
    }
  }
  for (const entry of added) applyEntry(tree, entry, layer);
}

function count(tree: FileTree, entry: TarEntry, where: string): void {
  requireName(entry.target, where);
  tree.entries++;
  tree.size += entry.size;
  addText(tree, entry.name.length + entry.target.length);
  for (const [key, value] of entry.xattrs ?? []) addText(tree, key.length + value.byteLength);
  if (tree.entries > MAX_FILES) {
    throw unreadable(`with ${where}, the image has more than ${String(MAX_FILES)} entries`);
  }
  if (tree.size > MAX_FILES_SIZE) {
    throw unreadable(`with ${where}, the image has more than ${String(MAX_FILES_SIZE)} bytes of files`); // prettier-ignore
  }
}

/** Returns the parts of a name without `.` and `..`, which never leave the root. */
function cleanPath(name: string, where: string): string[] {
  requireName(name, where);
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts;
}

function applyWhiteout(tree: FileTree, path: readonly string[], layer: number): void {
  const found = walk(tree, path.slice(0, -1).join("/"), { follow: true });
  const [last = ""] = path.slice(-1);
  const name = last.slice(WHITEOUT.length);
  if (last !== OPAQUE && ["", ".", ".."].includes(name)) {
    throw unreadable(`layer ${String(layer)} deletes a file without a name`);
  }
  if (isLost(found)) return;
  const { node } = lastOf(found);
  if (node.children === undefined) return;
  for (const gone of last === OPAQUE ? [...node.children.keys()] : [name]) {
    if (node.children.delete(gone)) (node.deleted ??= new Map()).set(gone, layer);
  }
}

function applyEntry(tree: FileTree, entry: Added, layer: number): void {
  const { path, type, start, end, ...attributes } = entry;
  const fail = (why: string): Error =>
    unreadable(`layer ${String(layer)}: ${shown(toText(path.join("/")))} ${why}`);
  const place = { layer, start, end };
  const [name] = path.slice(-1);
  if (name === undefined) {
    if (type !== "directory") throw fail("would replace the root directory");
    tree.root.inode = { ...attributes, type, place };
    return;
  }
  const found = walk(tree, path.slice(0, -1).join("/"), { follow: true, create: true });
  if (isLost(found)) throw fail(`cannot be created: ${found.lost}`);
  const { node: parent } = lastOf(found);
  if (parent.children === undefined) throw fail("is in something other than a directory");
  const existing = parent.children.get(name);
  if (type === "directory") {
    const inode: Inode = { ...attributes, type, place };
    if (existing?.children !== undefined) existing.inode = inode;
    else addNode(tree, found, name, { inode, children: new Map() });
    return;
  }
  parent.children.delete(name);
  const inode = type === "link" ? linked(tree, entry, fail) : { ...attributes, type, place };
  addNode(tree, found, name, { inode });
}

/** Returns the file that a hard link names. */
function linked(tree: FileTree, { target }: Added, fail: (why: string) => Error): Inode {
  const path = cleanPath(target, "a hard link").join("/");
  const found = walk(tree, path, { follow: false });
  if (isLost(found)) throw fail(`is a hard link to ${shown(toText(target))}, which does not exist`);
  const { node }: { node: Node } = lastOf(found);
  if (node.children !== undefined) throw fail("is a hard link to a directory");
  return node.inode;
}
