import { open, type FileHandle } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { Pack } from "tar-stream";
import { writeAll } from "../../io/files.js";
import { parts } from "../../io/source.js";
import type { StoreOptions } from "../types.js";

/** A file to be put into an archive. */
export interface ArchiveEntry {
  name: string;
  /** The size of the content, in bytes. */
  size: number;
  content: AsyncIterable<Uint8Array>;
}

export interface ArchiveOptions extends StoreOptions {
  /** The permissions of the archive. Default: those of any new file. */
  mode?: number | undefined;
  /** The name of the archive in messages. Default: its path. */
  where?: string | undefined;
}

/**
 * Writes files as a tar archive to a new file, and flushes it. The archive does not contain when,
 * where or by whom it was written: equal files make equal archives.
 */
export async function writeArchive(
  file: string,
  entries: readonly ArchiveEntry[],
  { mode, where = file, signal }: ArchiveOptions = {},
): Promise<void> {
  const { pack } = await import("tar-stream");
  const handle = await open(file, "wx");
  try {
    if (mode !== undefined) await handle.chmod(mode);
    await pump(pack(), entries, handle, { where, signal });
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function pump(
  archive: Pack,
  entries: readonly ArchiveEntry[],
  file: FileHandle,
  { where, signal }: { where: string; signal: AbortSignal | undefined },
): Promise<void> {
  // If one side fails, destroying the stream between them ends the other side too.
  const filled = fill(archive, entries).catch((error: unknown) => {
    archive.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  try {
    await writeAll(file, parts(archive as AsyncIterable<Uint8Array>, signal), where);
  } finally {
    await filled;
  }
}

async function fill(archive: Pack, entries: readonly ArchiveEntry[]): Promise<void> {
  for (const { name, size, content } of entries) {
    const header = { name, size, mode: 0o644, uid: 0, gid: 0, mtime: new Date(0) };
    await pipeline(content, archive.entry(header));
  }
  archive.finalize();
}
