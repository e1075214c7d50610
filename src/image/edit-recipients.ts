import { OcicryptError } from "../errors.js";
import type { RecipientReport } from "../layer/explain.js";
import { applyChange, type RecipientsChange } from "../layer/recipient-changes.js";
import {
  encryptionAnnotations,
  foreignAnnotations,
  isEncryptedDescriptor,
  type Descriptor,
} from "../spec/descriptor.js";
import type { LocatedDescriptor } from "../spec/manifest.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import { blobsOf, copyBlob, isSameImage, keepsBlobsOf } from "./engine/copy-blobs.js";
import { progressMeter, type ImageProgress } from "./engine/progress.js";
import { rebuildImage } from "./manifests/rewrite.js";
import { findReferrers } from "./features/stale-referrers.js";
import { totalSize } from "./results.js";
import { requireRoom } from "./size-check.js";
import {
  formatPlatform,
  selectLayers,
  type SelectedLayer,
  type Selection,
} from "./manifests/select-layers.js";
import { imageManifests, readTree, type ImageNode } from "./manifests/tree.js";

export interface EditRecipientsOptions extends Selection {
  signal?: AbortSignal | undefined;
  /** Of the blobs that are copied. */
  onProgress?: ((progress: ImageProgress) => void) | undefined;
}

export interface EditRecipientsResult {
  /** Of the manifest or index after the edit. */
  image: Descriptor;
  /** Whether the edit changes anything; an image that is edited in place is not written otherwise. */
  changed: boolean;
  /** The encrypted layers that were looked at. */
  layers: LayerRecipientsResult[];
  /** What the caller should know though nothing failed. */
  warnings: string[];
}

/** What happened to the recipients of one layer. */
export interface LayerRecipientsResult {
  /** `os/arch`, or `-` in an image without an index. */
  platform: string;
  /** The layer's place in its manifest, from 0. */
  index: number;
  digest: string;
  added: RecipientReport[];
  /** The recipients that were to be added and are there already. */
  present: RecipientReport[];
  removed: RecipientReport[];
  /** Of key providers and unknown schemes: they stay though the others were replaced. */
  kept: RecipientReport[];
}

/** How the recipients of each layer change. */
export interface RecipientsEdit {
  /** Called with the types of all layers before any of them is changed; it may refuse them. */
  prepare?(mediaTypes: readonly string[]): void;
  change(layer: Descriptor): Promise<RecipientsChange>;
  /** Called with the changes of all layers before anything is written; it may refuse them. */
  check?(changes: readonly RecipientsChange[]): void;
}

/**
 * Changes the recipients of an image's encrypted layers. Recipients are metadata: only manifests
 * and indexes are read and written, and in these only the lists of wrapped keys and the digests
 * that follow from them change. Blobs are copied only into a destination that does not hold them. Layers that manifests share go on sharing their recipients.
 *
 * @throws {@link OcicryptError} `NOT_ENCRYPTED`, `NOTHING_SELECTED`; `MANIFEST_TOO_LARGE` before
 *   anything is written, with the number of recipients that there is room for;
 *   `ANNOTATION_TOO_LARGE`; what `edit` throws; and those of source and destination as for
 *   `encryptImage`
 */
export async function editRecipients(
  source: ImageSource,
  destination: ImageDestination,
  edit: RecipientsEdit,
  options: EditRecipientsOptions = {},
): Promise<EditRecipientsResult> {
  const { signal } = options;
  try {
    const before = await source.resolve(options);
    const root = await readTree(source, before, signal);
    const selected = encryptedLayers(root, options);
    edit.prepare?.(selected.map(({ descriptor }) => descriptor.mediaType));
    const changes = await changeLayers(selected, edit);
    edit.check?.([...changes.values()]);
    const after = changedLayers(changes);
    const changed = [...after].some(([{ descriptor }, layer]) => differ(descriptor, layer));
    await requireRoom(root, mostWrapped(changes), (count) => ({ parts: changedLayers(changes, count) }), signal); // prettier-ignore
    signal?.throwIfAborted();

    const layers = [...changes].map(report);
    if (!changed && isSameImage(source, destination)) {
      await destination.discard();
      return { image: before, changed, layers, warnings: [] };
    }
    if (!keepsBlobsOf(source, destination)) await copyAllBlobs(root, source, destination, options);
    const { image, former } = await rebuildImage(root, after, destination);
    const warnings = await findReferrers(source, root, former, signal);
    signal?.throwIfAborted();
    await destination.commit(image, { signal });
    return { image, changed, layers, warnings };
  } catch (error) {
    await destination.discard();
    throw error;
  }
}

