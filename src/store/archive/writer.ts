import { open } from "node:fs/promises";
import { writeAll } from "../../io/files.js";
import { parts } from "../../io/source.js";
import type { StoreOptions } from "../types.js";
import { archiveOf, type ArchiveEntry } from "./tar-writer.js";

export interface ArchiveOptions extends StoreOptions {
  /** The permissions of the archive. Default: those of any new file. */
  mode?: number | undefined;
  /** The name of the archive in messages. Default: its path. */
  where?: string | undefined;
}

/** Writes files as a tar archive to a new file, and flushes it; see {@link archiveOf}. */
export async function writeArchive(
  file: string,
  entries: readonly ArchiveEntry[],
  { mode, where = file, signal }: ArchiveOptions = {},
): Promise<void> {
  const handle = await open(file, "wx");
  try {
    if (mode !== undefined) await handle.chmod(mode);
    await writeAll(handle, parts(archiveOf(entries), signal), where);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
