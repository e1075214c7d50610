import { isOcicryptError } from "../../errors.js";
import type { Descriptor } from "../../spec/descriptor.js";
import type { ImageDestination } from "../../store/types.js";
import type { SelectedLayer } from "../manifests/select-layers.js";
import type { ManifestNode } from "../manifests/tree.js";

/** The wording of warnings about former blobs of changed layers that still exist. */
export interface CopyWords {
  /** Warns about a blob that the image also has in another place, which did not change. */
  twin: (digest: string) => string;
  /** Warns about blobs that the destination still holds, such as `2 layers`. */
  left: (layers: string) => string;
  /** The former state of the layers. */
  kind: string;
}

/** The words for layers that were plain before encryption. */
export const PLAIN_COPIES: CopyWords = {
  kind: "plain layer",
  twin: (digest) => `the layer ${digest} was encrypted in one place, but is still plain in another`,
  left: (layers) =>
    `the destination still holds the blobs of ${layers}; to avoid this, encrypt into a new place`,
};

/** Warns about former blobs of changed layers that still exist. */
export async function findCopies(
  changed: readonly SelectedLayer[],
  manifests: readonly ManifestNode[],
  destination: ImageDestination,
  { twin, left, kind }: CopyWords,
): Promise<string[]> {
  const nodes = new Set(changed.map(({ node }) => node));
  const former = new Map(changed.map(({ descriptor }) => [descriptor.digest, descriptor]));
  const twins = manifests
    .flatMap(({ document }) => document.layers)
    .filter(({ node, descriptor }) => !nodes.has(node) && former.has(descriptor.digest))
    .map(({ descriptor }) => descriptor.digest);
  const exposed = { yes: 0, no: 0, unknown: 0 };
  for (const descriptor of former.values()) exposed[await exposes(destination, descriptor)]++;
  const layers = (count: number): string =>
    count === 1 ? `1 ${kind}` : `${String(count)} ${kind}s`;
  return [
    ...[...new Set(twins)].map(twin),
    ...(exposed.yes === 0 ? [] : [left(layers(exposed.yes))]),
    ...(exposed.unknown === 0 ? [] : [notKnown(`the former blobs of ${layers(exposed.unknown)}`)]),
  ];
}

/** Whether an unwanted blob can be read from a destination. */
export async function exposes(
  destination: ImageDestination,
  blob: Descriptor,
): Promise<"yes" | "no" | "unknown"> {
  try {
    const isExposed = await (destination.exposes?.(blob) ?? destination.contains(blob));
    return isExposed ? "yes" : "no";
  } catch (error) {
    // Everything is written by now, and the answer only decides about a warning, so it is no reason
    // to fail.
    if (isOcicryptError(error)) return "unknown";
    throw error;
  }
}

export function notKnown(what: string): string {
  return `could not find out whether the destination still holds ${what}`;
}
