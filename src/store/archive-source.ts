import { OcicryptError } from "../errors.js";
import type { Descriptor } from "../spec/descriptor.js";
import { openArchive, readPart, type Archive } from "./archive-file.js";
import { invalid } from "./archive-headers.js";
import { blobName, type ReadLayoutFile } from "./layout-files.js";
import { readReferrers } from "./layout-referrers.js";
import { resolveImage } from "./layout-source.js";
import { placeOf, type Reference } from "./reference.js";
import type { ImageSource } from "./types.js";

/**
 * An image in an OCI archive: a layout in an uncompressed tar file, which must be a regular one.
 * What is strange in a tar is refused (`LAYOUT_INVALID`): links, devices, sparse files, names
 * outside of it, files that are there twice, a missing end.
 */
export function archiveSource(reference: Reference): ImageSource {
  const { path } = reference;
  let archive: Archive | undefined;
  let known: ReadonlyMap<string, readonly Descriptor[]> | undefined;
  return {
    place: placeOf(reference, "oci-archive"),
    async resolve(options) {
      known = undefined;
      archive = await openArchive(path, options?.signal);
      return resolveImage(reference, readIn(archive));
    },
    async *read({ digest }) {
      archive ??= await openArchive(path);
      const part = archive.files.get(blobName(digest));
      if (part === undefined) {
        throw new OcicryptError("BLOB_NOT_FOUND", `${path} does not hold the blob ${digest}`);
      }
      yield* readPart(archive, part);
    },
    async referrers(digest, { signal } = {}) {
      archive ??= await openArchive(path, signal);
      known ??= await readReferrers(readIn(archive), signal);
      return [...(known.get(digest) ?? [])];
    },
  };
}

/** Reads the small files of the layout in an archive. */
export function readIn(archive: Archive): ReadLayoutFile {
  return async (name, limit) => {
    const part = archive.files.get(name);
    if (part === undefined) return undefined;
    if (part.size > limit) {
      throw invalid(`${name} in ${archive.path} is larger than ${String(limit)} bytes`);
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of readPart(archive, part)) chunks.push(chunk);
    return Buffer.concat(chunks);
  };
}
