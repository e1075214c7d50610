import type { Descriptor } from "../spec/descriptor.js";
import type { ImageDestination } from "../store/types.js";
import type { SelectedLayer } from "./select.js";
import type { ManifestNode } from "./tree.js";

/** Where the former blobs of changed layers are still to be had. */
export interface FormerCopies {
  /** Digests of those that the image has in another place too, which was not changed. */
  twins: string[];
  /** How many of them the destination holds. */
  left: number;
}

/** Finds what of the former blobs of changed layers stays. */
export async function findCopies(
  changed: readonly SelectedLayer[],
  manifests: readonly ManifestNode[],
  destination: ImageDestination,
): Promise<FormerCopies> {
  const nodes = new Set(changed.map(({ node }) => node));
  const former = new Map(changed.map(({ descriptor }) => [descriptor.digest, descriptor]));
  const twins = manifests
    .flatMap(({ document }) => document.layers)
    .filter(({ node, descriptor }) => !nodes.has(node) && former.has(descriptor.digest))
    .map(({ descriptor }) => descriptor.digest);
  let left = 0;
  for (const descriptor of former.values()) if (await exposes(destination, descriptor)) left++;
  return { twins: [...new Set(twins)], left };
}

/** Whether a blob that is not wanted in a destination can be read from there. */
export function exposes(destination: ImageDestination, blob: Descriptor): Promise<boolean> {
  return destination.exposes?.(blob) ?? destination.contains(blob);
}
