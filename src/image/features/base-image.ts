import { fromUtf8 } from "#engine/bytes";
import { collect } from "../../io/source.js";
import { OcicryptError, isOcicryptError, shown } from "../../errors.js";
import {
  BASE_DIGEST,
  type Descriptor,
  isEncryptedDescriptor,
  type Platform,
} from "../../spec/descriptor.js";
import { MAX_MANIFEST_SIZE } from "../../spec/limits.js";
import {
  isDocumentType,
  readDescriptor,
  mediaTypeOf,
  readManifestObject,
} from "../../spec/manifest.js";
import {
  DOCUMENT_TYPES,
  MEDIA_TYPE_DOCKER_LIST,
  MEDIA_TYPE_INDEX,
} from "../../spec/media-types.js";
import type { ImageSource } from "../../store/types.js";
import { verified } from "../../io/content.js";
import { isImageConfig, parseImageConfig, type ImageConfig } from "../manifests/image-config.js";
import { formatPlatform } from "../manifests/select-layers.js";
import { readDocument, tooLarge, type ManifestNode } from "../manifests/tree.js";

/** The layers that a manifest shares with its base image. */
export interface BaseMatch {
  /** The digest of the base image's manifest for the platform. */
  digest: string;
  /** The number of layers, counted from the first, that come from the base image. */
  layers: number;
  /** The number of layers of the base image. */
  of: number;
}

export interface BaseResult extends BaseMatch {
  /** `os/arch`, or `-` in an image without an index. */
  platform: string;
}

export interface BaseOptions {
  /**
   * The base image. Default: the image that each manifest names by the annotation
   * `org.opencontainers.image.base.digest`, if the source holds it. The author of that annotation
   * decides which layers stay plain.
   */
  base?: ImageSource | undefined;
  /** The configs of the manifests that can be read. */
  configs: ReadonlyMap<ManifestNode, ImageConfig>;
  signal?: AbortSignal | undefined;
}

interface BaseManifest {
  source: ImageSource;
  digest: string;
  config: Descriptor;
  layers: readonly Descriptor[];
}

/** An index, an index inside it, and a manifest. */
const MAX_DEPTH = 3;

/**
 * Finds the layers of manifests that come from their base image. These are the first layers, as far
 * as they have the same digests, or the same diffIDs if blobs were compressed again. Base images
 * may have Docker's format.
 *
 * @throws {@link OcicryptError} `BASE_NOT_FOUND`, `BASE_MISMATCH`, and the errors of reading
 */
export async function findBaseLayers(
  source: ImageSource,
  manifests: readonly ManifestNode[],
  { base, configs, signal }: BaseOptions,
): Promise<Map<ManifestNode, BaseMatch>> {
  const image = await base?.resolve({ signal });
  const found = new Map<ManifestNode, BaseMatch>();
  for (const manifest of manifests) {
    const named = image ?? (await namedBase(source, manifest, signal));
    const config = configs.get(manifest);
    const platform = manifest.platform ?? config?.platform;
    const read = await readBase(base ?? source, named, platform, signal);
    found.set(manifest, await compare(manifest, config, read, signal));
  }
  return found;
}

/** The base image of each manifest. */
export type Bases = ReadonlyMap<ManifestNode, BaseMatch>;

/** Returns the number of layers of each manifest that come from its base image. */
export function countsOf(bases: Bases): Map<ManifestNode, number> {
  return new Map([...bases].map(([manifest, { layers }]) => [manifest, layers]));
}

export function reportBase(bases: Bases): BaseResult[] {
  return [...bases].map(([{ platform }, match]) => ({
    platform: formatPlatform(platform),
    ...match,
  }));
}

/** Warns about images that lack some layers of their base image. */
export function findBaseChanged(bases: Bases): string[] {
  return [...bases.values()]
    .filter(({ layers, of }) => layers < of)
    .map(
      ({ digest, layers, of }) =>
        `only ${String(layers)} of the ${String(of)} layers of the base image ${digest} are in the image`,
    );
}

async function compare(
  { document }: ManifestNode,
  config: ImageConfig | undefined,
  base: BaseManifest,
  signal: AbortSignal | undefined,
): Promise<BaseMatch> {
  const layers = document.layers.map(({ descriptor }) => descriptor);
  const isSame = (i: number): boolean => layers[i]?.digest === base.layers[i]?.digest;
  let count = prefix(base.layers.length, isSame);
  if (count < base.layers.length && count < layers.length) {
    const own = diffIdsFor(layers.length, config);
    const other = diffIdsFor(base.layers.length, await readConfig(base, signal));
    count = prefix(base.layers.length, (i) => {
      const layer = base.layers[i];
      // A layer that is encrypted in the base image must not stay plain here.
      const isPlain = layer !== undefined && !isEncryptedDescriptor(layer);
      return isSame(i) || (isPlain && own[i] !== undefined && own[i] === other[i]);
    });
  }
  if (count > 0) return { digest: base.digest, layers: count, of: base.layers.length };
  const message = `the image has no layer of the base image ${base.digest}`;
  throw new OcicryptError("BASE_MISMATCH", message);
}

function prefix(length: number, isSame: (index: number) => boolean): number {
  let count = 0;
  while (count < length && isSame(count)) count++;
  return count;
}

