import { OcicryptError, shown } from "../../errors.js";
import { isEncryptedDescriptor, type Platform } from "../../spec/descriptor.js";
import type { LocatedDescriptor } from "../../spec/manifest.js";
import { plainMediaType } from "../../spec/media-types.js";
import { isNowhere, type ManifestNode, type ImageTree } from "./tree.js";

/**
 * A range of positions, including both ends; positions that a manifest does not have are ignored.
 */
export interface LayerRange {
  from: number;
  to: number;
}

/**
 * Selects layers of an image. Without selectors, all layers are selected. Otherwise, a layer must
 * match one value of each given selector, and every value must match a layer.
 */
export interface LayerSelection {
  /** The positions of layers in each manifest: 0 is the first layer, and -1 is the last. */
  layers?: readonly (number | LayerRange)[] | undefined;
  /** `os/arch` or `os/arch/variant`. */
  platforms?: readonly string[] | undefined;
  /** The plain media types of the layers, without `+encrypted`. They must match exactly. */
  mediaTypes?: readonly string[] | undefined;
  /** The smallest size of a layer, in bytes. */
  minSize?: number | undefined;
  /**
   * The digests of the layers as they are in the image; for an encrypted layer, the digest of the
   * ciphertext.
   */
  digests?: readonly string[] | undefined;
}

export interface SelectedLayer extends LocatedDescriptor {
  manifest: ManifestNode;
  index: number;
}

/** The number of layers of each manifest, counted from the first, that come from its base image. */
export type BaseLayers = ReadonlyMap<ManifestNode, number>;

/** The advice for an image that lacks some platforms. */
export const SELECT_OTHERS = "select the platforms that it holds";

const BASE = "except for its base image, which stays plain, the image has ";

/** One value of one kind of selector. */
interface Selector {
  /** The selected layers, as a message calls them. */
  what: string;
  fits: (layer: SelectedLayer) => boolean;
}

/**
 * Returns the layers that a selection selects.
 *
 * @param base the layers of base images, which are never selected
 * @throws {@link OcicryptError} `NOTHING_SELECTED` if a value selects nothing
 */
export function selectLayers(
  manifests: readonly ManifestNode[],
  selection: LayerSelection,
  base?: BaseLayers,
): SelectedLayer[] {
  const chosen = selectManifests(manifests, selection);
  const all = chosen.flatMap((manifest) =>
    manifest.document.layers.map((layer, index) => ({ ...layer, manifest, index })),
  );
  const own = all.filter(({ manifest, index }) => index >= (base?.get(manifest) ?? 0));
  const kinds = selectors(selection);
  const selected = own.filter((layer) =>
    kinds.every((kind) => kind.some((one) => one.fits(layer))),
  );

  for (const { what, fits } of kinds.flat()) {
    if (selected.some(fits)) continue;
    if (own.some(fits)) throw nothing(`the other selectors leave no ${what}`);
    if (all.some(fits)) throw nothing(`${BASE}no ${what}`);
    throw nothing(`the image has no ${what}; ${placesOf(chosen)}`);
  }
  if (selected.length === 0 && all.length > 0) {
    throw nothing(own.length === 0 ? `${BASE}nothing` : "no layer matches all selectors");
  }
  return selected;
}

/**
 * Rejects a selection of manifests that the source does not hold. Other manifests may be missing.
 *
 * @throws {@link OcicryptError} `BLOB_NOT_FOUND`
 */
export function requirePresent(
  { missing: entries }: ImageTree,
  { platforms }: LayerSelection,
): void {
  const missing = entries.find(
    ({ descriptor: { platform } }) =>
      platforms?.some((wanted) => matches(platform, wanted)) ?? !isNowhere(platform),
  );
  if (missing === undefined) return;
  const { digest, platform } = missing.descriptor;
  const message = `the source does not hold the manifest ${digest} of ${formatPlatform(platform)}; ${SELECT_OTHERS}`;
  throw new OcicryptError("BLOB_NOT_FOUND", message);
}

/**
 * Returns the encrypted layers of a selection.
 *
 * @throws {@link OcicryptError} `NOTHING_SELECTED`; `NOT_ENCRYPTED` if no layer is encrypted
 */
export function selectEncrypted(tree: ImageTree, selection: LayerSelection): SelectedLayer[] {
  requirePresent(tree, selection);
  const { manifests } = tree;
  const isEncrypted = ({ descriptor }: LocatedDescriptor): boolean =>
    isEncryptedDescriptor(descriptor);
  const selected = selectLayers(manifests, selection).filter(isEncrypted);
  if (selected.length > 0) return selected;
  const others = manifests.some(({ document }) => document.layers.some(isEncrypted));
  const what = others ? "none of the selected layers" : "no layer of the image";
  throw new OcicryptError("NOT_ENCRYPTED", `${what} is encrypted`);
}

/**
 * Returns the manifests of the selected platforms.
 *
 * @throws {@link OcicryptError} `NOTHING_SELECTED` for a platform that the image does not have
 */
