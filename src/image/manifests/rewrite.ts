import { fromUtf8 } from "#engine/bytes";
import { nextTurn } from "#engine/turn";
import { isOcicryptError, OcicryptError } from "../../errors.js";
import { type Descriptor, DOCKER_REFERENCE_DIGEST, replaceContent } from "../../spec/descriptor.js";
import { applyEdits, locate, member, type Edit } from "../../text/json-edits.js";
import { digestOf } from "../../spec/digest.js";
import { MAX_MANIFEST_SIZE } from "../../spec/limits.js";
import type { LocatedDescriptor } from "../../spec/manifest.js";
import type { ImageDestination } from "../../store/types.js";
import { descriptorEdits } from "./descriptor-edits.js";
import { formatPlatform } from "./select-layers.js";
import {
  tooLarge,
  type ImageNode,
  type IndexNode,
  type ManifestNode,
  type ImageTree,
} from "./tree.js";

/** New descriptors for parts of manifests. */
export type ChangedParts = ReadonlyMap<ManifestPart, Descriptor>;

/** The new media types of some manifests and indexes. */
export type ChangedTypes = ReadonlyMap<ImageNode, string>;

/** The changes of an image's manifests. */
export interface Changes {
  parts: ChangedParts;
  types?: ChangedTypes | undefined;
}

/** A config that replaces another config. */
export interface NewConfig extends ManifestPart {
  after: Descriptor;
  bytes: Uint8Array;
}

/** The part of a destination that writes manifests. */
export type ManifestWriter = Pick<ImageDestination, "writeManifest">;

/** The descriptor of a layer or of the config in a manifest. */
export interface ManifestPart extends LocatedDescriptor {
  manifest: ManifestNode;
}

export interface RewrittenImage {
  /** The descriptor of the new manifest or index, which is not yet visible in the destination. */
  image: Descriptor;
  /** The digests of the replaced manifests and indexes, starting with the image's own. */
  former: string[];
}

/**
 * Writes the manifests of an image with changes, as {@link rewriteManifests} does, and lists the
 * manifests that are no longer part of the image.
 *
 * @throws {@link OcicryptError} as {@link rewriteManifests}
 */
export async function rewriteImage(
  tree: ImageTree,
  changes: Changes,
  destination: ManifestWriter,
): Promise<RewrittenImage> {
  const written = new Set<string>();
  const writer: ManifestWriter = {
    writeManifest(bytes, after) {
      written.add(after.digest);
      return destination.writeManifest(bytes, after);
    },
  };
  const image = await rewriteManifests(tree, changes, writer);
  const before = tree.documents.map(({ descriptor }) => descriptor.digest);
  return { image, former: [...new Set(before)].filter((digest) => !written.has(digest)) };
}

/**
 * Writes the manifests of an image from the leaves up, with new descriptors for some of their
 * parts. Every other byte stays the same.
 *
 * @returns the descriptor of the new manifest or index
 * @throws {@link OcicryptError} `MANIFEST_TOO_LARGE`, `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`
 */
export async function rewriteManifests(
  { root }: ImageTree,
  { parts: changed, types = new Map() }: Changes,
  destination: ManifestWriter,
): Promise<Descriptor> {
  const parts = new Map<ManifestNode, [ManifestPart, Descriptor][]>();
  for (const change of changed) {
    const [{ manifest }] = change;
    const own = parts.get(manifest);
    if (own === undefined) parts.set(manifest, [change]);
    else own.push(change);
  }
  return rewriteNode(root, parts, destination, types);
}

type PartsByManifest = ReadonlyMap<ManifestNode, readonly [ManifestPart, Descriptor][]>;

