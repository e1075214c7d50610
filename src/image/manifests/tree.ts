import { nextTurn } from "#engine/turn";
import { collect } from "../../io/source.js";
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
  /** The digest of the blob that the source lacks, if it holds the manifest itself. */
  blob?: string;
}

/** An image with its parts in lists. */
export interface ImageTree {
  root: ImageNode;
  /** The manifests of images; those of attestations are left out. */
  manifests: readonly ManifestNode[];
  /** All manifests and indexes, those of attestations too. */
  documents: readonly (ManifestNode | IndexNode)[];
  /** The entries of indexes that are blobs and no manifests, as in BuildKit's caches. */
  blobEntries: readonly OtherNode[];
  /** The entries of indexes that are manifests of unknown types. */
  unknown: readonly OtherNode[];
  missing: readonly MissingNode[];
  hasAttestations: boolean;
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
async function readTree(
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
    // Its use may take as long again.
    await nextTurn();
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
  return collect(verified(source.read(descriptor, { signal }), descriptor, signal));
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
): Promise<ImageTree> {
  const root = await readTree(source, await source.resolve(options), options.signal);
  const isAlone = root.kind === "manifest" && root.platform === undefined;
  if (options.platforms !== undefined && isAlone && isImageConfig(root.document.config)) {
    const config = await readDocument(source, root.document.config, options.signal);
    const { platform } = parseImageConfig(config);
    if (platform !== undefined) root.configPlatform = platform;
  }
  return listParts(root);
}

/** Returns a tree in which other nodes take the place of some entries of its indexes. */
export function replaceEntries(
  { root }: ImageTree,
  others: ReadonlyMap<ImageNode, ImageNode>,
): ImageTree {
  const replaced = (node: ImageNode): ImageNode => {
    if (node.kind !== "index") return others.get(node) ?? node;
    return { ...node, children: node.children.map(replaced) };
  };
  return listParts(replaced(root));
}

/** A tree with its parts in lists, each in the order of the indexes. */
function listParts(root: ImageNode): ImageTree {
  const nodes = nodesOf(root);
  const others = nodes.filter((node) => node.kind === "other");
  const manifests = nodes.filter((node) => node.kind === "manifest");
  return {
    root,
    manifests: manifests.filter(({ isAttestation }) => !isAttestation),
    documents: nodes.filter((node) => node.kind === "manifest" || node.kind === "index"),
    blobEntries: others.filter(({ bytes }) => bytes === undefined),
    unknown: others.filter(({ bytes }) => bytes !== undefined),
    missing: nodes.filter((node) => node.kind === "missing"),
    hasAttestations: manifests.some(({ isAttestation }) => isAttestation),
  };
}

function nodesOf(node: ImageNode): ImageNode[] {
  return node.kind === "index" ? [node, ...node.children.flatMap(nodesOf)] : [node];
}

/** @param what the subject and verb of the message: `the manifest … is` */
export function tooLarge(what: string, more = ""): OcicryptError {
  const limit = `${String(MAX_MANIFEST_SIZE)} bytes, the limit of registries`;
  return new OcicryptError("MANIFEST_TOO_LARGE", `${what} larger than ${limit}${more}`);
}
