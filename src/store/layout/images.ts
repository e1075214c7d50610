import { toHex } from "#engine/bytes";
import { createHash } from "#engine/hash";
import { isOcicryptError, OcicryptError } from "../../errors.js";
import { collect } from "../../io/source.js";
import type { Descriptor } from "../../spec/descriptor.js";
import { parseDigest, type Digest } from "../../spec/digest.js";
import { MAX_MANIFEST_SIZE } from "../../spec/limits.js";
import { isManifestType, mediaTypeOf, readSubject, type Subject } from "../../spec/manifest.js";
import type { ImageSource } from "../types.js";
import {
  blobName,
  findEntry,
  findNamed,
  nameOf,
  parseLayoutIndex,
  requireLayout,
  type ReadLayoutFile,
} from "./format.js";

/** An image of a layout: the one with a tag or a digest, or the only image. */
export interface NamedImage {
  /** The image's name in the layout's `index.json`. */
  tag?: string | undefined;
  digest?: string | undefined;
}

/**
 * Returns the descriptor of the image with a name in a layout.
 *
 * @param path how messages name the layout
 * @throws {@link OcicryptError} `IMAGE_NOT_FOUND`, `LAYOUT_INVALID`, `MANIFEST_INVALID`, and the
 *   errors of `read`
 */
export async function resolveImage(
  path: string,
  { tag, digest }: NamedImage,
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
 * Lists the images of a layout, in the order of its `index.json`. An image without a name of its own
 * is listed by its digest.
 *
 * @param path how messages name the layout
 * @throws {@link OcicryptError} `IMAGE_NOT_FOUND`, `LAYOUT_INVALID`, `MANIFEST_INVALID`, and the
 *   errors of `read`
 */
export async function listImages(
  path: string,
  read: ReadLayoutFile,
): Promise<({ tag: string } | { digest: string })[]> {
  await requireLayout(path, read);
  const bytes = await read("index.json", MAX_MANIFEST_SIZE);
  const entries = bytes === undefined ? [] : parseLayoutIndex(bytes).entries;
  const names = entries.map(({ descriptor }) => nameOf(descriptor));
  return entries.map(({ descriptor: { digest } }, i) => {
    const tag = names[i];
    const isOwn = tag !== undefined && names.indexOf(tag) === names.lastIndexOf(tag);
    return isOwn ? { tag } : { digest };
  });
}

/** The files of a layout, in an archive or in blobs. */
export interface LayoutFiles {
  /** How messages name the layout. */
  readonly path: string;
  /** The size of a file in bytes, or `undefined` if it does not exist. */
  sizeOf(name: string): number | undefined;
  /** Reads a file that exists. */
  read(name: string): AsyncIterable<Uint8Array>;
}

/**
 * Returns a source that reads an image from the files of a layout.
 *
 * @param open called by each `resolve`, and if nothing was opened before
 */
export function filesSource(
  path: string,
  image: NamedImage,
  open: (signal?: AbortSignal) => Promise<LayoutFiles>,
): ImageSource {
  let files: LayoutFiles | undefined;
  let known: ReadonlyMap<string, readonly Descriptor[]> | undefined;
  return {
    async resolve(options) {
      known = undefined;
      files = await open(options?.signal);
      return resolveImage(path, image, smallFilesOf(files));
    },
    async *read({ digest }) {
      files ??= await open();
      const name = blobName(digest);
      if (files.sizeOf(name) === undefined) {
        throw new OcicryptError("BLOB_NOT_FOUND", `${path} does not hold the blob ${digest}`);
      }
      yield* files.read(name);
    },
    async contains({ digest, size }, { signal } = {}) {
      files ??= await open(signal);
      return files.sizeOf(blobName(digest)) === size;
    },
    async find(tag, { signal } = {}) {
      files ??= await open(signal);
      return findNamed(smallFilesOf(files), tag);
    },
    async referrers(digest, { signal } = {}) {
      files ??= await open(signal);
      known ??= await readReferrers(smallFilesOf(files), signal);
      return [...(known.get(digest) ?? [])];
    },
  };
}

/** Returns a function that reads small files of a layout whole. */
export function smallFilesOf(files: LayoutFiles): ReadLayoutFile {
  return async (name, limit) => {
    const size = files.sizeOf(name);
    if (size === undefined) return undefined;
    if (size > limit) {
      const message = `${name} in ${files.path} is larger than ${String(limit)} bytes`;
      throw new OcicryptError("LAYOUT_INVALID", message);
    }
    return collect(files.read(name));
  };
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
    if (bytes === undefined || hexDigest(algorithm, bytes) !== hex) return {};
    return readSubject(bytes);
  } catch (error) {
    if (isOcicryptError(error)) return {};
    throw error;
  }
}

function hexDigest(algorithm: Digest["algorithm"], bytes: Uint8Array): string {
  const hash = createHash(algorithm);
  hash.update(bytes);
  return toHex(hash.digest());
}
