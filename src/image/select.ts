import { OcicryptError } from "../errors.js";
import type { Platform } from "../spec/descriptor.js";
import type { LocatedDescriptor } from "../spec/manifest.js";
import type { ManifestNode } from "./tree.js";

/** Which part of an image is meant; everything where nothing is given. */
export interface Selection {
  /** Indexes of layers in each manifest: from 0, or from -1 for the last one downwards. */
  layers?: readonly number[] | undefined;
  /** `os/arch` or `os/arch/variant`. */
  platforms?: readonly string[] | undefined;
}

export interface SelectedLayer extends LocatedDescriptor {
  manifest: ManifestNode;
  index: number;
}

/**
 * The layers that a selection means.
 *
 * @throws {@link OcicryptError} `NOTHING_SELECTED` when one of its parts matches nothing
 */
export function selectLayers(
  manifests: readonly ManifestNode[],
  { layers, platforms }: Selection,
): SelectedLayer[] {
  const chosen = manifests.filter(
    ({ platform }) =>
      platforms === undefined || platforms.some((wanted) => matches(platform, wanted)),
  );
  for (const wanted of platforms ?? []) {
    if (manifests.some(({ platform }) => matches(platform, wanted))) continue;
    const there = manifests.map(({ platform }) => formatPlatform(platform)).join(", ");
    const message = `the image has no manifest for the platform ${wanted}; it has ${there}`;
    throw new OcicryptError("NOTHING_SELECTED", message);
  }
  const all = chosen.flatMap((manifest) =>
    manifest.document.layers.map((layer, index) => ({ ...layer, manifest, index })),
  );
  if (layers === undefined) return all;
  const isAt = ({ manifest, index }: SelectedLayer, wanted: number): boolean =>
    index === wanted || index - manifest.document.layers.length === wanted;
  for (const wanted of layers) {
    if (all.some((layer) => isAt(layer, wanted))) continue;
    const counts = chosen.map(({ document }) => String(document.layers.length)).join(", ");
    const message = `the image has no layer ${String(wanted)}; its manifests have ${counts} layers`;
    throw new OcicryptError("NOTHING_SELECTED", message);
  }
  return all.filter((layer) => layers.some((wanted) => isAt(layer, wanted)));
}

/** A platform as `os/arch` or `os/arch/variant`; `-` where an index names none. */
export function formatPlatform(platform: Platform | undefined): string {
  if (platform === undefined) return "-";
  const { os, architecture, variant } = platform;
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join("/");
}

function matches(platform: Platform | undefined, wanted: string): boolean {
  if (platform === undefined) return false;
  return (
    wanted === formatPlatform(platform) || wanted === `${platform.os}/${platform.architecture}`
  );
}
