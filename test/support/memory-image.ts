import { randomUUID } from "node:crypto";
import { OcicryptError } from "../../src/errors.js";
import type { Descriptor } from "../../src/spec/descriptor.js";
import type { ImageDestination, ImageSource } from "../../src/store/types.js";
import { collect } from "./bytes.js";

/** An image in memory, also for tests of so many blobs that the files of a layout would take long. */
export interface MemoryImage extends ImageSource, ImageDestination {
  /** By their digests. */
  blobs: Map<string, Uint8Array>;
}

export function memoryImage(): MemoryImage {
  const blobs = new Map<string, Uint8Array>();
  const written = new Map<string, Uint8Array>();
  const place = { store: `memory:${randomUUID()}`, name: "" };
  let root: Descriptor | undefined;
  return {
    blobs,
    place,
    keepsBlobs: true,
    resolve: () =>
      root === undefined
        ? Promise.reject(new OcicryptError("IMAGE_NOT_FOUND", "nothing was committed"))
        : Promise.resolve(root),
    // eslint-disable-next-line @typescript-eslint/require-await -- content is asynchronous
    async *read({ digest }) {
      const bytes = blobs.get(digest);
      if (bytes === undefined) throw new OcicryptError("BLOB_NOT_FOUND", digest);
      yield bytes;
    },
    contains: ({ digest, size }) => Promise.resolve(blobs.get(digest)?.byteLength === size),
    async write(content, describe) {
      const bytes = await collect(content);
      written.set((await describe()).digest, bytes);
    },
    writeManifest(bytes, { digest }) {
      written.set(digest, bytes);
      return Promise.resolve();
    },
    commit(image) {
      for (const [digest, bytes] of written) blobs.set(digest, bytes);
      written.clear();
      root = image;
      return Promise.resolve();
    },
    discard() {
      written.clear();
      return Promise.resolve();
    },
  };
}
