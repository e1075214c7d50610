import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { layoutDestination } from "../../src/store/layout/destination.js";
import { layoutSource } from "../../src/store/layout/source.js";
import { parseLayoutReference } from "../../src/store/reference.js";
import type { ImageDestination, ImageSource } from "../../src/store/types.js";
import { readBlob } from "./image.js";

export interface WatchedLayout {
  source: ImageSource;
  destination: ImageDestination;
  /** The calls, in order; reads include media types. */
  calls: string[];
}

/** A layout, as source and as destination, that writes down what is done with it. */
export async function watchedLayout(
  path: string,
  calls: string[] = [],
  tag = "",
): Promise<WatchedLayout> {
  const reference = parseLayoutReference(`oci:${path}${tag}`);
  const source = layoutSource(reference);
  const destination = await layoutDestination(reference);
  return {
    calls,
    source: {
      place: source.place,
      resolve: (options) => source.resolve(options),
      read(descriptor, options) {
        calls.push(`read ${descriptor.mediaType}`);
        return source.read(descriptor, options);
      },
    },
    destination: {
      place: destination.place,
      keepsBlobs: destination.keepsBlobs,
      contains(descriptor) {
        calls.push("contains");
        return destination.contains(descriptor);
      },
      write(content, describe) {
        calls.push("write");
        return destination.write(content, describe);
      },
      writeManifest(bytes, descriptor) {
        calls.push(`writeManifest ${descriptor.mediaType}`);
        return destination.writeManifest(bytes, descriptor);
      },
      commit(image) {
        calls.push("commit");
        return destination.commit(image);
      },
      async discard() {
        await destination.discard();
      },
    },
  };
}

/** Removes all blobs of a layout that are no manifests or indexes. */
export async function removeBlobs(path: string): Promise<void> {
  for (const hex of await readdir(join(path, "blobs", "sha256"))) {
    const text = (await readBlob(path, { digest: `sha256:${hex}` })).toString("latin1");
    if (/^\s*\{/.test(text) && /"(?:layers|manifests)"\s*:\s*\[/.test(text)) continue;
    await rm(join(path, "blobs", "sha256", hex));
  }
}
