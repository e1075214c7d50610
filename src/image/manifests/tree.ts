import { isOcicryptError, OcicryptError } from "../../errors.js";
import { type Descriptor, DOCKER_REFERENCE_TYPE, type Platform } from "../../spec/descriptor.js";
import { MAX_DESCRIPTORS, MAX_MANIFEST_SIZE } from "../../spec/limits.js";
import {
  isDocumentType,
  isManifestType,
  parseDocument,
  type Index,
  type Manifest,
} from "../../spec/manifest.js";
import type { ImageSource } from "../../store/types.js";
import { verified } from "../../io/content.js";
import { isImageConfig, parseImageConfig } from "./image-config.js";

/** An image with all its manifests, which are read before any decision is made. */
export type ImageNode = ManifestNode | IndexNode | OtherNode | MissingNode;

export interface ManifestNode {
  kind: "manifest";
  descriptor: Descriptor;
  document: Manifest;
  platform?: Platform;
  /** The platform of the config, if it was requested and no index names one. */
  configPlatform?: Platform;
  /**
   * Whether the manifest describes another manifest, as BuildKit's provenance and artifacts with a
   * `subject` do. It is kept as it is in an index.
   */
  isAttestation: boolean;
}

export interface IndexNode {
  kind: "index";
  descriptor: Descriptor;
  document: Index;
  children: ImageNode[];
}

/** An index entry of an unknown type, which is kept as it is. */
export interface OtherNode {
  kind: "other";
  descriptor: Descriptor;
  /** The bytes of a manifest; absent for a blob, as in BuildKit's build caches. */
  bytes?: Uint8Array;
}

/**
 * An index entry whose manifest the source does not hold. `docker save` and `ctr export` store the
 * whole index with the blobs of one platform; the specification of OCI layouts allows this.
 */
export interface MissingNode {
  kind: "missing";
  descriptor: Descriptor;
}

/** In practice, indexes are nested at most once. */
const MAX_DEPTH = 8;
const MAX_DOCUMENTS = 1000;
/** All of them are held in memory at once. */
const MAX_TOTAL_SIZE = 16 * MAX_MANIFEST_SIZE;

/**
 * Reads the manifests of an image, each verified against its descriptor.
 *
 * @throws {@link OcicryptError} `MANIFEST_INVALID`, `MANIFEST_TOO_LARGE`, `MANIFEST_UNSUPPORTED`,
 *   `BLOB_NOT_FOUND`, `BLOB_SIZE_MISMATCH`, `BLOB_DIGEST_MISMATCH`, `SOURCE_UNREADABLE`
 */
export async function readTree(
  source: ImageSource,
  root: Descriptor,
  signal?: AbortSignal,
): Promise<ImageNode> {
  let documents = 0;
  let totalSize = 0;
  let descriptors = 0;

  async function readNode(descriptor: Descriptor, depth: number): Promise<ImageNode> {
    const isKnown = isDocumentType(descriptor.mediaType);
    if (!isKnown && depth === 0) {
      const message = `${descriptor.mediaType} is not the type of an image`;
      throw new OcicryptError("MANIFEST_UNSUPPORTED", message);
    }
    if (!isManifestType(descriptor.mediaType)) return { kind: "other", descriptor };
    totalSize += Math.min(descriptor.size, MAX_MANIFEST_SIZE);
    if (depth > MAX_DEPTH || ++documents > MAX_DOCUMENTS || totalSize > MAX_TOTAL_SIZE) {
      throw new OcicryptError(
        "MANIFEST_INVALID",
        "the image's indexes are nested too deeply or name too many manifests",
      );
    }
    const bytes = await readDocument(source, descriptor, signal).catch((error: unknown) => {
      if (depth > 0 && isOcicryptError(error, "BLOB_NOT_FOUND")) return undefined;
      throw error;
    });
    if (bytes === undefined) return { kind: "missing", descriptor };
    if (!isKnown) return { kind: "other", descriptor, bytes };
    const document = parseDocument(bytes, descriptor.mediaType);
    descriptors += (document.kind === "index" ? document.manifests : document.layers).length;
    if (descriptors > MAX_DESCRIPTORS) {
      const most = String(MAX_DESCRIPTORS);
      throw new OcicryptError(
        "MANIFEST_INVALID",
        `the image has more than ${most} layers and entries`,
      );
    }
    const { platform } = descriptor;
    if (document.kind === "manifest") {
      const isArtifact = document.subject !== undefined && !isImageConfig(document.config);
      const isAttestation =
        (isMarked(descriptor) && isNowhere(platform)) ||
        (depth > 0 && isArtifact && (platform === undefined || isNowhere(platform)));
      return {
        kind: "manifest",
        descriptor,
        document,
        isAttestation,
        ...(platform && { platform }),
      };
    }
    const children: ImageNode[] = [];
    for (const entry of document.manifests) {
      children.push(await readNode(entry.descriptor, depth + 1));
    }
    return { kind: "index", descriptor, document, children };
  }

  return readNode(root, 0);
}

