import { OcicryptError } from "../errors.js";
import type { Key } from "../keywrap/types.js";
import { encryptionAnnotations, type Descriptor } from "../spec/descriptor.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import type { LayerResult, OperationOptions } from "./operation.js";
import { mergeLayer, reportLayer, writeImage } from "./operation.js";
import { progressMeter, type ProgressMeter } from "./engine/copy-blobs.js";
import { layerIdentity, runSteps, type LayerStep } from "./engine/run-steps.js";
import {
  requireEncryptedLayers,
  requireLayerRecipients,
  type DecryptPolicy,
} from "./features/decrypt-policy.js";
import type { DiffIdCheck } from "./features/diff-id.js";
import { readExpectations } from "./features/expected-config.js";
import { openLayer, type LayerOpening } from "./features/open-layer.js";
import { readSelected } from "./manifests/missing.js";
import {
  nameOfLayer,
  selectEncrypted,
  type SelectedLayer,
  type LayerSelection,
} from "./manifests/select-layers.js";

export interface DecryptImageOptions extends LayerSelection, DecryptPolicy, OperationOptions {
  /** The keys to try on every wrapped key of every layer. */
  keys: readonly Key[];
  /**
   * Publishes layers whose HMAC is right but that cannot be checked against the image's config; a
   * warning says why. Default: false, which rejects them.
   */
  allowUnverified?: boolean | undefined;
}

export interface DecryptImageResult {
  /**
   * The descriptor of the new manifest or index, which is the original one if this library
   * encrypted the image.
   */
  image: Descriptor;
  /** The decrypted layers. */
  layers: DecryptedLayerResult[];
  /** Conditions that the caller should know about, although nothing failed. */
  warnings: string[];
}

export interface DecryptedLayerResult extends LayerResult {
  diffId: DiffIdCheck;
  /** Whether the wrapped key binds the layer to this position in this image. */
  bound: boolean;
}

/**
 * Decrypts the encrypted layers of an image; plain layers stay as they are. Nothing is published
 * before everything is verified: the ciphertext against its descriptor and HMAC, the plain layer
 * against its diffID if the image's config has one, and the binding of the layer to the image if
 * the wrapped key contains one.
 *
 * @throws {@link OcicryptError} `NOT_ENCRYPTED`, `NO_KEYS`, `NO_MATCHING_KEY`, `HMAC_MISMATCH`,
 *   `BINDING_MISMATCH`; `DIFF_ID_MISMATCH` and `DIFF_ID_UNCHECKED` unless `allowUnverified` is set;
 *   with a policy `POLICY_VIOLATION`; and the other errors of {@link decryptLayer} and
 *   {@link encryptImage}
 */
export async function decryptImage(
  source: ImageSource,
  destination: ImageDestination,
  options: DecryptImageOptions,
): Promise<DecryptImageResult> {
  const { keys, signal } = options;
  return writeImage(source, destination, signal, async () => {
    const tree = await readSelected(source, options);
    requireEncryptedLayers(tree.root, options.requireEncrypted);
    const selected = selectEncrypted(tree, options);
    await requireLayerRecipients(selected, options.requireRecipients);
    if (keys.length === 0) throw new OcicryptError("NO_KEYS", "no key was given");
    const { allowUnverified = false, requireBound } = options;
    const expected = await readExpectations(source, selected, { allowUnverified, signal });
    const meter = progressMeter(tree, options.onProgress);
    const policy = { allowUnverified, requireBound };
    const context = { source, destination, keys, meter, expected, threads: options.threads };
    const step = decryptionStep({ ...context, ...policy });
    const rewritten = await runSteps({
      ...{ source, destination, tree, selected, meter, step, signal },
      changes: (parts) => ({ parts }),
      concurrency: options.concurrency,
    });
    const layers = [...rewritten.layers].map(([layer, after]): DecryptedLayerResult => ({
      ...reportLayer(layer, after),
      diffId: step.checks.get(layer)?.diffId ?? "skipped: not checked",
      bound: step.checks.get(layer)?.bound ?? false,
    }));
    const warnings = [...rewritten.layers.keys()].flatMap((layer) => {
      const { diffId = "" } = step.checks.get(layer) ?? {};
      if (!diffId.startsWith("unverified: ")) return [];
      return [`${nameOfLayer(layer)} is ${diffId}`];
    });
    return { tree, rewritten, report: { layers }, warnings };
  });
}

interface DecryptionContext extends LayerOpening {
  source: ImageSource;
  destination: ImageDestination;
  meter: ProgressMeter;
}

interface DecryptionStep extends LayerStep {
  checks: Map<SelectedLayer, { diffId: DiffIdCheck; bound: boolean }>;
}

function decryptionStep({
  source,
  destination,
  meter,
  ...opening
}: DecryptionContext): DecryptionStep {
  const { diffIds } = opening.expected;
  const checks: DecryptionStep["checks"] = new Map();
  return {
    checks,
    // Layers with one blob and one set of keys share a run, unless their configs disagree.
    identity: (layer) =>
      layerIdentity(layer.descriptor, encryptionAnnotations(layer.descriptor), diffIds.get(layer)),
    merge: mergeLayer,
    async run(layers, signal) {
      const [{ descriptor }] = layers;
      const blob = meter.count(source.read(descriptor, { signal }), descriptor, "decrypt");
      const opened = await openLayer(layers, blob, opening, signal);
      let after = descriptor;
      const describe = async (): Promise<Descriptor> => {
        const verified = await opened.verify();
        for (const [i, each] of layers.entries()) {
          const diffId = verified.checks[i] ?? "skipped: not checked";
          checks.set(each, { diffId, bound: opened.bound[i] ?? false });
        }
        after = verified.descriptor;
        return after;
      };
      await destination.write(opened.content, describe, { signal });
      return after;
    },
  };
}
