import { cannotRead, errno, isOcicryptError, OcicryptError } from "../../errors.js";
import type { Descriptor } from "../../spec/descriptor.js";
import { MAX_MANIFEST_SIZE } from "../../spec/limits.js";
import { isManifestType, mediaTypeOf, readSubject, type Subject } from "../../spec/manifest.js";
import { readChunks } from "../../io/files.js";
import {
  blobName,
  blobPath,
  readIn,
  requireLayout,
  type ReadLayoutFile,
  findEntry,
  nameOf,
  findNamed,
  parseLayoutIndex,
} from "./format.js";
import { placeOf, type Reference } from "../reference.js";
import type { ImageSource } from "../types.js";
import { createHash } from "node:crypto";
import { parseDigest } from "../../spec/digest.js";

/**
 * Returns the descriptor of the image that a reference names in a layout.
 *
 * @throws {@link OcicryptError} `IMAGE_NOT_FOUND`, `LAYOUT_INVALID`, `MANIFEST_INVALID`, and the
 *   errors of `read`
 */
export async function resolveImage(
  { path, tag, digest }: Reference,
  read: ReadLayoutFile,
): Promise<Descriptor> {
  await requireLayout(path, read);
  const bytes = await read("index.json", MAX_MANIFEST_SIZE);
  if (bytes === undefined) {
    throw new OcicryptError("LAYOUT_INVALID", `the OCI layout at ${path} has no index.json`);
  }
  const index = parseLayoutIndex(bytes);
  if (digest === undefined) return findEntry(index, path, tag);
  const entry = index.entries.find(({ descriptor }) => descriptor.digest === digest);
  return entry?.descriptor ?? (await describeManifest(path, digest, read));
}

/**
 * Lists the images of an OCI layout directory, in the order of its `index.json`: by their names, and
 * those without a name of their own by their digests.
 *
 * @throws {@link OcicryptError} `IMAGE_NOT_FOUND`, `LAYOUT_INVALID`, `MANIFEST_INVALID`
 */
export async function listLayout(path: string): Promise<Reference[]> {
  await requireLayout(path);
  const bytes = await readIn(path)("index.json", MAX_MANIFEST_SIZE);
  const entries = bytes === undefined ? [] : parseLayoutIndex(bytes).entries;
  const names = entries.map(({ descriptor }) => nameOf(descriptor));
  return entries.map(({ descriptor: { digest } }, i) => {
    const tag = names[i];
    const isOwn = tag !== undefined && names.indexOf(tag) === names.lastIndexOf(tag);
    return isOwn ? { path, tag } : { path, digest };
  });
}

/** Returns a source that reads an image from an OCI layout directory. */
export function layoutSource(reference: Reference): ImageSource {
  const { path } = reference;
  let known: ReadonlyMap<string, readonly Descriptor[]> | undefined;
  return {
    place: placeOf(reference, "oci"),
    resolve() {
      known = undefined;
      return resolveImage(reference, readIn(path));
    },
    async referrers(digest, { signal } = {}) {
      known ??= await readReferrers(readIn(path), signal);
      return [...(known.get(digest) ?? [])];
    },
    find: (tag) => findNamed(readIn(path), tag),
    async *read(descriptor) {
      yield* readBlobFile(blobPath(path, descriptor.digest), path, descriptor.digest);
    },
  };
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

/** Describes a manifest that `index.json` does not list, such as the manifest of one platform. */
async function describeManifest(
  layout: string,
  digest: string,
  read: ReadLayoutFile,
): Promise<Descriptor> {
  const bytes = await read(blobName(digest), MAX_MANIFEST_SIZE);
  if (bytes === undefined) {
    throw new OcicryptError("IMAGE_NOT_FOUND", `${layout} holds no manifest ${digest}`);
  }
  return { mediaType: mediaTypeOf(bytes), digest, size: bytes.byteLength };
}

/** The most bytes of all manifests that are searched. */
const MAX_TOTAL_SIZE = 16 * MAX_MANIFEST_SIZE;

/**
 * Finds the manifests in a layout's `index.json` that refer to other manifests by their `subject`,
 * as signatures do, and returns them by the digest that they refer to. Entries that cannot be read,
 * or are not manifests, are ignored.
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
    throw new OcicryptError("LAYOUT_INVALID", "the layout's manifests are too large to search");
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
