import { createHash } from "node:crypto";
import { DOCKER_REFERENCE_DIGEST } from "../spec/annotations.js";
import { replaceContent, type Descriptor } from "../spec/descriptor.js";
import { applyEdits, type Edit } from "../spec/json-text.js";
import { MAX_MANIFEST_SIZE } from "../spec/limits.js";
import type { LocatedDescriptor } from "../spec/manifest.js";
import type { ImageDestination } from "../store/types.js";
import { descriptorEdits } from "./rewrite.js";
import { tooLarge, type ImageNode, type IndexNode, type ManifestNode } from "./tree.js";

/** Where manifests go; the blobs that they name are no concern here. */
export type ManifestWriter = Pick<ImageDestination, "writeManifest">;

/** A descriptor in a manifest: of a layer, or of the config. */
export interface ManifestPart extends LocatedDescriptor {
  manifest: ManifestNode;
}

/**
 * Writes the manifests of an image anew, from the leaves up, with new descriptors for some of
 * their parts. Every byte that need not change stays.
 *
 * @returns the descriptor of the new manifest or index
 * @throws {@link OcicryptError} `MANIFEST_TOO_LARGE`, `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`
 */
export async function rebuildManifests(
  node: ImageNode,
  changed: ReadonlyMap<ManifestPart, Descriptor>,
  destination: ManifestWriter,
): Promise<Descriptor> {
  if (node.kind === "other") return node.descriptor;
  const edits =
    node.kind === "manifest"
      ? partEdits(node, changed)
      : await entryEdits(node, changed, destination);
  const bytes = Buffer.from(applyEdits(node.document.text, edits), "utf8");
  // A document that stays keeps its descriptor, whatever algorithm its digest is of.
  const after = edits.length === 0 ? node.descriptor : describe(node.descriptor, bytes);
  if (after.size > MAX_MANIFEST_SIZE) throw tooLarge(after.digest);
  await destination.writeManifest(bytes, after);
  return after;
}

function partEdits(node: ManifestNode, changed: ReadonlyMap<ManifestPart, Descriptor>): Edit[] {
  return [...changed].flatMap(([part, after]) =>
    part.manifest === node ? descriptorEdits(part, after, node.document.text) : [],
  );
}

async function entryEdits(
  { children, document }: IndexNode,
  changed: ReadonlyMap<ManifestPart, Descriptor>,
  destination: ManifestWriter,
): Promise<Edit[]> {
  const rebuilt: Descriptor[] = [];
  for (const child of children) rebuilt.push(await rebuildManifests(child, changed, destination));
  const renamed = new Map(children.map(({ descriptor }, i) => [descriptor.digest, rebuilt[i]]));
  return document.manifests.flatMap((entry, i) => {
    const descriptor = rebuilt[i];
    if (descriptor === undefined) return [];
    return descriptorEdits(entry, followReference(descriptor, renamed), document.text);
  });
}

/** BuildKit's attestations name the manifest that they are about. */
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

function describe(before: Descriptor, bytes: Uint8Array): Descriptor {
  const { mediaType, annotations } = before;
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  return replaceContent(before, { mediaType, digest, size: bytes.byteLength, annotations });
}
