import { nextTurn } from "#engine/turn";
import type { RecipientReport } from "../layer/explain.js";
import { applyChange, type RecipientsChange } from "../layer/recipient-changes.js";
import { encryptionAnnotations, foreignAnnotations, type Descriptor } from "../spec/descriptor.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import {
  blobsOf,
  copyBlob,
  type ImageProgress,
  isSameImage,
  keepsBlobsOf,
  progressMeter,
} from "./engine/copy-blobs.js";
import { layerIdentity } from "./engine/run-steps.js";
import { rewriteImage, type Changes } from "./manifests/rewrite.js";
import { writeImage } from "./operation.js";
import { requireRoom } from "./size-check.js";
import { readSelected } from "./manifests/missing.js";
import {
  formatPlatform,
  selectEncrypted,
  type SelectedLayer,
  type LayerSelection,
} from "./manifests/select-layers.js";
import type { ImageTree } from "./manifests/tree.js";

export interface EditRecipientsOptions extends LayerSelection {
  signal?: AbortSignal | undefined;
  /** Called while blobs are copied. */
  onProgress?: ((progress: ImageProgress) => void) | undefined;
}

export interface EditRecipientsResult {
  /** The descriptor of the manifest or index after the edit. */
  image: Descriptor;
  /** Whether the edit changes anything. If not, an image that is edited in place is not written. */
  changed: boolean;
  /** The encrypted layers that were selected. */
  layers: LayerRecipientsResult[];
  /** Conditions that the caller should know about, although nothing failed. */
  warnings: string[];
}

/** The changes to the recipients of one layer. */
export interface LayerRecipientsResult {
  /** `os/arch`, or `-` in an image without an index. */
  platform: string;
  /** The layer's position in its manifest, from 0. */
  index: number;
  digest: string;
  added: RecipientReport[];
  /** The recipients that were already present, and were not added again. */
  present: RecipientReport[];
  removed: RecipientReport[];
  /** The recipients of key providers and unknown schemes, which were not replaced. */
  kept: RecipientReport[];
}

/** An edit of the recipients of each layer. */
export interface RecipientsEdit {
  /**
   * Called with the media types of all layers before any layer is changed; may throw to reject
   * them.
   */
  prepare?(mediaTypes: readonly string[]): void;
  change(layer: Descriptor): Promise<RecipientsChange>;
  /** Called with the changes of all layers before anything is written; may throw to reject them. */
  check?(changes: readonly RecipientsChange[]): void;
}

/**
 * Changes the recipients of an image's encrypted layers. Only manifests and indexes are read and
 * written, and only their lists of wrapped keys and the digests that depend on these change. Blobs
 * are copied only into a destination that does not hold them. Layers that several manifests share
 * keep the same recipients.
 *
 * @throws {@link OcicryptError} `NOT_ENCRYPTED`, `NOTHING_SELECTED`; `MANIFEST_TOO_LARGE` before
 *   anything is written, with the number of recipients that fit; `ANNOTATION_TOO_LARGE`; the errors
 *   of `edit`; and those of source and destination as in `encryptImage`
 */
export async function editRecipients(
  source: ImageSource,
  destination: ImageDestination,
  edit: RecipientsEdit,
  options: EditRecipientsOptions = {},
): Promise<EditRecipientsResult> {
  const { signal } = options;
  return writeImage(source, destination, signal, async () => {
    const tree = await readSelected(source, options);
    const selected = selectEncrypted(tree, options);
    edit.prepare?.(selected.map(({ descriptor }) => descriptor.mediaType));
    const changes = await changeLayers(selected, edit);
    edit.check?.([...changes.values()]);
    const after = changedLayers(changes);
    const changed = [...after].some(([{ descriptor }, layer]) => differ(descriptor, layer));
    const room = (count: number): Changes => ({ parts: changedLayers(changes, count) });
    await requireRoom(tree, mostWrapped(changes), room, signal);
    signal?.throwIfAborted();

    const report = { changed, layers: [...changes].map(reportChange) };
    if (!changed && isSameImage(source, destination)) return { tree, report, warnings: [] };
    if (!keepsBlobsOf(source, destination)) await copyAllBlobs(tree, source, destination, options);
    const rewritten = await rewriteImage(tree, { parts: after }, destination);
    return { tree, rewritten, report, warnings: [] };
  });
}

/** Layers with one blob and one set of keys get the same new wrapped keys. */
async function changeLayers(
  selected: readonly SelectedLayer[],
  edit: RecipientsEdit,
): Promise<Map<SelectedLayer, RecipientsChange>> {
  const byIdentity = new Map<string, RecipientsChange>();
  const changes = new Map<SelectedLayer, RecipientsChange>();
  for (const layer of selected) {
    await nextTurn();
    const { descriptor } = layer;
    const identity = layerIdentity(descriptor, encryptionAnnotations(descriptor));
    const change = byIdentity.get(identity) ?? (await edit.change(descriptor));
    byIdentity.set(identity, change);
    changes.set(layer, change);
  }
  return changes;
}

/** Returns the descriptors of the layers with all new recipients, or with only the first few. */
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
    // Descriptors that share wrapped keys keep their own other annotations.
    const annotations = { ...foreignAnnotations(descriptor), ...shared };
    after.set(layer, { ...descriptor, annotations });
  }
  return after;
}

/** The largest number of new recipients that one layer has. */
function mostWrapped(changes: ReadonlyMap<SelectedLayer, RecipientsChange>): number {
  return [...changes.values()].reduce((most, { wrapped }) => Math.max(most, wrapped.length), 0);
}

function differ(before: Descriptor, after: Descriptor): boolean {
  const old = new Map(Object.entries(before.annotations ?? {}));
  const now = Object.entries(after.annotations ?? {});
  return now.length !== old.size || now.some(([name, value]) => old.get(name) !== value);
}

async function copyAllBlobs(
  tree: ImageTree,
  source: ImageSource,
  destination: ImageDestination,
  { signal, onProgress }: EditRecipientsOptions,
): Promise<void> {
  const context = { tree, meter: progressMeter(tree, onProgress), signal };
  for (const blob of blobsOf(tree)) await copyBlob(source, destination, blob, context);
}

function reportChange([layer, change]: [SelectedLayer, RecipientsChange]): LayerRecipientsResult {
  const { manifest, index, descriptor } = layer;
  const { added, present, removed, kept } = change;
  const platform = formatPlatform(manifest.platform);
  return { platform, index, digest: descriptor.digest, added, present, removed, kept };
}