/**
 * The encrypted layers of a selection.
 *
 * @throws {@link OcicryptError} `NOTHING_SELECTED`; `NOT_ENCRYPTED` when there is none
 */
export function encryptedLayers(root: ImageNode, selection: Selection): SelectedLayer[] {
  const manifests = imageManifests(root);
  const isEncrypted = ({ descriptor }: LocatedDescriptor): boolean =>
    isEncryptedDescriptor(descriptor);
  const selected = selectLayers(manifests, selection).filter(isEncrypted);
  if (selected.length > 0) return selected;
  const others = manifests.some(({ document }) => document.layers.some(isEncrypted));
  const what = others ? "none of the selected layers" : "no layer of the image";
  throw new OcicryptError("NOT_ENCRYPTED", `${what} is encrypted`);
}

/** Layers with one blob and one set of keys get the same new wrapped keys. */
async function changeLayers(
  selected: readonly SelectedLayer[],
  edit: RecipientsEdit,
): Promise<Map<SelectedLayer, RecipientsChange>> {
  const byName = new Map<string, RecipientsChange>();
  const changes = new Map<SelectedLayer, RecipientsChange>();
  for (const layer of selected) {
    const name = nameOf(layer.descriptor);
    const change = byName.get(name) ?? (await edit.change(layer.descriptor));
    byName.set(name, change);
    changes.set(layer, change);
  }
  return changes;
}

function nameOf(layer: Descriptor): string {
  const { mediaType, digest, size } = layer;
  return JSON.stringify([mediaType, digest, size, encryptionAnnotations(layer)]);
}

/** The layers as they get with all of the new recipients, or with the first few. */
function changedLayers(
  changes: ReadonlyMap<SelectedLayer, RecipientsChange>,
  count?: number,
): Map<SelectedLayer, Descriptor> {
  const encryption = new Map<RecipientsChange, Record<string, string>>();
  const after = new Map<SelectedLayer, Descriptor>();
  for (const [layer, change] of changes) {
    const { descriptor } = layer;
    const shared =
      encryption.get(change) ?? encryptionAnnotations(applyChange(descriptor, change, count));
    encryption.set(change, shared);
    // What shares the wrapped keys has annotations of its own beside them.
    const annotations = { ...foreignAnnotations(descriptor), ...shared };
    after.set(layer, { ...descriptor, annotations });
  }
  return after;
}

/** How many new recipients the layers have, at most. */
function mostWrapped(changes: ReadonlyMap<SelectedLayer, RecipientsChange>): number {
  return [...changes.values()].reduce((most, { wrapped }) => Math.max(most, wrapped.length), 0);
}

function differ(before: Descriptor, after: Descriptor): boolean {
  const old = new Map(Object.entries(before.annotations ?? {}));
  const now = Object.entries(after.annotations ?? {});
  return now.length !== old.size || now.some(([name, value]) => old.get(name) !== value);
}

async function copyAllBlobs(
  root: ImageNode,
  source: ImageSource,
  destination: ImageDestination,
  { signal, onProgress }: EditRecipientsOptions,
): Promise<void> {
  const meter = progressMeter(totalSize(root), onProgress);
  for (const blob of blobsOf(root)) await copyBlob(source, destination, blob, { meter, signal });
}

function report([layer, change]: [SelectedLayer, RecipientsChange]): LayerRecipientsResult {
  const { manifest, index, descriptor } = layer;
  const { added, present, removed, kept } = change;
  const platform = formatPlatform(manifest.platform);
  return { platform, index, digest: descriptor.digest, added, present, removed, kept };
}
