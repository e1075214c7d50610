import { locate, member } from "../../text/json-edits.js";
import type { LocatedDescriptor } from "../../spec/manifest.js";
import { ociMediaType } from "../../spec/media-types.js";
import type { Descriptor } from "../../spec/descriptor.js";
import type { SelectedLayer } from "../manifests/select-layers.js";
import type { Changes, ChangedParts, ManifestPart, NewConfig } from "../manifests/rewrite.js";
import type { ImageNode, ManifestNode, ImageTree } from "../manifests/tree.js";

export const CONVERTED_WARNING =
  "converted from Docker's format: decryption restores the layers, but not the manifest's digest";

/** Whether any manifest or index of an image has Docker's format (image manifest v2, schema 2). */
export function hasDockerFormat(tree: ImageTree): boolean {
  return tree.documents.some(isDockerDocument);
}

/** Changes of manifests apart from their layers. */
export interface OtherChanges {
  /** Configs that replace others; none by default. */
  configs?: readonly NewConfig[] | undefined;
  /** Whether Docker manifests are converted to OCI; false by default. */
  toOci?: boolean | undefined;
}

/** The edits that give layers new descriptors. */
export function changesOf(
  tree: ImageTree,
  layers: ReadonlyMap<SelectedLayer, Descriptor>,
  { configs = [], toOci = false }: OtherChanges,
): Changes {
  const parts = new Map<ManifestPart, Descriptor>(layers);
  for (const config of configs) parts.set(config, config.after);
  return toOci ? convertToOci(tree, parts) : { parts };
}

/**
 * Converts all Docker manifests and manifest lists to OCI, which differs only in media types.
 * Docker's format cannot contain encrypted layers, and few tools read an index with both formats.
 * OCI manifests are kept, whatever types their layers have.
 *
 * @param changed the parts of manifests that also change in other ways
 */
function convertToOci(tree: ImageTree, changed: ChangedParts): Changes {
  const docker = tree.documents.filter(isDockerDocument);
  const parts = new Map(changed);
  const known = byPlace(changed.keys());
  for (const node of docker) {
    if (node.kind === "index") continue;
    for (const located of partsOf(node)) {
      const part = known.get(node)?.get(located.node.start) ?? { ...located, manifest: node };
      const after = changed.get(part) ?? part.descriptor;
      parts.set(part, { ...after, mediaType: ociMediaType(after.mediaType) });
    }
  }
  return { parts, types: new Map(docker.map((node) => [node, ociType(node)])) };
}

/** Groups parts by their positions, because a config that changes is located again. */
function byPlace(parts: Iterable<ManifestPart>): Map<ManifestNode, Map<number, ManifestPart>> {
  const places = new Map<ManifestNode, Map<number, ManifestPart>>();
  for (const part of parts) {
    const own = places.get(part.manifest) ?? new Map<number, ManifestPart>();
    places.set(part.manifest, own.set(part.node.start, part));
  }
  return places;
}

function partsOf({ document }: ManifestNode): LocatedDescriptor[] {
  const { config, layers, text } = document;
  const node = member(locate(text), "config");
  return node === undefined ? layers : [{ descriptor: config, node }, ...layers];
}

function isDockerDocument(node: ImageNode): boolean {
  return ociType(node) !== node.descriptor.mediaType;
}

function ociType({ descriptor }: ImageNode): string {
  return ociMediaType(descriptor.mediaType);
}
