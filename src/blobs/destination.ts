import { fromUtf8 } from "#engine/bytes";
import { collectBlob } from "../io/blobs.js";
import { single } from "../io/source.js";
import { END, fileHeader, padding } from "../store/archive/tar-writer.js";
import { blobName, layoutFiles, withName } from "../store/layout/format.js";
import type { ImageDestination } from "../store/types.js";

/** A destination that makes an OCI archive in memory that browsers manage. */
export interface BlobDestination extends ImageDestination {
  /**
   * Returns the archive, a tar file, after the image was written.
   *
   * @throws {TypeError} before that
   */
  archive(): Blob;
}

export interface BlobDestinationOptions {
  /** The name of the image in the archive. Default: that of the source, if it has one. */
  tag?: string | undefined;
}

/**
 * Returns a destination that makes an OCI archive as a `Blob`, which a page can offer as a download
 * or write to a file: `blob.stream().pipeTo(writable)`. Equal images make equal archives, the same as
 * those of `archiveDestination`.
 *
 * Only a few MiB are in the memory of the page: browsers keep large blobs on disk, and drop them with
 * the last reference to them. Node.js keeps them in memory.
 *
 * The functions of the destination reject with {@link OcicryptError} `DESTINATION_FULL` if the browser
 * has no room.
 */
export function blobDestination({ tag }: BlobDestinationOptions = {}): BlobDestination {
  const blobs = new Map<string, Blob>();
  let archive: Blob | undefined;

  async function write(
    content: AsyncIterable<Uint8Array>,
    describe: () => Promise<{ digest: string }> | { digest: string },
  ): Promise<void> {
    const blob = await collectBlob(content, "the archive");
    blobs.set(blobName((await describe()).digest), blob);
  }

  return {
    keepsBlobs: false,
    contains: () => Promise.resolve(false),
    write,
    writeManifest: (bytes, descriptor) => write(single(bytes), () => descriptor),
    commit(image, options) {
      options?.signal?.throwIfAborted();
      const small = layoutFiles(withName(image, tag)).map(
        ([name, text]) => [name, new Blob([fromUtf8(text)])] as const,
      );
      const files = [...small, ...[...blobs].sort(([a], [b]) => (a < b ? -1 : 1))];
      const parts = files.flatMap(([name, blob]) => [
        new Blob([Uint8Array.from(fileHeader(name, blob.size))]),
        ...[blob, new Blob([Uint8Array.from(padding(blob.size))])],
      ]);
      archive = new Blob([...parts, Uint8Array.from(END)], { type: "application/x-tar" });
      return Promise.resolve();
    },
    discard() {
      blobs.clear();
      return Promise.resolve();
    },
    archive() {
      if (archive === undefined) throw new TypeError("no image was written");
      return archive;
    },
  };
}