async function rewriteNode(
  node: ImageNode,
  changed: PartsByManifest,
  destination: ManifestWriter,
  types: ChangedTypes,
): Promise<Descriptor> {
  if (node.kind === "missing") return node.descriptor;
  if (node.kind === "other") {
    if (node.bytes !== undefined) await destination.writeManifest(node.bytes, node.descriptor);
    return node.descriptor;
  }
  const type = types.get(node);
  const edits = [
    ...(type === undefined ? [] : typeEdits(node.document.text, type)),
    ...(node.kind === "manifest"
      ? await partEdits(node, changed)
      : await entryEdits(node, changed, destination, types)),
  ];
  const bytes = fromUtf8(applyEdits(node.document.text, edits));
  // An unchanged document keeps its descriptor, whatever algorithm its digest uses.
  const after =
    edits.length === 0 && type === undefined
      ? node.descriptor
      : describe(node.descriptor, bytes, type);
  if (after.size > MAX_MANIFEST_SIZE) throw madeTooLarge(node);
  try {
    await destination.writeManifest(bytes, after);
  } catch (error) {
    throw explainRefusal(error, node);
  }
  return after;
}

/** The specification lets registries reject an index whose manifests they do not hold. */
function explainRefusal(error: unknown, node: ImageNode): unknown {
  if (!isOcicryptError(error, "REGISTRY_FAILED") || node.kind !== "index") return error;
  const absent = node.children.filter(({ kind }) => kind === "missing");
  if (absent.length === 0) return error;
  const held = node.children.filter(({ kind }) => kind === "manifest");
  const names = (nodes: readonly ImageNode[]): string =>
    nodes.map(({ descriptor: { digest, platform } }) => `${formatPlatform(platform)} (${digest})`).join(", "); // prettier-ignore
  const message = `the registry did not accept the index, which names manifests that the source does not hold: ${names(absent)}; it holds ${names(held)}; ${error.message}`;
  return new OcicryptError("REGISTRY_FAILED", message, { cause: error });
}

/** A document need not contain its own type. */
function typeEdits(text: string, type: string): Edit[] {
  const value = member(locate(text), "mediaType");
  if (value === undefined) return [];
  return [{ start: value.start, end: value.end, text: JSON.stringify(type) }];
}

/** The number of layers after which other work has its turn. */
const PARTS_AT_ONCE = 500;

async function partEdits(node: ManifestNode, changed: PartsByManifest): Promise<Edit[]> {
  const all: Edit[] = [];
  let added = 0;
  for (const [i, [part, after]] of (changed.get(node) ?? []).entries()) {
    if (i % PARTS_AT_ONCE === PARTS_AT_ONCE - 1) await nextTurn();
    const edits = descriptorEdits(part, after, node.document.text);
    added += edits.reduce((sum, { text }) => sum + text.length, 0);
    // Together, the wrapped keys of many layers can be longer than the longest string.
    if (added > MAX_MANIFEST_SIZE) throw madeTooLarge(node);
    all.push(...edits);
  }
  return all;
}

async function entryEdits(
  { children, document }: IndexNode,
  changed: PartsByManifest,
  destination: ManifestWriter,
  types: ChangedTypes,
): Promise<Edit[]> {
  const rewritten: Descriptor[] = [];
  for (const child of children) {
    rewritten.push(await rewriteNode(child, changed, destination, types));
  }
  const renamed = new Map(children.map(({ descriptor }, i) => [descriptor.digest, rewritten[i]]));
  return document.manifests.flatMap((entry, i) => {
    const descriptor = rewritten[i];
    if (descriptor === undefined) return [];
    return descriptorEdits(entry, followReference(descriptor, renamed), document.text);
  });
}

/** BuildKit's attestations name the manifest that they describe. */
function followReference(
  descriptor: Descriptor,
  renamed: ReadonlyMap<string, Descriptor | undefined>,
): Descriptor {
  const about = descriptor.annotations?.[DOCKER_REFERENCE_DIGEST];
  const target = about === undefined ? undefined : renamed.get(about);
  if (target === undefined) return descriptor;
  const annotations = { ...descriptor.annotations, [DOCKER_REFERENCE_DIGEST]: target.digest };
  return { ...descriptor, annotations };
}

function describe(before: Descriptor, bytes: Uint8Array, mediaType = before.mediaType): Descriptor {
  const { annotations } = before;
  const digest = digestOf(bytes);
  return replaceContent(before, { mediaType, digest, size: bytes.byteLength, annotations });
}

function madeTooLarge({ descriptor }: ImageNode): OcicryptError {
  return tooLarge(`the new form of the manifest ${descriptor.digest} would be`);
}
