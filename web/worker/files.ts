import { filesBelow } from "../../src/files/list.js";
import { openRootFiles, type RootFiles } from "../../src/files/root-files.js";
import { isLost, lastOf, pathOf, toText, walk, type Trail } from "../../src/files/tree.js";
import type { FilePage, FilesView, FileView, Operations } from "../protocol.js";
import { toBlob } from "./blob.js";
import { progressOf, type Context } from "./context.js";
import { newId } from "./ids.js";
import { allKeys } from "./keyring.js";
import { sourceOf } from "./layouts.js";

interface Entry {
  files: RootFiles;
  /** The layout that the files are in. */
  layout: number;
}

const entries = new Map<number, Entry>();

/** Decrypts and verifies layers, and keeps their files. */
export async function openFiles(
  { id: layout, index, platform, layers }: Operations["openFiles"]["takes"],
  { signal, report }: Context,
): Promise<FilesView> {
  const warnings: string[] = [];
  const source = sourceOf({ id: layout, index });
  const options = {
    layers,
    ...(platform !== "-" && { platforms: [platform] }),
    ...{ keys: allKeys(), signal, onWarning: (warning: string) => warnings.push(warning) },
    onProgress: progressOf(report),
  };
  const files = await openRootFiles(source, options, true);
  const id = newId();
  entries.set(id, { files, layout });
  const { total } = pageOf(filesBelow(rootOf(files), true), 0);
  return { id, platform: files.platform, total, warnings };
}

export function listFiles({ id, path, count }: Operations["listFiles"]["takes"]): FilePage {
  return pageOf(filesBelow(trailTo(filesOf(id), path), false), count);
}

/** Finds the files whose paths contain each of some words, whatever their case. */
export function searchFiles({ id, words, count }: Operations["searchFiles"]["takes"]): FilePage {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  function* found(): Generator<Trail> {
    for (const trail of filesBelow(rootOf(filesOf(id)), true)) {
      const path = toText(pathOf(trail)).toLowerCase();
      if (wanted.every((word) => path.includes(word))) yield trail;
    }
  }
  return pageOf(found(), count);
}

export function readFile(
  { id, path, limit }: Operations["readFile"]["takes"],
  { signal }: Context,
): Promise<Blob> {
  const files = filesOf(id);
  return toBlob(files.content(lastOf(trailTo(files, path)).node.inode), signal, limit);
}

/** Drops the files with this number, or of the layout with this number. */
export function forgetFiles(id: number): void {
  for (const [own, { files, layout }] of entries) {
    if (own !== id && layout !== id) continue;
    entries.delete(own);
    void files.close();
  }
}

function filesOf(id: number): RootFiles {
  const entry = entries.get(id);
  if (entry === undefined) throw new Error("the files were closed");
  return entry.files;
}

function rootOf({ tree }: RootFiles): Trail {
  return [{ name: "", node: tree.root }];
}

/** @param path of a file, with one character for each byte */
function trailTo(files: RootFiles, path: string): Trail {
  const trail = walk({ ...files.tree, steps: 0 }, path, { follow: false });
  if (isLost(trail)) throw new Error("the image has no such file");
  return trail;
}

function pageOf(trails: Iterable<Trail>, count: number): FilePage {
  const files: FileView[] = [];
  let total = 0;
  for (const trail of trails) {
    total += 1;
    if (files.length < count) files.push(viewOf(trail));
  }
  return { files, total };
}

function viewOf(trail: Trail): FileView {
  const { name, node } = lastOf(trail);
  const { type, size, mode, uid, gid, mtime, target, place } = node.inode;
  return {
    ...{ path: pathOf(trail), text: toText(pathOf(trail)), name: toText(name) },
    ...{ type, size, mode, owner: `${String(uid)}:${String(gid)}`, mtime: 1000 * Number(mtime) },
    ...(type === "symlink" && { target: toText(target) }),
    ...(place !== undefined && { layer: place.layer }),
  };
}
