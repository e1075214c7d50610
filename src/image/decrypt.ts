import { OcicryptError } from "../errors.js";
import type { Key } from "../keywrap/types.js";
import { decryptLayer } from "../layer/decrypt.js";
import { encryptionAnnotations, type Descriptor } from "../spec/descriptor.js";
import { plainMediaType } from "../spec/media-types.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import { readDiffIds, withDiffId, type DiffIdCheck } from "./features/diff-id.js";
import {
  requireEncryptedLayers,
  requireLayerRecipients,
  type DecryptPolicy,
} from "./features/decrypt-policy.js";
import { progressMeter, type ImageProgress } from "./engine/progress.js";
import { encryptedLayers } from "./edit-recipients.js";
import { findReferrers } from "./features/stale-referrers.js";
import { reportLayer, totalSize, type LayerResult } from "./results.js";
import type { SelectedLayer, Selection } from "./manifests/select-layers.js";
import { DEFAULT_CONCURRENCY, transformImage } from "./engine/run-steps.js";
import { readDocument, readTree } from "./manifests/tree.js";

export interface DecryptImageOptions extends Selection, DecryptPolicy {
  /** Tried on every wrapped key of every layer. */
  keys: readonly Key[];
  /** How many layers are decrypted at once; 4 by default. */
  concurrency?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: ImageProgress) => void) | undefined;
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
  const { keys, onProgress, concurrency = DEFAULT_CONCURRENCY } = options;
  try {
    const root = await readTree(source, await source.resolve(options), options.signal);
    requireEncryptedLayers(root, options.requireEncrypted);
    const selected = encryptedLayers(root, options);
    await requireLayerRecipients(selected, options.requireRecipients);
    if (keys.length === 0) throw new OcicryptError("NO_KEYS", "no key was given");
    const diffIds = await expectedDiffIds(source, selected, options.signal);

    const meter = progressMeter(totalSize(root), onProgress);
    const checks = new Map<string, DiffIdCheck>();
    const name = (layer: SelectedLayer): string => stepName(layer.descriptor, diffIds.get(layer));
    const { image, layers, former } = await transformImage({
      ...{ source, destination, root, selected, meter, concurrency },
      signal: options.signal,
      step: {
        name,
        async run(layer, signal) {
          const { descriptor } = layer;
          const content = meter.count(source.read(descriptor, { signal }), descriptor, "decrypt");
          const decrypted = await decryptLayer(content, { descriptor, keys, signal });
          const mediaType = plainMediaType(descriptor.mediaType);
          const diffId = withDiffId(decrypted.stream, mediaType, diffIds.get(layer));
          const describe = async (): Promise<Descriptor> => {
            checks.set(name(layer), await diffId.check());
            return decrypted.finalize();
          };
          await destination.write(diffId.content, describe, { signal });
          return decrypted.finalize();
        },
      },
    });
    const warnings = await findReferrers(source, root, former, options.signal);
    options.signal?.throwIfAborted();
    await destination.commit(image, { signal: options.signal });
    return {
      image,
      layers: [...layers].map(([layer, after]) => ({
        ...reportLayer(layer, after),
        diffId: checks.get(name(layer)) ?? "skipped: not checked",
      })),
      warnings,
    };
  } catch (error) {
    await destination.discard();
    throw error;
  }
}

/** Layers with one blob and one set of keys share a run, unless their configs differ about them. */
function stepName(layer: Descriptor, diffId?: string): string {
  const { mediaType, digest, size } = layer;
  return JSON.stringify([mediaType, digest, size, diffId, encryptionAnnotations(layer)]);
}

async function expectedDiffIds(
  source: ImageSource,
  selected: readonly SelectedLayer[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<SelectedLayer, string>> {
  const expected = new Map<SelectedLayer, string>();
  for (const manifest of new Set(selected.map((layer) => layer.manifest))) {
    const { config, layers } = manifest.document;
    const diffIds = readDiffIds(config, await readDocument(source, config, signal));
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
