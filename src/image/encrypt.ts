import { OcicryptError } from "../errors.js";
import type { Profile } from "../keywrap/compat.js";
import type { Recipient } from "../keywrap/types.js";
import { encryptLayer } from "../layer/encrypt.js";
import { requireRecipients } from "../layer/wrap.js";
import { isEncryptedDescriptor, type Descriptor } from "../spec/descriptor.js";
import { encryptedMediaType } from "../spec/media-types.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import { findBaseLayers, type BaseMatch } from "./features/base-image.js";
import { requireCompatible } from "./compat.js";
import { findHistoryLeft, readConfigs } from "./features/config-history.js";
import { CONVERTED_WARNING, hasDockerFormat } from "./features/docker-format.js";
import { findCopies, type CopyWords } from "./features/leftover-blobs.js";
import { distinctRecipients } from "./distinct-recipients.js";
import { progressMeter, type ImageProgress } from "./engine/progress.js";
import { findReferrers } from "./features/stale-referrers.js";
import { reportLayer, totalSize, type LayerResult } from "./results.js";
import { readEarlier, type EarlierLayers, type Reuse } from "./features/reuse.js";
import { requireRoomForKeys } from "./size-check.js";
import {
  formatPlatform,
  selectLayers,
  selectManifests,
  type SelectedLayer,
  type Selection,
} from "./manifests/select-layers.js";
import { DEFAULT_CONCURRENCY, transformImage } from "./engine/run-steps.js";
import { hasAttestations, imageManifests, readTree, type ManifestNode } from "./manifests/tree.js";

export interface EncryptImageOptions extends Selection {
  /** Who shall be able to decrypt; at least one. A public key that is there twice counts once. */
  recipients: readonly Recipient[];
  /**
   * Leaves the layers of the base image plain, so that they stay shared with it: of this image,
   * or with `true` of the one that the image's annotation `org.opencontainers.image.base.digest`
   * names, if the source holds it. Who wrote that annotation decides what stays plain.
   */
  skipBase?: boolean | ImageSource | undefined;
  /**
   * Keeps the blobs of layers that an earlier encrypted image has already. Their keys stay the
   * same too: whoever could decrypt the layer then and has kept its key still can.
   */
  reuse?: Reuse | undefined;
  /**
   * Takes `created_by` and `comment` out of the history in the configs, which tell how the image
   * was built. Decryption can not give back the original image then.
   */
  redactHistory?: boolean | undefined;
  /** Refuse what the readers of a profile could not decrypt; nothing is refused by default. */
  compat?: Profile | undefined;
  /** How many layers are encrypted at once; 4 by default. */
  concurrency?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: ImageProgress) => void) | undefined;
}

export interface EncryptImageResult {
  /** Of the new manifest or index. */
  image: Descriptor;
  /** The encrypted layers. */
  layers: EncryptedLayerResult[];
  /** With `skipBase`: the base image of each manifest that is encrypted. */
  base?: BaseResult[];
  /** What the caller should know though nothing failed. */
  warnings: string[];
}

export interface EncryptedLayerResult extends LayerResult {
  /** The blob is that of an earlier image. */
  reused?: true;
}

export interface BaseResult extends BaseMatch {
  /** `os/arch`, or `-` in an image without an index. */
  platform: string;
}

/**
 * Encrypts the layers of an image: of a manifest, or of every image manifest in an index. Layers
 * that several manifests share are encrypted once and stay shared. Blobs are verified against
 * their descriptors, and the destination is complete or as it was.
 *
 * What is of Docker's format (image manifest v2, schema 2) becomes OCI's, and there is a warning:
 * decryption can not give back the original manifests then.
 *
 * Configs stay readable: environment, labels and history of an image are not secret. There is a
 * warning for each thing in them that looks like a secret.
 *
 * @throws {@link OcicryptError} `NO_RECIPIENTS`, `ALREADY_ENCRYPTED`, `NOTHING_TO_ENCRYPT`,
 *   `NOTHING_SELECTED`, `PROFILE_IMPOSSIBLE`; `IMAGE_NOT_FOUND`, `LAYOUT_INVALID`, `MANIFEST_INVALID`,
 *   `MANIFEST_TOO_LARGE`, `MANIFEST_UNSUPPORTED`, `ANNOTATION_TOO_LARGE`, `BLOB_NOT_FOUND`,
 *   `BLOB_SIZE_MISMATCH`, `BLOB_DIGEST_MISMATCH`, `SOURCE_UNREADABLE`; `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`;
 *   with `skipBase` `BASE_NOT_FOUND`, `BASE_MISMATCH`; with `reuse` `NO_KEYS`; and what recipients
 *   throw
 */
