import { OcicryptError } from "../errors.js";
import type { Key } from "../keywrap/types.js";
import { decryptLayer } from "../layer/decrypt.js";
import { encryptionAnnotations, type Descriptor } from "../spec/descriptor.js";
import { plainMediaType } from "../spec/media-types.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import { mergeLayer } from "./changes.js";
import { progressMeter, type ProgressMeter } from "./engine/progress.js";
import { layerIdentity, runSteps, type LayerStep } from "./engine/run-steps.js";
import {
  requireEncryptedLayers,
  requireLayerRecipients,
  type DecryptPolicy,
} from "./features/decrypt-policy.js";
import { withDiffId, type DiffIdCheck } from "./features/diff-id.js";
import { isImageConfig, parseImageConfig } from "./manifests/image-config.js";
import { selectEncrypted, type SelectedLayer, type Selection } from "./manifests/select-layers.js";
import { readDocument, readImage } from "./manifests/tree.js";
import { writeImage, type OperationOptions } from "./operation.js";
import { reportLayer, totalSize, type LayerResult } from "./results.js";

export interface DecryptImageOptions extends Selection, DecryptPolicy, OperationOptions {
  /** Tried on every wrapped key of every layer. */
  keys: readonly Key[];
}

export interface DecryptImageResult {
  /** Of the new manifest or index: the original one, if this library encrypted it. */
  image: Descriptor;
  /** The decrypted layers. */
  layers: DecryptedLayerResult[];
  /** What the caller should know though nothing failed. */
  warnings: string[];
}

export interface DecryptedLayerResult extends LayerResult {
  diffId: DiffIdCheck;
}

/**
 * Decrypts the encrypted layers of an image; layers that are plain stay as they are. Nothing is
 * published before everything is verified: the ciphertext against its descriptor, the HMAC, and
 * the plain layer against the diffID in the image's config, where it has one.
 *
 * @throws {@link OcicryptError} `NOT_ENCRYPTED`, `NO_KEYS`, `NO_MATCHING_KEY`, `HMAC_MISMATCH`,
 *   `DIFF_ID_MISMATCH`; with a policy `POLICY_VIOLATION`; and the others of {@link decryptLayer} and {@link encryptImage}
 */
export async function decryptImage(
  source: ImageSource,
  destination: ImageDestination,
  options: DecryptImageOptions,
): Promise<DecryptImageResult> {
  const { keys, signal } = options;
  return writeImage(source, destination, signal, async () => {
    const root = await readImage(source, options);
    requireEncryptedLayers(root, options.requireEncrypted);
    const selected = selectEncrypted(root, options);
    await requireLayerRecipients(selected, options.requireRecipients);
    if (keys.length === 0) throw new OcicryptError("NO_KEYS", "no key was given");
    const diffIds = await expectedDiffIds(source, selected, signal);
    const meter = progressMeter(totalSize(root), options.onProgress);
    const step = decryptionStep({ source, destination, keys, diffIds, meter });
    const rewritten = await runSteps({
      ...{ source, destination, root, selected, meter, step, signal },
      changes: (parts) => ({ parts }),
      concurrency: options.concurrency,
    });
    const layers = [...rewritten.layers].map(([layer, after]) => ({
      ...reportLayer(layer, after),
      diffId: step.checks.get(step.identity(layer)) ?? "skipped: not checked",
    }));
    return { root, rewritten, report: { layers }, warnings: [] };
  });
}

interface DecryptionContext {
  source: ImageSource;
  destination: ImageDestination;
  keys: readonly Key[];
  diffIds: ReadonlyMap<SelectedLayer, string>;
  meter: ProgressMeter;
}

interface DecryptionStep extends LayerStep {
  /** The results by the identities of the layers. */
  checks: Map<string, DiffIdCheck>;
}

function decryptionStep(context: DecryptionContext): DecryptionStep {
  const { source, destination, keys, diffIds, meter } = context;
  const checks = new Map<string, DiffIdCheck>();
  /** Layers with one blob and one set of keys share a run, unless their configs disagree. */
  const identity = (layer: SelectedLayer): string =>
    layerIdentity(layer.descriptor, encryptionAnnotations(layer.descriptor), diffIds.get(layer));
  return {
    checks,
    identity,
    merge: mergeLayer,
    async run([layer], signal) {
      const { descriptor } = layer;
      const content = meter.count(source.read(descriptor, { signal }), descriptor, "decrypt");
      const decrypted = await decryptLayer(content, { descriptor, keys, signal });
      const mediaType = plainMediaType(descriptor.mediaType);
      const diffId = withDiffId(decrypted.stream, mediaType, diffIds.get(layer));
      const describe = async (): Promise<Descriptor> => {
        checks.set(identity(layer), await diffId.check());
        return decrypted.finalize();
      };
      await destination.write(diffId.content, describe, { signal });
      return decrypted.finalize();
    },
  };
}

async function expectedDiffIds(
  source: ImageSource,
  selected: readonly SelectedLayer[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<SelectedLayer, string>> {
  const expected = new Map<SelectedLayer, string>();
  for (const manifest of new Set(selected.map((layer) => layer.manifest))) {
    const { config, layers } = manifest.document;
    if (!isImageConfig(config)) continue;
    const { diffIds } = parseImageConfig(await readDocument(source, config, signal));
    if (diffIds === undefined) continue;
    if (diffIds.length !== layers.length) {
      const counts = `${String(diffIds.length)} diffIDs for ${String(layers.length)} layers`;
      throw new OcicryptError("DIFF_ID_MISMATCH", `the image's config has ${counts}`);
    }
    for (const layer of selected) {
      const diffId = diffIds[layer.index];
      if (layer.manifest === manifest && diffId !== undefined) expected.set(layer, diffId);
    }
  }
  return expected;
}
