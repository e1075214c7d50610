import { canInflate, inflate } from "#engine/inflate";
import { OcicryptError } from "../errors.js";
import { collectBlob, readBlob } from "../io/blobs.js";
import { compressionOf } from "../io/compression.js";
import { collect } from "../io/source.js";

/** The magic number of xz, which neither Node.js nor browsers decompress. */
const XZ = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00];
/** The programs that decompress what this platform cannot. */
const TOOLS = { xz: "unxz", zstd: "unzstd", gzip: "gunzip" } as const;

/**
 * Decompresses an archive into another `Blob`, because its parts are needed in any order.
 *
 * @param limit the most bytes of the decompressed archive
 * @returns an archive that is not compressed as it is
 * @throws {@link OcicryptError} `LAYOUT_INVALID`, `SOURCE_UNREADABLE`, `DESTINATION_FULL`
 */
export async function unpackArchive(
  archive: Blob,
  { name, limit, signal }: { name: string; limit: number; signal: AbortSignal | undefined },
): Promise<Blob> {
  const head = await collect(readBlob(archive.slice(0, XZ.length), name));
  const isXz = XZ.every((byte, i) => head[i] === byte);
  const format = isXz ? "xz" : compressionOf(head);
  if (format === "none") return archive;
  if (format === "xz" || !canInflate(format)) {
    const command = `${TOOLS[format]} < ${name}`;
    throw invalid(`${name} is compressed with ${format}; decompress it first: ${command}`);
  }
  const damaged = (cause: unknown): OcicryptError =>
    new OcicryptError("LAYOUT_INVALID", `${name} is not valid ${format}`, { cause });

  const unpacked = inflate(readBlob(archive, name), format, damaged);
  async function* limited(): AsyncGenerator<Uint8Array, void, undefined> {
    let size = 0;
    for await (const chunk of unpacked) {
      signal?.throwIfAborted();
      size += chunk.byteLength;
      if (size > limit) throw invalid(`${name} unpacks to more than ${String(limit)} bytes`);
      yield chunk;
    }
  }
  return collectBlob(limited(), `the content of ${name}`);
}

function invalid(message: string): OcicryptError {
  return new OcicryptError("LAYOUT_INVALID", message);
}
