import { requireCompatible, type CompatProfile } from "../keywrap/compat.js";
import type { Key, Recipient } from "../keywrap/types.js";
import {
  type FailedAttempt,
  listRecipients,
  type RecipientReport,
  type RecipientSelector,
} from "../layer/explain.js";
import { planAddition, planReplacement } from "../layer/recipient-changes.js";
import {
  planRemoval,
  requireFound,
  requireLeft,
  type Removal,
} from "../layer/recipient-removal.js";
import { requireRecipients } from "../layer/wrap.js";
import { isEncryptedDescriptor } from "../spec/descriptor.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import { keepsBlobsOf } from "./engine/copy-blobs.js";
import {
  editRecipients,
  type EditRecipientsOptions,
  type EditRecipientsResult,
  type RecipientsEdit,
} from "./edit-recipients.js";
import { formatPlatform, selectLayers, type LayerSelection } from "./manifests/select-layers.js";
import { readImage } from "./manifests/tree.js";

export interface ListImageRecipientsOptions extends LayerSelection {
  signal?: AbortSignal | undefined;
}

export interface ImageRecipients {
  /** The digest of the manifest or index. */
  digest: string;
  /** The encrypted layers. */
  layers: LayerRecipients[];
}

export interface LayerRecipients {
  /** `os/arch`, or `-` in an image without an index. */
  platform: string;
  /** The layer's position in its manifest, from 0. */
  index: number;
  digest: string;
  recipients: RecipientReport[];
}

export interface AddImageRecipientsOptions extends EditRecipientsOptions {
  recipients: readonly Recipient[];
  /** The keys to try on every wrapped key of every layer; one of them must open each layer. */
  keys: readonly Key[];
  /** Rejects anything that the readers of a profile could not decrypt. Default: no profile. */
  compat?: CompatProfile | undefined;
}

export interface RemoveImageRecipientsOptions extends EditRecipientsOptions {
  /** The recipients to remove; each must be present in at least one layer. */
  recipients: readonly RecipientSelector[];
  /** Accepts recipients that no layer has. Default: false. */
  allowAbsent?: boolean | undefined;
}

/**
 * Returns the recipients of each encrypted layer of an image. This reads no blob, and needs no key.
 *
 * @throws {@link OcicryptError} `NOTHING_SELECTED`, and the errors of the source as in
 *   `inspectImage`
 */
export async function listImageRecipients(
  source: ImageSource,
  options: ListImageRecipientsOptions = {},
): Promise<ImageRecipients> {
  const tree = await readImage(source, options);
  const layers: LayerRecipients[] = [];
  for (const { manifest, index, descriptor } of selectLayers(tree.manifests, options)) {
    if (!isEncryptedDescriptor(descriptor)) continue;
    const recipients = await listRecipients(descriptor);
    const platform = formatPlatform(manifest.platform);
    layers.push({ platform, index, digest: descriptor.digest, recipients });
  }
  return { digest: tree.root.descriptor.digest, layers };
}

/**
 * Adds recipients to the encrypted layers of an image, as {@link addRecipients} does for one layer.
 * Recipients that are already present are in the result as `present`.
 *
 * In a layout or repository that is edited in place, only manifests and indexes are read and
 * written. Any other destination also gets the blobs that it does not hold.
 *
 * @throws {@link OcicryptError} as {@link addRecipients} for any of the layers; `NOT_ENCRYPTED`,
 *   `NOTHING_SELECTED`, `PROFILE_IMPOSSIBLE`; `MANIFEST_TOO_LARGE` before anything is written, with
 *   the number of recipients that fit; and the errors of source and destination as in
 *   `encryptImage`
 */
export async function addImageRecipients(
  source: ImageSource,
  destination: ImageDestination,
  options: AddImageRecipientsOptions,
): Promise<EditRecipientsResult> {
  return editRecipients(source, destination, editBy(planAddition, options), options);
}

/** The edit that gives recipients to every layer. */
function editBy(
  plan: typeof planAddition,
  { recipients, keys, compat, signal }: AddImageRecipientsOptions,
): RecipientsEdit {
  requireRecipients(recipients);
  return {
    prepare: (mediaTypes) => {
      requireCompatible(compat, recipients, mediaTypes);
    },
    change: (layer) => plan(layer, { recipients, keys, signal }),
  };
}

/**
 * Removes recipients from the encrypted layers of an image, as {@link removeRecipients} does for
 * one layer. This needs no key. **It does not revoke access**: see {@link removeRecipients} and
 * `rotateImage`.
 *
 * @throws {@link OcicryptError} as {@link removeRecipients} for any of the layers, and otherwise as
 *   {@link addImageRecipients}
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
 * Replaces the recipients of an image's encrypted layers, as {@link replaceRecipients} does for one
 * layer. **This does not revoke access**: see `rotateImage`.
 *
 * @throws {@link OcicryptError} as {@link replaceRecipients} for any of the layers, and otherwise
 *   as {@link addImageRecipients}
 */
export async function replaceImageRecipients(
  source: ImageSource,
  destination: ImageDestination,
  options: AddImageRecipientsOptions,
): Promise<EditRecipientsResult> {
  const edit = editBy(planReplacement, options);
  const result = await editRecipients(source, destination, edit, options);
  const kept = result.layers.flatMap((layer) => layer.kept.map(({ scheme }) => scheme));
  const stay = [...new Set(kept)].map(
    (scheme) =>
      `recipients of ${scheme} were kept, because it is unknown who they are; to remove them, name the scheme`,
  );
  const warnings = [...stay, ...oldManifests(source, destination), ...result.warnings];
  return { ...result, warnings };
}

function failedWarning({ key, scheme, index, error }: FailedAttempt): string {
  const why = error instanceof Error ? error.message : "unknown reason";
  const what = `${scheme}:${String(index)}`;
  return `${key.label ?? "a key"} could not be tried on ${what}, which was kept: ${why}`;
}

function oldManifests(source: ImageSource, destination: ImageDestination): string[] {
  if (!keepsBlobsOf(source, destination)) return [];
  return [
    "the former manifest may still exist, and opens the same blobs for removed recipients; rotate gives the layers new keys",
  ];
}