/** Returns the diffIDs, or none if the config does not have one for each layer. */
function diffIdsFor(count: number, config: ImageConfig | undefined): readonly string[] {
  return config?.diffIds?.length === count ? config.diffIds : [];
}

async function readConfig(
  { source, config }: BaseManifest,
  signal: AbortSignal | undefined,
): Promise<ImageConfig | undefined> {
  if (!isImageConfig(config)) return undefined;
  return parseImageConfig(await readDocument(source, config, signal));
}

/** Returns the base image that a manifest, or its entry in the index, names. */
async function namedBase(
  source: ImageSource,
  { descriptor, document }: ManifestNode,
  signal: AbortSignal | undefined,
): Promise<Descriptor> {
  const { annotations } = readManifestObject(fromUtf8(document.text));
  const digest =
    readAnnotation(annotations, BASE_DIGEST) ?? readAnnotation(descriptor.annotations, BASE_DIGEST);
  if (digest === undefined) {
    throw notFound(`the image does not name its base: it has no annotation ${BASE_DIGEST}`);
  }
  try {
    return await describe(source, digest, signal);
  } catch (error) {
    if (isOcicryptError(error, "DESCRIPTOR_INVALID")) {
      throw notFound(
        `the annotation ${BASE_DIGEST} of the image is ${shown(digest)}, which is not a digest`,
      );
    }
    if (!isOcicryptError(error, "BLOB_NOT_FOUND") && !isOcicryptError(error, "IMAGE_NOT_FOUND")) {
      throw error;
    }
    throw notFound(
      `the place of the image does not hold the base image ${digest}, which the image names`,
    );
  }
}

/** Finds the descriptor of a manifest or index by its digest. */
async function describe(
  source: ImageSource,
  digest: string,
  signal: AbortSignal | undefined,
): Promise<Descriptor> {
  const bytes = await readUnknown(source, digest, signal);
  return { mediaType: mediaTypeOf(bytes), digest, size: bytes.byteLength };
}

/** A registry returns only the requested media type, so this requests each type. */
async function readUnknown(
  source: ImageSource,
  digest: string,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  let refusal: unknown;
  for (const mediaType of DOCUMENT_TYPES) {
    try {
      return await readSmall(source, { mediaType, digest, size: MAX_MANIFEST_SIZE }, signal);
    } catch (error) {
      if (!isOcicryptError(error, "REGISTRY_INVALID_RESPONSE")) throw error;
      refusal ??= error;
    }
  }
  throw refusal;
}

/** Reads content of unknown size, up to the descriptor's size. */
async function readSmall(
  source: ImageSource,
  descriptor: Descriptor,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const { digest } = descriptor;
  const content = verified(source.read(descriptor, { signal }), { digest }, signal);
  return collect(content, descriptor.size, () => tooLarge(`the manifest ${digest} is`));
}

/** Reads the manifest of a base image for a platform. */
async function readBase(
  source: ImageSource,
  descriptor: Descriptor,
  platform: Platform | undefined,
  signal: AbortSignal | undefined,
  depth = 1,
): Promise<BaseManifest> {
  const { mediaType, digest } = descriptor;
  if (!isDocumentType(mediaType) || depth > MAX_DEPTH) {
    throw mismatch(`the base image ${digest} is neither a manifest nor an index of manifests`);
  }
  const bytes = await readDocument(source, descriptor, signal);
  const value = readManifestObject(bytes);
  if (mediaType !== MEDIA_TYPE_INDEX && mediaType !== MEDIA_TYPE_DOCKER_LIST) {
    const config = readDescriptor(value.config, "config");
    return { source, digest, config, layers: readDescriptors(value.layers, "layers") };
  }
  const entries = readDescriptors(value.manifests, "manifests");
  const fitting = entries.filter((entry) => isSamePlatform(entry.platform, platform));
  const wanted = formatPlatform(platform);
  const exact = fitting.find((entry) => formatPlatform(entry.platform) === wanted);
  const chosen = exact ?? fitting[0];
  if (chosen === undefined) {
    throw mismatch(`the base image ${digest} has no manifest for the platform ${wanted}`);
  }
  return readBase(source, chosen, platform, signal, depth + 1);
}

/**
 * Does not use `parseDocument`, because other members of a base image's manifest are no reason to
 * reject it.
 */
function readDescriptors(value: unknown, name: string): Descriptor[] {
  if (!Array.isArray(value)) throw mismatch(`the base image's manifest has no ${name}`);
  return value.map((item, i) => readDescriptor(item, `${name}[${String(i)}]`));
}

/** Only some builders name the default variant of an architecture. */
function isSamePlatform(one: Platform | undefined, other: Platform | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  if (one.os !== other.os || one.architecture !== other.architecture) return false;
  return one.variant === undefined || other.variant === undefined || one.variant === other.variant;
}

function readAnnotation(annotations: unknown, name: string): string | undefined {
  if (typeof annotations !== "object" || annotations === null) return undefined;
  const value: unknown = new Map(Object.entries(annotations)).get(name);
  return typeof value === "string" ? value : undefined;
}

function notFound(message: string): OcicryptError {
  return new OcicryptError("BASE_NOT_FOUND", message);
}

function mismatch(message: string): OcicryptError {
  return new OcicryptError("BASE_MISMATCH", message);
}
