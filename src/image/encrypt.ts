import { isOcicryptError, OcicryptError } from "../errors.js";
import { requireCompatible, type CompatProfile } from "../keywrap/compat.js";
import type { Recipient } from "../keywrap/types.js";
import { encryptLayer } from "../layer/encrypt.js";
import { distinctRecipients } from "../layer/wrap.js";
import { isEncryptedDescriptor, type Descriptor } from "../spec/descriptor.js";
import { parseDigest } from "../spec/digest.js";
import { encryptedMediaType } from "../spec/media-types.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import type { LayerResult, OperationOptions } from "./operation.js";
import { mergeLayer, reportLayer, writeImage } from "./operation.js";
import { progressMeter, type ProgressMeter } from "./engine/copy-blobs.js";
import { layerIdentity, runSteps, type LayerStep, type SameLayers } from "./engine/run-steps.js";
import { planEncryption } from "./encryption-plan.js";
import type { BaseResult } from "./features/base-image.js";
import { changesOf } from "./features/docker-format.js";
import { bindingOf, findUnbound, type ImageHashes } from "./features/binding.js";
import { findHistoryLeft } from "./features/config-history.js";
import { findWrongDiffId, withDiffId, type DiffIdCheckStream } from "./features/diff-id.js";
import { findCopies, PLAIN_COPIES, requireNoPlainCopy } from "./features/plain-left.js";
import { readEarlier, type EarlierLayers, type Reuse } from "./features/reuse.js";
import { isForeign, readSelected } from "./manifests/missing.js";
import { nameOfLayer, type SelectedLayer, type LayerSelection } from "./manifests/select-layers.js";
import { requireRoomForKeys } from "./size-check.js";

export interface EncryptImageOptions extends LayerSelection, OperationOptions {
  /** The recipients of the image; at least one. Duplicate public keys count once. */
  recipients: readonly Recipient[];
  /**
   * Leaves the layers of the base image plain, so that images can still share them. With `true`,
   * the annotation `org.opencontainers.image.base.digest` names the base image, if the source holds
   * it. The author of that annotation decides which layers stay plain.
   */
  skipBase?: boolean | ImageSource | undefined;
  /**
   * Keeps the blobs of layers that have not changed since an earlier encrypted image. Their keys
   * also stay the same: anyone who could decrypt such a layer in the earlier image still can.
   */
  reuse?: Reuse | undefined;
  /**
   * Removes `created_by` and `comment`, which reveal how the image was built, from the history in
   * the configs. Decryption then cannot restore the original image.
   */
  redactHistory?: boolean | undefined;
  /**
   * Whether the wrapped keys bind each layer to its position in this image, unless a recipient
   * lacks {@link Recipient.roomForBinding}. Decryption rejects a bound layer elsewhere. Default:
   * true.
   */
  bind?: boolean | undefined;
  /** Rejects anything that the readers of a profile could not decrypt. Default: no profile. */
  compat?: CompatProfile | undefined;
}

export interface EncryptImageResult {
  /** The descriptor of the new manifest or index. */
  image: Descriptor;
  /** The encrypted layers. */
  layers: EncryptedLayerResult[];
  /** With `skipBase`: the base image of each manifest that is encrypted. */
  base?: BaseResult[];
  /** Conditions that the caller should know about, although nothing failed. */
  warnings: string[];
}

export interface EncryptedLayerResult extends LayerResult {
  /** Set if the blob of the earlier image was kept. */
  reused?: true;
}

/**
 * Encrypts the layers of an image: of a manifest, or of every image manifest in an index. Layers
 * that several manifests share are encrypted once and stay shared. Blobs are verified against their
 * descriptors. Afterwards, the destination is either complete or unchanged.
 *
 * Docker manifests (image manifest v2, schema 2) are converted to OCI, with a warning: decryption
 * then cannot restore the original manifests.
 *
 * Configs with environment, labels and history stay readable. A warning reports likely secrets.
 *
 * @throws {@link OcicryptError} `NO_RECIPIENTS`, `ALREADY_ENCRYPTED`, `NOTHING_TO_ENCRYPT`,
 *   `NOTHING_SELECTED`, `PROFILE_IMPOSSIBLE`; `IMAGE_NOT_FOUND`, `LAYOUT_INVALID`,
 *   `MANIFEST_INVALID`, `MANIFEST_TOO_LARGE`, `MANIFEST_UNSUPPORTED`, `ANNOTATION_TOO_LARGE`,
 *   `BLOB_NOT_FOUND`, `BLOB_SIZE_MISMATCH`, `BLOB_DIGEST_MISMATCH`, `SOURCE_UNREADABLE`;
 *   `DESTINATION_FULL`, `DESTINATION_UNWRITABLE`; with `skipBase` `BASE_NOT_FOUND`,
 *   `BASE_MISMATCH`; with `reuse` `NO_KEYS`; and the errors of recipients
 */