export function selectManifests(
  manifests: readonly ManifestNode[],
  { platforms }: LayerSelection,
): ManifestNode[] {
  for (const wanted of platforms ?? []) {
    if (manifests.some((manifest) => matches(platformOf(manifest), wanted))) continue;
    throw nothing(
      `the image has no manifest for the platform ${shown(wanted)}; ${platformsOf(manifests)}`,
    );
  }
  return manifests.filter(
    (manifest) => platforms?.some((wanted) => matches(platformOf(manifest), wanted)) ?? true,
  );
}

/** Lists the available platforms, for a message. */
function platformsOf(manifests: readonly ManifestNode[]): string {
  if (manifests.every(({ platform }) => platform === undefined)) {
    return manifests.length === 1
      ? "it has a single manifest, for the platform that its config names"
      : "its manifests name no platform";
  }
  return `it has ${manifests.map(({ platform }) => formatPlatform(platform)).join(", ")}`;
}

function placesOf(manifests: readonly ManifestNode[]): string {
  const places = manifests.map(({ document: { layers } }) => {
    if (layers.length < 2) return layers.length === 0 ? "no layers" : "layer 0";
    return `layers 0..${String(layers.length - 1)}`;
  });
  return `its ${places.length === 1 ? "manifest has" : "manifests have"} ${places.join(", ")}`;
}

/** Formats a platform as `os/arch` or `os/arch/variant`; `-` if an index names none. */
export function formatPlatform(platform: Platform | undefined): string {
  if (platform === undefined) return "-";
  const { os, architecture, variant } = platform;
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join("/");
}

/** Names a layer for a message: `layer 0 of linux/amd64`. */
export function nameOfLayer({ manifest, index }: SelectedLayer): string {
  const { platform } = manifest;
  const where = platform === undefined ? "" : ` of ${formatPlatform(platform)}`;
  return `layer ${String(index)}${where}`;
}

function selectors(selection: LayerSelection): Selector[][] {
  const { layers, platforms, mediaTypes, minSize, digests } = selection;
  const kinds: (Selector[] | undefined)[] = [
    layers?.map((wanted) => ({
      what: `layer ${formatLayerRange(wanted)}`,
      fits: (layer) => isAt(layer, wanted),
    })),
    mediaTypes?.map((wanted) => ({
      what: `layer of type ${shown(wanted)}`,
      fits: ({ descriptor }) => plainMediaType(descriptor.mediaType) === wanted,
    })),
    minSize === undefined
      ? undefined
      : [
          {
            what: `layer of ${String(minSize)} bytes or more`,
            fits: ({ descriptor }) => descriptor.size >= minSize,
          },
        ],
    digests?.map((wanted) => ({
      what: `layer ${shown(wanted)}`,
      fits: ({ descriptor }) => descriptor.digest === wanted,
    })),
    // Last, so that a message names a platform only if no other selector is the problem.
    platforms?.map((wanted) => ({
      what: `layer of the platform ${shown(wanted)}`,
      fits: ({ manifest }) => matches(platformOf(manifest), wanted),
    })),
  ];
  return kinds.filter((kind) => kind !== undefined);
}

function isAt({ manifest, index }: SelectedLayer, wanted: number | LayerRange): boolean {
  return isInRange(index, manifest.document.layers.length, wanted);
}

/** Returns the platform that a selection compares. */
function platformOf({ platform, configPlatform }: ManifestNode): Platform | undefined {
  return platform ?? configPlatform;
}

/** Whether a platform is the one that a selection names. */
export function matches(platform: Platform | undefined, wanted: string): boolean {
  if (platform === undefined) return false;
  return (
    wanted === formatPlatform(platform) || wanted === `${platform.os}/${platform.architecture}`
  );
}

function nothing(message: string): OcicryptError {
  return new OcicryptError("NOTHING_SELECTED", message);
}

/**
 * Parses the position of a layer, or a range of positions: `2`, `-1`, `1..3`, `-2..-1`.
 *
 * @returns `undefined` for any other text
 */
export function parseLayerRange(text: string): number | LayerRange | undefined {
  const [, first, last] = /^(-?\d{1,9})(?:\.\.(-?\d{1,9}))?$/.exec(text) ?? [];
  if (first === undefined) return undefined;
  return last === undefined ? Number(first) : { from: Number(first), to: Number(last) };
}

/** Formats a position or a range as {@link parseLayerRange} reads it. */
function formatLayerRange(wanted: number | LayerRange): string {
  if (typeof wanted === "number") return String(wanted);
  return `${String(wanted.from)}..${String(wanted.to)}`;
}

/** Whether a range has the position of a layer, in a manifest with a number of layers. */
function isInRange(index: number, layers: number, wanted: number | LayerRange): boolean {
  const fromStart = (place: number): number => (place < 0 ? place + layers : place);
  if (typeof wanted === "number") return index === fromStart(wanted);
  if (!Number.isInteger(wanted.from) || !Number.isInteger(wanted.to)) return false;
  return fromStart(wanted.from) <= index && index <= fromStart(wanted.to);
}