export async function encryptImage(
  source: ImageSource,
  destination: ImageDestination,
  options: EncryptImageOptions,
): Promise<EncryptImageResult> {
  const { onProgress, signal, concurrency = DEFAULT_CONCURRENCY } = options;
  let earlier: EarlierLayers | undefined;
  try {
    const recipients = distinctRecipients(options.recipients);
    requireRecipients(recipients);
    const root = await readTree(source, await source.resolve(options), signal);
    const manifests = imageManifests(root);
    const chosen = selectManifests(manifests, options);
    const base = await baseOf(source, chosen, options);
    const selected = selectLayers(manifests, options, base && countsOf(base));
    requirePlain(selected);
    requireCompatible(options.compat, recipients, selected.map(typeAfter));
    const redact = options.redactHistory ?? false;
    const configs = await readConfigs(source, chosen, { redact, signal });
    const changes = { root, selected, configs: configs.redacted, toOci: true, signal };
    await requireRoomForKeys({ ...changes, recipients });
    if (options.reuse !== undefined) earlier = await readEarlier(options.reuse, signal);

    const compared = earlier === undefined ? 0 : sizeOf(selected);
    const meter = progressMeter(totalSize(root) + compared, onProgress);
    const reused = new Set<string>();
    const { image, layers, former } = await transformImage({
      ...{ ...changes, source, destination, meter, concurrency },
      step: {
        name: ({ descriptor }) => stepName(descriptor),
        async run({ descriptor }, stepSignal) {
          const context = { source, destination, recipients, meter, signal: stepSignal };
          const same = await earlier?.encrypt(descriptor, context);
          if (same !== undefined) {
            reused.add(stepName(descriptor));
            return same;
          }
          const blob = source.read(descriptor, { signal: stepSignal });
          const content = meter.count(blob, descriptor, "encrypt");
          const layer = encryptLayer(content, { descriptor, recipients, signal: stepSignal });
          await destination.write(layer.stream, () => layer.finalize(), { signal: stepSignal });
          return layer.finalize();
        },
      },
    });
    const warnings = [
      ...(hasDockerFormat(root) ? [CONVERTED_WARNING] : []),
      ...configs.warnings,
      ...(base === undefined ? [] : findBaseChanged(base)),
      ...(earlier?.warnings ?? []),
      ...(await findCopies(selected, manifests, destination, PLAIN_COPIES)),
      ...(await findHistoryLeft(configs.redacted, hasAttestations(root), destination)),
      ...(await findReferrers(source, root, former, signal)),
    ];
    signal?.throwIfAborted();
    await destination.commit(image, { signal });
    return {
      image,
      layers: [...layers].map(([layer, after]) => ({
        ...reportLayer(layer, after),
        ...(reused.has(stepName(layer.descriptor)) && { reused: true }),
      })),
      ...(base && { base: reportBase(base) }),
      warnings,
    };
  } catch (error) {
    await destination.discard();
    throw error;
  } finally {
    await earlier?.wipe();
  }
}

function typeAfter({ descriptor }: SelectedLayer): string {
  return encryptedMediaType(descriptor.mediaType);
}

/** Everything that decides about the new blob. */
function stepName({ mediaType, digest, size }: Descriptor): string {
  return JSON.stringify([mediaType, digest, size]);
}

/** The bytes of the distinct blobs among layers. */
function sizeOf(layers: readonly SelectedLayer[]): number {
  const sizes = new Map(layers.map(({ descriptor }) => [stepName(descriptor), descriptor.size]));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

type Bases = ReadonlyMap<ManifestNode, BaseMatch>;

async function baseOf(
  source: ImageSource,
  manifests: readonly ManifestNode[],
  { skipBase = false, signal }: EncryptImageOptions,
): Promise<Bases | undefined> {
  if (skipBase === false) return undefined;
  return findBaseLayers(source, manifests, { base: skipBase === true ? undefined : skipBase, signal }); // prettier-ignore
}

function countsOf(bases: Bases): Map<ManifestNode, number> {
  return new Map([...bases].map(([manifest, { layers }]) => [manifest, layers]));
}

function reportBase(bases: Bases): BaseResult[] {
  return [...bases].map(([{ platform }, match]) => ({
    platform: formatPlatform(platform),
    ...match,
  }));
}

function findBaseChanged(bases: Bases): string[] {
  return [...bases.values()]
    .filter(({ layers, of }) => layers < of)
    .map(
      ({ digest, layers, of }) =>
        `only ${String(layers)} of the ${String(of)} layers of the base image ${digest} are in the image`,
    );
}

function requirePlain(selected: readonly SelectedLayer[]): void {
  if (selected.length === 0) {
    throw new OcicryptError("NOTHING_TO_ENCRYPT", "the image has no layers");
  }
  const encrypted = selected.filter(({ descriptor }) => isEncryptedDescriptor(descriptor));
  if (encrypted.length === 0) return;
  const which = [...new Set(encrypted.map(({ index }) => String(index)))].join(", ");
  const message =
    encrypted.length === selected.length
      ? "the image is encrypted already"
      : `the image is encrypted in part already: layer ${which}`;
  throw new OcicryptError("ALREADY_ENCRYPTED", message);
}

/** Where what was encrypted still lies in plain. */
const PLAIN_COPIES: CopyWords = {
  kind: "plain layer",
  twin: (digest) => `${digest} was encrypted in one place and is a plain layer in another`,
  left: (layers) =>
    `the destination still holds the blobs of ${layers} from before; encrypt into a new place to leave none`,
};
