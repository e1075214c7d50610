import { stat } from "node:fs/promises";
import { join } from "node:path";
import { cannotRead, errno, OcicryptError } from "../../errors.js";
import { isAbsent, readChunks, readError, readSmallFile } from "../../io/files.js";
import type { Descriptor } from "../../spec/descriptor.js";
import { placeOf, type LayoutReference } from "../reference.js";
import type { ImageSource } from "../types.js";
import { blobName, findNamed, type ReadLayoutFile } from "./format.js";
import { listImages, readReferrers, resolveImage } from "./images.js";

/** The path of a blob in a layout directory. */
export function blobPath(layout: string, digest: string): string {
  return join(layout, blobName(digest));
}

/** Returns a function that reads the small files of a layout directory. */
export function readIn(layout: string): ReadLayoutFile {
  return (name, limit) => readSmallFile(join(layout, name), limit);
}

/**
 * Lists the images of an OCI layout directory, in the order of its `index.json`. An image without a
 * name of its own is listed by its digest.
 *
 * @throws {@link OcicryptError} `IMAGE_NOT_FOUND`, `LAYOUT_INVALID`, `MANIFEST_INVALID`
 */
export async function listLayout(path: string): Promise<LayoutReference[]> {
  const images = await listImages(path, readIn(path));
  return images.map((image) => ({ path, ...image }));
}

/** Returns a source that reads an image from an OCI layout directory. */
export function layoutSource(reference: LayoutReference): ImageSource {
  const { path } = reference;
  let known: ReadonlyMap<string, readonly Descriptor[]> | undefined;
  return {
    place: placeOf(reference, "oci"),
    resolve() {
      known = undefined;
      return resolveImage(path, reference, readIn(path));
    },
    async referrers(digest, { signal } = {}) {
      known ??= await readReferrers(readIn(path), signal);
      return [...(known.get(digest) ?? [])];
    },
    find: (tag) => findNamed(readIn(path), tag),
    async *read(descriptor) {
      yield* readBlobFile(blobPath(path, descriptor.digest), path, descriptor.digest);
    },
    contains: ({ digest, size }) => isFileOf(blobPath(path, digest), size, path),
  };
}

/**
 * Whether there is a file of this size.
 *
 * @param path of the store
 * @throws {@link OcicryptError} `SOURCE_UNREADABLE`
 */
export async function isFileOf(file: string, size: number, path: string): Promise<boolean> {
  try {
    const stats = await stat(file);
    return stats.isFile() && stats.size === size;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw readError(error, path);
  }
}

/**
 * The content of a blob's file.
 *
 * @param path of the store
 * @throws {@link OcicryptError} `BLOB_NOT_FOUND`, `SOURCE_UNREADABLE`
 */
export async function* readBlobFile(
  file: string,
  path: string,
  digest: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* readChunks(file);
  } catch (error) {
    if (errno(error) === undefined) throw error;
    if (errno(error) === "ENOENT") {
      const message = `${path} does not hold the blob ${digest}`;
      throw new OcicryptError("BLOB_NOT_FOUND", message, { cause: error });
    }
    // Of a directory or a device too, whose own error does not name the blob.
    const message = cannotRead(`the blob ${digest}`, error);
    throw new OcicryptError("SOURCE_UNREADABLE", message, { cause: error });
  }
}
