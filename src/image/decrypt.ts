import { isOcicryptError, OcicryptError } from "../errors.js";
import type { Key } from "../keywrap/types.js";
import { decryptLayer } from "../layer/decrypt.js";
import { encryptionAnnotations, type Descriptor } from "../spec/descriptor.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import type { LayerResult, OperationOptions } from "./operation.js";
import { mergeLayer, reportLayer, writeImage } from "./operation.js";
import { progressMeter, type ProgressMeter } from "./engine/copy-blobs.js";
import { layerIdentity, runSteps, type LayerStep } from "./engine/run-steps.js";
import { requireBinding } from "./features/binding.js";
import {
  requireEncryptedLayers,
  requireLayerRecipients,
  type DecryptPolicy,
} from "./features/decrypt-policy.js";
import { withDiffId, type DiffIdCheck, type DiffIdCheckStream } from "./features/diff-id.js";
import { readExpectations, type Expectations } from "./features/expected-config.js";
import {
  nameOfLayer,
  selectEncrypted,
  type SelectedLayer,
  type Selection,
} from "./manifests/select-layers.js";
import { readImage } from "./manifests/tree.js";

export interface DecryptImageOptions extends Selection, DecryptPolicy, OperationOptions {
  /** Tried on every wrapped key of every layer. */
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
    const tree = await readImage(source, options);
    requireEncryptedLayers(tree.root, options.requireEncrypted);
    const selected = selectEncrypted(tree, options);
    await requireLayerRecipients(selected, options.requireRecipients);
    if (keys.length === 0) throw new OcicryptError("NO_KEYS", "no key was given");
    const { allowUnverified = false, requireBound } = options;
    const expected = await readExpectations(source, selected, { allowUnverified, signal });
    const meter = progressMeter(tree, options.onProgress);
    const context = { source, destination, keys, meter, expected, allowUnverified, requireBound };
    const step = decryptionStep(context);
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

interface DecryptionContext {
  source: ImageSource;
  destination: ImageDestination;
  keys: readonly Key[];
  expected: Expectations;
  allowUnverified: boolean;
  requireBound: boolean | undefined;
  meter: ProgressMeter;
}

interface DecryptionStep extends LayerStep {
  checks: Map<SelectedLayer, { diffId: DiffIdCheck; bound: boolean }>;
}

function decryptionStep(context: DecryptionContext): DecryptionStep {
  const { source, destination, keys, meter, expected, allowUnverified, requireBound } = context;
  const { hashes, diffIds, problems } = expected;
  const checks: DecryptionStep["checks"] = new Map();

  async function checkDiffId(stream: DiffIdCheckStream): Promise<DiffIdCheck> {
    try {
      await stream.check();
      return "verified";
    } catch (error) {
      if (!allowUnverified || !isOcicryptError(error)) throw error;
      return `unverified: ${error.message}`;
    }
  }

  /** Returns the result for a layer that has no diffID to compare with. */
  function unchecked({ manifest }: SelectedLayer): DiffIdCheck {
    const problem = problems.get(manifest);
    if (problem !== undefined) return `unverified: ${problem}`;
    return "skipped: the config has no diffIDs";
  }

  return {
    checks,
    // Layers with one blob and one set of keys share a run, unless their configs disagree.
    identity: (layer) =>
      layerIdentity(layer.descriptor, encryptionAnnotations(layer.descriptor), diffIds.get(layer)),
    merge: mergeLayer,
    async run(layers, signal) {
      const [layer] = layers;
      const { descriptor } = layer;
      const content = meter.count(source.read(descriptor, { signal }), descriptor, "decrypt");
      const decrypted = await decryptLayer(content, { descriptor, keys, signal });
      const { binding } = decrypted;
      const bound = layers.map(
        (each) => requireBinding(each, binding, { hashes, required: requireBound }) === "bound",
      );
      const diffId = diffIds.get(layer);
      const stream = diffId === undefined ? undefined : withDiffId(decrypted.stream, diffId);
      const describe = async (): Promise<Descriptor> => {
        const checked = stream && (await checkDiffId(stream));
        for (const [i, each] of layers.entries()) {
          checks.set(each, { diffId: checked ?? unchecked(each), bound: bound[i] ?? false });
        }
        return decrypted.finalize();
      };
      await destination.write(stream?.content ?? decrypted.stream, describe, { signal });
      return decrypted.finalize();
    },
  };
}
