import { OcicryptError, shown } from "../../errors.js";
import { isEncryptedDescriptor, type Platform } from "../../spec/descriptor.js";
import type { LocatedDescriptor } from "../../spec/manifest.js";
import { plainMediaType } from "../../spec/media-types.js";
import {
  imageManifests,
  isNowhere,
  missingManifests,
  type ImageNode,
  type ManifestNode,
} from "./tree.js";

/**
 * Which layers of an image are meant; all where nothing is given. A layer must fit each kind of
 * selector that is given, and one value of each. Every value must select a layer.
 */
export interface Selection {
  /** Places of layers in each manifest: from 0, or from -1 for the last one downwards. */
  layers?: readonly (number | LayerRange)[] | undefined;
  /** `os/arch` or `os/arch/variant`. */
  platforms?: readonly string[] | undefined;
  /** Of the layers when they are plain: without `+encrypted`. Compared exactly. */
  mediaTypes?: readonly string[] | undefined;
  /** Layers of this size and more, in bytes. */
  minSize?: number | undefined;
  /** Of the layers as they are in the image: of an encrypted one, that of the ciphertext. */
  digests?: readonly string[] | undefined;
}

export interface SelectedLayer extends LocatedDescriptor {
  manifest: ManifestNode;
  index: number;
}

/** How many layers, from the first one on, a manifest has from its base image. */
export type BaseLayers = ReadonlyMap<ManifestNode, number>;

const BASE = "except for its base image, which stays plain, the image has ";

/** One value of one kind of selector. */
interface Selector {
  /** As a message calls what it selects. */
  what: string;
  fits: (layer: SelectedLayer) => boolean;
}

/**
 * The layers that a selection means.
 *
 * @param base layers that are never meant
 * @throws {@link OcicryptError} `NOTHING_SELECTED` when one of its values selects nothing
 */
export function selectLayers(
  manifests: readonly ManifestNode[],
  selection: Selection,
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
    if (own.some(fits)) throw nothing(`with the other selectors there is no ${what}`);
    if (all.some(fits)) throw nothing(`${BASE}no ${what}`);
    throw nothing(`the image has no ${what}; ${placesOf(chosen)}`);
  }
  if (selected.length === 0 && all.length > 0) {
    throw nothing(own.length === 0 ? `${BASE}nothing` : "the selection is empty");
  }
  return selected;
}

/**
 * Refuses a selection of manifests that the source does not hold. Unselected manifests may be missing.
 *
 * @throws {@link OcicryptError} `BLOB_NOT_FOUND`
 */
export function requirePresent(root: ImageNode, { platforms }: Selection): void {
  const missing = missingManifests(root).find(
    ({ descriptor: { platform } }) =>
      platforms?.some((wanted) => matches(platform, wanted)) ?? !isNowhere(platform),
  );
  if (missing === undefined) return;
  const { digest, platform } = missing.descriptor;
  const message = `the source does not hold the manifest ${digest} of ${formatPlatform(platform)}; select platforms that are there`;
  throw new OcicryptError("BLOB_NOT_FOUND", message);
}

/**
 * The encrypted layers of a selection.
 *
 * @throws {@link OcicryptError} `NOTHING_SELECTED`; `NOT_ENCRYPTED` where no layer is encrypted
 */
export function selectEncrypted(root: ImageNode, selection: Selection): SelectedLayer[] {
  requirePresent(root, selection);
  const manifests = imageManifests(root);
  const isEncrypted = ({ descriptor }: LocatedDescriptor): boolean =>
    isEncryptedDescriptor(descriptor);
  const selected = selectLayers(manifests, selection).filter(isEncrypted);
  if (selected.length > 0) return selected;
  const others = manifests.some(({ document }) => document.layers.some(isEncrypted));
  const what = others ? "none of the selected layers" : "no layer of the image";
  throw new OcicryptError("NOT_ENCRYPTED", `${what} is encrypted`);
}

/**
 * The manifests of the platforms that a selection means.
 *
 * @throws {@link OcicryptError} `NOTHING_SELECTED` for a platform that is not there
 */
export function selectManifests(
  manifests: readonly ManifestNode[],
  { platforms }: Selection,
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

/** The available platforms, for a message. */
function platformsOf(manifests: readonly ManifestNode[]): string {
  if (manifests.every(({ platform }) => platform === undefined)) {
    return manifests.length === 1
      ? "it has a single one, for the platform that its config names"
      : "its manifests name none";
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

/** A platform as `os/arch` or `os/arch/variant`; `-` where an index names none. */
export function formatPlatform(platform: Platform | undefined): string {
  if (platform === undefined) return "-";
  const { os, architecture, variant } = platform;
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join("/");
}

/** A layer as messages name it: `layer 0 of linux/amd64`. */
export function nameOfLayer({ manifest, index }: SelectedLayer): string {
  const { platform } = manifest;
  const where = platform === undefined ? "" : ` of ${formatPlatform(platform)}`;
  return `layer ${String(index)}${where}`;
}

function selectors(selection: Selection): Selector[][] {
  const { layers, platforms, mediaTypes, minSize, digests } = selection;
  const kinds: (Selector[] | undefined)[] = [
    layers?.map((wanted) => ({
      what: `layer ${typeof wanted === "number" ? String(wanted) : formatRange(wanted)}`,
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
    // Last, as it is named only where no narrower selector is to be named.
    platforms?.map((wanted) => ({
      what: `layer of the platform ${shown(wanted)}`,
      fits: ({ manifest }) => matches(platformOf(manifest), wanted),
    })),
  ];
  return kinds.filter((kind) => kind !== undefined);
}

function formatRange({ from, to }: LayerRange): string {
  return `${String(from)}..${String(to)}`;
}

function isAt({ manifest, index }: SelectedLayer, wanted: number | LayerRange): boolean {
  const { length } = manifest.document.layers;
  const fromStart = (place: number): number => (place < 0 ? place + length : place);
  if (typeof wanted === "number") return index === fromStart(wanted);
  if (!Number.isInteger(wanted.from) || !Number.isInteger(wanted.to)) return false;
  return fromStart(wanted.from) <= index && index <= fromStart(wanted.to);
}

/** The platform that a selection compares. */
function platformOf({ platform, configPlatform }: ManifestNode): Platform | undefined {
  return platform ?? configPlatform;
}

function matches(platform: Platform | undefined, wanted: string): boolean {
  if (platform === undefined) return false;
  return (
    wanted === formatPlatform(platform) || wanted === `${platform.os}/${platform.architecture}`
  );
}

function nothing(message: string): OcicryptError {
  return new OcicryptError("NOTHING_SELECTED", message);
}

/** Layers from one place to another, both included; places that a manifest does not have are none. */
export interface LayerRange {
  from: number;
  to: number;
}

/**
 * Reads the place of a layer, or a range of them, as people write it: `2`, `-1`, `1..3`, `-2..-1`.
 *
 * @returns `undefined` for any other text
 */
export function parseLayerRange(text: string): number | LayerRange | undefined {
  const [, first, last] = /^(-?\d{1,9})(?:\.\.(-?\d{1,9}))?$/.exec(text) ?? [];
  if (first === undefined) return undefined;
  return last === undefined ? Number(first) : { from: Number(first), to: Number(last) };
}
