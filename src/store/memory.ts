import { randomUUID } from "node:crypto";
import { OcicryptError } from "../errors.js";
import { collect } from "../io/source.js";
import type { Descriptor } from "../spec/descriptor.js";
import type { ImageDestination, ImageSource } from "./types.js";

/** An image in memory: a source, and a destination that keeps what was committed before. */
export interface MemoryImage extends ImageSource, ImageDestination {
  /** The content of committed blobs and manifests by their digests. */
  readonly blobs: Map<string, Uint8Array>;
  contains(descriptor: Descriptor): Promise<boolean>;
}

/**
 * Returns an empty image in memory, for tests of programs that use this library and for small
 * images. It has no limit: use a layout for content that must not fill the memory.
 */
export function memoryImage(): MemoryImage {
  const blobs = new Map<string, Uint8Array>();
  const written = new Map<string, Uint8Array>();
  let root: Descriptor | undefined;
  return {
    blobs,
    place: { store: `memory:${randomUUID()}`, name: "" },
    keepsBlobs: true,
    resolve: () =>
      root === undefined
        ? Promise.reject(new OcicryptError("IMAGE_NOT_FOUND", "nothing was committed"))
        : Promise.resolve(root),
    // eslint-disable-next-line @typescript-eslint/require-await -- content is asynchronous
    async *read({ digest }, { signal } = {}) {
      signal?.throwIfAborted();
      const bytes = blobs.get(digest);
      if (bytes === undefined) {
        throw new OcicryptError("BLOB_NOT_FOUND", `${digest} is not in the image`);
      }
      yield bytes;
    },
    contains: ({ digest, size }) => Promise.resolve(blobs.get(digest)?.byteLength === size),
    async write(content, describe, { signal } = {}) {
      const bytes = await collect(content);
      const { digest } = await describe();
      signal?.throwIfAborted();
      written.set(digest, bytes);
    },
    writeManifest(bytes, { digest }) {
      written.set(digest, Uint8Array.from(bytes));
      return Promise.resolve();
    },
    commit(image, { replaces, signal } = {}) {
      if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
      if (replaces !== undefined && replaces.digest !== root?.digest) {
        const message = "another image was committed in the meantime";
        return Promise.reject(new OcicryptError("DESTINATION_CHANGED", message));
      }
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
