import type { BlobFile } from "../../src/blobs/index.js";
import type { Given } from "../protocol.js";

/** As many as an image may have. */
const MAX_FILES = 100_000;
const MAX_DEPTH = 32;

/**
 * Returns what was dropped. Must be called while the event is handled, because the browser empties the
 * list afterwards.
 */
export function readDrop({ items, files }: DataTransfer): Promise<Given[]> {
  const entries = [...items]
    .filter(({ kind }) => kind === "file")
    .map((item) => item.webkitGetAsEntry());
  if (entries.length === 0 || entries.includes(null)) {
    return Promise.resolve([...files].map((file) => ({ kind: "file", file })));
  }
  return Promise.all(entries.filter((entry) => entry !== null).map(readEntry));
}

async function readEntry(entry: FileSystemEntry): Promise<Given> {
  if (isFile(entry)) return { kind: "file", file: await fileOf(entry) };
  const files: BlobFile[] = [];
  if (isDirectory(entry)) await readDirectory(entry, files, 1);
  return { kind: "directory", name: entry.name, files };
}

async function readDirectory(
  directory: FileSystemDirectoryEntry,
  files: BlobFile[],
  depth: number,
): Promise<void> {
  if (depth > MAX_DEPTH) throw new Error(`the directories are nested more than ${String(MAX_DEPTH)} deep`); // prettier-ignore
  const reader = directory.createReader();
  for (;;) {
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    // The end is an empty list; every call returns some of the rest.
    if (entries.length === 0) return;
    for (const entry of entries) {
      if (isDirectory(entry)) await readDirectory(entry, files, depth + 1);
      if (isFile(entry)) files.push({ path: entry.fullPath, content: await fileOf(entry) });
      if (files.length > MAX_FILES) {
        throw new Error(`the directory has more than ${String(MAX_FILES)} files`);
      }
    }
  }
}

/** Returns what was chosen with an input; the files of a directory belong together. */
export function readInput({ files, webkitdirectory }: HTMLInputElement): Given[] {
  const chosen = [...(files ?? [])];
  if (!webkitdirectory) return chosen.map((file) => ({ kind: "file", file }));
  const [first] = chosen;
  if (first === undefined) return [];
  const name = first.webkitRelativePath.split("/")[0] ?? "directory";
  const content = chosen.map((file) => ({ path: file.webkitRelativePath, content: file }));
  return [{ kind: "directory", name, files: content }];
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => {
    entry.file(resolve, reject);
  });
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile;
}

function isDirectory(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory;
}