export async function encryptImage(
  source: ImageSource,
  destination: ImageDestination,
  options: EncryptImageOptions,
): Promise<EncryptImageResult> {
  const { signal } = options;
  let earlier: EarlierLayers | undefined;
  try {
    return await writeImage(source, destination, signal, async () => {
      const recipients = distinctRecipients(options.recipients);
      const tree = await readSelected(source, options);
      const plan = await planEncryption(source, tree, options);
      const { selected, configs } = plan;
      requirePlain(selected);
      requireNoPlainCopy(tree, selected);
      requireCompatible(options.compat, recipients, selected.map(typeAfter));
      const others = { configs: configs.redacted, toOci: true };
      const bound = options.bind === false ? undefined : plan.bound;
      await requireRoomForKeys({ tree, selected, recipients, bound, ...others, signal });
      if (options.reuse !== undefined) earlier = await readEarlier(options.reuse, signal);

      const compared = earlier === undefined ? 0 : sizeOf(selected);
      const meter = progressMeter(tree, options.onProgress, compared);
      const { threads } = options;
      const context = { source, destination, recipients, earlier, meter, bound, threads };
      const step = encryptionStep({ ...context, diffIds: plan.diffIds });
      const rewritten = await runSteps({
        ...{ source, destination, tree, selected, meter, step, signal },
        configs: configs.redacted,
        changes: (layers) => changesOf(tree, layers, others),
        concurrency: options.concurrency,
      });
      const report = {
        layers: [...rewritten.layers].map(([layer, after]) => ({
          ...reportLayer(layer, after),
          ...(step.reused.has(step.identity(layer)) && { reused: true as const }),
        })),
        ...(plan.base && { base: plan.base }),
      };
      const leftovers = await findCopies(selected, tree.manifests, destination, PLAIN_COPIES);
      const history = await findHistoryLeft(configs.redacted, tree.hasAttestations, destination);
      const warnings = [
        ...plan.warnings,
        ...step.wrongDiffIds,
        ...(bound === undefined ? [] : findUnbound(selected)),
        ...(earlier?.warnings ?? []),
        ...leftovers,
        ...history,
      ];
      return { tree, rewritten, report, warnings };
    });
  } finally {
    await earlier?.wipe();
  }
}

interface EncryptionStep extends LayerStep {
  /** The identities of the layers that reuse a blob of an earlier image. */
  reused: Set<string>;
  /** Warnings about layers that do not match the diffIDs of the config. */
  wrongDiffIds: string[];
}

interface EncryptionContext {
  source: ImageSource;
  destination: ImageDestination;
  recipients: readonly Recipient[];
  earlier: EarlierLayers | undefined;
  meter: ProgressMeter;
  bound: ImageHashes | undefined;
  threads: number | undefined;
  diffIds: ReadonlyMap<SelectedLayer, string>;
}

function encryptionStep({
  earlier,
  diffIds,
  bound,
  ...context
}: EncryptionContext): EncryptionStep {
  const { source, destination, recipients, meter, threads } = context;
  const wrongDiffIds: string[] = [];
  const reused = new Set<string>();
  return {
    reused,
    wrongDiffIds,
    identity: ({ descriptor }) => layerIdentity(descriptor),
    merge: mergeLayer,
    async run(layers, signal) {
      const [{ descriptor }] = layers;
      const binding = bound && bindingOf(layers, bound);
      const expected = diffIds.get(layers[0]);
      const read = (activity: "compare" | "encrypt"): CheckedContent => {
        const content = meter.count(source.read(descriptor, { signal }), descriptor, activity);
        if (expected === undefined) return { content };
        const { digest } = descriptor;
        const { algorithm } = parseDigest(digest);
        return withDiffId(content, expected, { algorithm, digest: () => digest });
      };
      if (earlier !== undefined) {
        const compared = read("compare");
        const comparison = { ...context, binding, content: compared.content, signal };
        const same = await earlier.encrypt(descriptor, comparison);
        if (same !== undefined) {
          reused.add(layerIdentity(descriptor));
          wrongDiffIds.push(...(await findWrongDiffId(compared.check, layers[0])));
          return same;
        }
      }
      const checked = read("encrypt");
      const options = { descriptor, recipients, binding, threads, signal };
      const layer = encryptLayer(checked.content, options);
      await destination
        .write(layer.stream, () => layer.finalize(), { signal })
        .catch((error: unknown) => {
          throw isForeign(descriptor) ? explainForeign(error, layers) : error;
        });
      wrongDiffIds.push(...(await findWrongDiffId(checked.check, layers[0])));
      return layer.finalize();
    },
  };
}

/** Base layers of Windows images are stored only at a URL, not in registries. */
function explainForeign(error: unknown, [layer]: SameLayers): unknown {
  if (!isOcicryptError(error, "BLOB_NOT_FOUND")) return error;
  const message = `${nameOfLayer(layer)} is named by a URL and the source does not hold it; select other layers`;
  return new OcicryptError("BLOB_NOT_FOUND", message, { cause: error });
}

/** The content of a layer, and its comparison with a diffID if the config has one. */
type CheckedContent = Pick<DiffIdCheckStream, "content"> & Partial<DiffIdCheckStream>;

function typeAfter({ descriptor }: SelectedLayer): string {
  return encryptedMediaType(descriptor.mediaType);
}

/** The total size of the distinct blobs of layers, in bytes. */
function sizeOf(layers: readonly SelectedLayer[]): number {
  const sizes = new Map(
    layers.map(({ descriptor }) => [layerIdentity(descriptor), descriptor.size]),
  );
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
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
      ? "the image is already encrypted"
      : `part of the image is already encrypted: layer ${which}`;
  throw new OcicryptError("ALREADY_ENCRYPTED", message);
}