/**
 * Reads a whole manifest or config.
 *
 * @throws {@link OcicryptError} `MANIFEST_TOO_LARGE`, `BLOB_NOT_FOUND`, `BLOB_SIZE_MISMATCH`,
 *   `BLOB_DIGEST_MISMATCH`, `SOURCE_UNREADABLE`
 */
export async function readDocument(
  source: ImageSource,
  descriptor: Descriptor,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if (descriptor.size > MAX_MANIFEST_SIZE) throw tooLarge(`the manifest ${descriptor.digest} is`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of verified(source.read(descriptor, { signal }), descriptor, signal)) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Whether an entry has BuildKit's mark of attestations. */
export function isMarked({ annotations }: Descriptor): boolean {
  return annotations?.[DOCKER_REFERENCE_TYPE] === "attestation-manifest";
}

/**
 * Whether a platform is BuildKit's `unknown/unknown`, which no runtime runs. The mark alone is not
 * enough: it could hide a plain image.
 */
export function isNowhere(platform: Platform | undefined): boolean {
  return platform?.os === "unknown" && platform.architecture === "unknown";
}

/**
 * Reads the manifests of the image that a source resolves to; see {@link readTree}. If platforms
 * are selected, a manifest outside an index has the platform of its config.
 */
export async function readImage(
  source: ImageSource,
  options: { platforms?: readonly string[] | undefined; signal?: AbortSignal | undefined },
): Promise<ImageNode> {
  const root = await readTree(source, await source.resolve(options), options.signal);
  if (root.kind !== "manifest" || root.platform !== undefined) return root;
  const { config } = root.document;
  if (options.platforms === undefined || !isImageConfig(config)) return root;
  const { platform } = parseImageConfig(await readDocument(source, config, options.signal));
  return platform === undefined ? root : { ...root, configPlatform: platform };
}

/** Returns the index entries whose manifests the source does not hold. */
export function missingManifests(node: ImageNode): MissingNode[] {
  if (node.kind === "index") return node.children.flatMap(missingManifests);
  return node.kind === "missing" ? [node] : [];
}

/** Returns the index entries that are blobs, not manifests, as in BuildKit's caches. */
export function blobEntries(node: ImageNode): OtherNode[] {
  if (node.kind === "index") return node.children.flatMap(blobEntries);
  return node.kind === "other" && node.bytes === undefined ? [node] : [];
}

/** Returns the image manifests of a tree, without attestations, in the order of their indexes. */
export function imageManifests(node: ImageNode): ManifestNode[] {
  if (node.kind === "index") return node.children.flatMap(imageManifests);
  return node.kind === "manifest" && !node.isAttestation ? [node] : [];
}

/** Returns all manifests and indexes of a tree. */
export function documentNodes(node: ImageNode): (ManifestNode | IndexNode)[] {
  if (node.kind === "other" || node.kind === "missing") return [];
  return node.kind === "index" ? [node, ...node.children.flatMap(documentNodes)] : [node];
}

/** Whether a tree contains an attestation. */
export function hasAttestations(node: ImageNode): boolean {
  if (node.kind === "index") return node.children.some(hasAttestations);
  return node.kind === "manifest" && node.isAttestation;
}

/** @param what the subject and verb of the message: `the manifest … is` */
export function tooLarge(what: string, more = ""): OcicryptError {
  const limit = `${String(MAX_MANIFEST_SIZE)} bytes, the limit of registries`;
  return new OcicryptError("MANIFEST_TOO_LARGE", `${what} larger than ${limit}${more}`);
}
