import { createHash } from "node:crypto";
import { isOcicryptError, OcicryptError } from "../errors.js";
import type { Descriptor } from "../spec/descriptor.js";
import { parseDigest } from "../spec/digest.js";
import { MAX_MANIFEST_SIZE } from "../spec/limits.js";
import { isManifestType, readSubject, type Subject } from "../spec/manifest.js";
import { blobName, type ReadLayoutFile } from "./layout-files.js";
import { parseLayoutIndex } from "./layout-index.js";

/** In bytes, of all manifests that are looked into. */
const MAX_TOTAL_SIZE = 16 * MAX_MANIFEST_SIZE;

/**
 * What in the `index.json` of a layout refers to other manifests by its `subject`, by the digests
 * of these: where tools keep the signatures of images in a layout. What can not be read, or is no
 * manifest, refers to nothing.
 *
 * @throws {@link OcicryptError} `MANIFEST_INVALID`, `LAYOUT_INVALID`, `SOURCE_UNREADABLE`
 */
export async function readReferrers(
  read: ReadLayoutFile,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, readonly Descriptor[]>> {
  const bytes = await read("index.json", MAX_MANIFEST_SIZE);
  const entries = bytes === undefined ? [] : parseLayoutIndex(bytes).entries;
  const distinct = new Map(entries.map(({ descriptor }) => [descriptor.digest, descriptor]));
  const manifests = [...distinct.values()].filter(
    ({ mediaType, size }) => isManifestType(mediaType) && size <= MAX_MANIFEST_SIZE,
  );
  if (manifests.reduce((sum, { size }) => sum + size, 0) > MAX_TOTAL_SIZE) {
    throw new OcicryptError("LAYOUT_INVALID", "the layout's manifests are too large to look into");
  }
  const referrers = new Map<string, Descriptor[]>();
  for (const descriptor of manifests) {
    signal?.throwIfAborted();
    const { subject, artifactType } = await readArtifact(read, descriptor);
    if (subject === undefined) continue;
    const others = referrers.get(subject) ?? [];
    referrers.set(subject, [...others, { ...descriptor, ...(artifactType && { artifactType }) }]);
  }
  return referrers;
}

async function readArtifact(read: ReadLayoutFile, { digest, size }: Descriptor): Promise<Subject> {
  try {
    const bytes = await read(blobName(digest), size);
    const { algorithm, hex } = parseDigest(digest);
    if (bytes === undefined || createHash(algorithm).update(bytes).digest("hex") !== hex) return {};
    return readSubject(bytes);
  } catch (error) {
    if (isOcicryptError(error)) return {};
    throw error;
  }
}
