import { requireCompatible, type Profile } from "../keywrap/compat.js";
import type { Key, Recipient } from "../keywrap/types.js";
import { listRecipients, type RecipientReport } from "../layer/explain.js";
import { planAddition } from "../layer/recipient-changes.js";
import type { FailedAttempt, RecipientSelector } from "../layer/recipient-selector.js";
import {
  planRemoval,
  requireFound,
  requireLeft,
  type Removal,
} from "../layer/recipient-removal.js";
import { planReplacement } from "../layer/recipient-changes.js";
import { requireRecipients } from "../layer/wrap.js";
import { isEncryptedDescriptor } from "../spec/descriptor.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import { keepsBlobsOf } from "./engine/copy-blobs.js";
import {
  editRecipients,
  type EditRecipientsOptions,
  type EditRecipientsResult,
} from "./edit-recipients.js";
import { formatPlatform, selectLayers, type Selection } from "./manifests/select-layers.js";
import { imageManifests, readImage } from "./manifests/tree.js";

export interface ListImageRecipientsOptions extends Selection {
  signal?: AbortSignal | undefined;
}

export interface ImageRecipients {
  /** Digest of the manifest or index. */
  digest: string;
  /** The encrypted layers. */
  layers: LayerRecipients[];
}

export interface LayerRecipients {
  /** `os/arch`, or `-` in an image without an index. */
  platform: string;
  /** The layer's place in its manifest, from 0. */
  index: number;
  digest: string;
  recipients: RecipientReport[];
}

export interface AddImageRecipientsOptions extends EditRecipientsOptions {
  recipients: readonly Recipient[];
  /** Tried on every wrapped key of every layer; each layer must be opened by one. */
  keys: readonly Key[];
  /** Refuse what the readers of a profile could not decrypt; nothing is refused by default. */
  compat?: Profile | undefined;
}

export interface RemoveImageRecipientsOptions extends EditRecipientsOptions {
  /** Whom to remove; each must be there in one of the layers at least. */
  recipients: readonly RecipientSelector[];
  /** Accepts recipients that no layer has. Default: false. */
  allowAbsent?: boolean | undefined;
}

/**
 * The recipients of each encrypted layer of an image. No blob is read, and no key is needed.
 *
 * @throws {@link OcicryptError} `NOTHING_SELECTED`, and those of the source as for `inspectImage`
 */
export async function listImageRecipients(
  source: ImageSource,
  options: ListImageRecipientsOptions = {},
): Promise<ImageRecipients> {
  const root = await readImage(source, options);
  const layers: LayerRecipients[] = [];
  for (const { manifest, index, descriptor } of selectLayers(imageManifests(root), options)) {
    if (!isEncryptedDescriptor(descriptor)) continue;
    const recipients = await listRecipients(descriptor);
    const platform = formatPlatform(manifest.platform);
    layers.push({ platform, index, digest: descriptor.digest, recipients });
  }
  return { digest: root.descriptor.digest, layers };
}

/**
 * Adds recipients to the encrypted layers of an image, as {@link addRecipients} does for one layer.
 * Those that are there already are in the result as `present`.
 *
 * A layout or repository that is edited in place is read and written only in its manifests and
 * indexes. Any other destination also gets the blobs that it does not hold.
 *
 * @throws {@link OcicryptError} those of {@link addRecipients} for any of the layers;
 *   `NOT_ENCRYPTED`, `NOTHING_SELECTED`, `PROFILE_IMPOSSIBLE`; `MANIFEST_TOO_LARGE` before anything is written, with the
 *   number of recipients that there is room for; those of the places as for `encryptImage`
 */
export async function addImageRecipients(
  source: ImageSource,
  destination: ImageDestination,
  { recipients, keys, compat, ...options }: AddImageRecipientsOptions,
): Promise<EditRecipientsResult> {
  const { signal } = options;
  requireRecipients(recipients);
  return editRecipients(
    source,
    destination,
    {
      prepare: (mediaTypes) => {
        requireCompatible(compat, recipients, mediaTypes);
      },
      change: (layer) => planAddition(layer, { recipients, keys, signal }),
    },
    options,
  );
}

/**
 * Removes recipients from the encrypted layers of an image, as {@link removeRecipients} does for
 * one layer. No key is needed. **This revokes nothing**: see there, and `rotateImage`.
 *
 * @throws {@link OcicryptError} those of {@link removeRecipients} for any of the layers, and otherwise
 *   as {@link addImageRecipients}
 */
export async function removeImageRecipients(
  source: ImageSource,
  destination: ImageDestination,
  { recipients, allowAbsent = false, ...options }: RemoveImageRecipientsOptions,
): Promise<EditRecipientsResult> {
  const { signal } = options;
  const removals: Removal[] = [];
  const result = await editRecipients(
    source,
    destination,
    {
      async change(layer) {
        const removal = await planRemoval(layer, { recipients, signal });
        removals.push(removal);
        return removal;
      },
      check: () => {
        requireFound(recipients, removals, allowAbsent);
        requireLeft(removals);
      },
    },
    options,
  );
  const failed = removals.flatMap((removal) => removal.failed.map(failedWarning));
  const warnings = [...new Set(failed), ...oldManifests(source, destination), ...result.warnings];
  return { ...result, warnings };
}

/**
 * Gives the encrypted layers of an image other recipients in place of their own, as
 * {@link replaceRecipients} does for one layer. **This revokes nothing**: see `rotateImage`.
 *
 * @throws {@link OcicryptError} those of {@link replaceRecipients} for any of the layers, and otherwise
 *   as {@link addImageRecipients}
 */
export async function replaceImageRecipients(
  source: ImageSource,
  destination: ImageDestination,
  { recipients, keys, compat, ...options }: AddImageRecipientsOptions,
): Promise<EditRecipientsResult> {
  const { signal } = options;
  requireRecipients(recipients);
  const result = await editRecipients(
    source,
    destination,
    {
      prepare: (mediaTypes) => {
        requireCompatible(compat, recipients, mediaTypes);
      },
      change: (layer) => planReplacement(layer, { recipients, keys, signal }),
    },
    options,
  );
  const kept = result.layers.flatMap((layer) => layer.kept.map(({ scheme }) => scheme));
  const stay = [...new Set(kept)].map(
    (scheme) => `recipients of ${scheme} stay: nothing is known of it; remove them by name`,
  );
  const warnings = [...stay, ...oldManifests(source, destination), ...result.warnings];
  return { ...result, warnings };
}

function failedWarning({ key, scheme, index, error }: FailedAttempt): string {
  const why = error instanceof Error ? error.message : "unknown reason";
  const what = `${scheme}:${String(index)}`;
  return `${key.label ?? "a key"} could not be tried on ${what}, which stays: ${why}`;
}

function oldManifests(source: ImageSource, destination: ImageDestination): string[] {
  if (!keepsBlobsOf(source, destination)) return [];
  return [
    "the manifest from before may still be there, and opens the same blobs for those removed; rotate gives layers a new key",
  ];
}
