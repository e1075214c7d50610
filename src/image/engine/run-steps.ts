import pLimit from "p-limit";
import type { Descriptor } from "../../spec/descriptor.js";
import type { ImageDestination, ImageSource } from "../../store/types.js";
import { anySignal } from "../../io/abort.js";
import { single } from "../../io/source.js";
import type { NewConfig } from "../features/config-history.js";
import { blobsOf, copyBlob } from "./copy-blobs.js";
import { changesOf, mergeLayer, type OtherChanges } from "../changes.js";
import type { ProgressMeter } from "./progress.js";
import { rebuildImage, type RebuiltImage } from "../manifests/rewrite.js";
import { restarting } from "./restart.js";
import type { SelectedLayer } from "../manifests/select-layers.js";
import type { ImageNode } from "../manifests/tree.js";

/** How many layers are worked on at once where the caller does not say. */
export const DEFAULT_CONCURRENCY = 4;

/** What is done to the selected layers. */
export interface LayerStep {
  /** Layers with equal names share one run: platforms share layers, and shall go on sharing them. */
  name(layer: SelectedLayer): string;
  /** Writes the new blob and returns its descriptor. */
  run(layer: SelectedLayer, signal: AbortSignal): Promise<Descriptor>;
}

export interface Transformation extends OtherChanges {
  source: ImageSource;
  destination: ImageDestination;
  root: ImageNode;
  selected: readonly SelectedLayer[];
  step: LayerStep;
  meter: ProgressMeter;
  concurrency: number;
  signal?: AbortSignal | undefined;
}

export interface TransformedImage extends RebuiltImage {
  /** The new descriptor of each selected layer. */
  layers: ReadonlyMap<SelectedLayer, Descriptor>;
}

/** Writes an image with some of its layers replaced; everything else is copied. */
export async function transformImage(transformation: Transformation): Promise<TransformedImage> {
  const { source, destination, root, selected, configs = [], step, meter } = transformation;
  const replaced = new Set<unknown>([
    ...selected.map(({ node }) => node),
    ...configs.map(({ manifest }) => manifest),
  ]);
  const steps = new Map(selected.map((layer) => [step.name(layer), layer]));
  const results = new Map<string, Descriptor>();

  async function writeConfig({ after, bytes }: NewConfig, signal: AbortSignal): Promise<void> {
    if (await destination.contains(after)) return;
    await restarting(() => destination.write(single(bytes), () => after, { signal }));
  }

  await runAll(transformation, [
    ...[...steps].map(([name, layer]) => async (signal: AbortSignal) => {
      results.set(name, await restarting(() => step.run(layer, signal)));
    }),
    ...blobsOf(root, replaced).map(
      (blob) => (signal: AbortSignal) => copyBlob(source, destination, blob, { meter, signal }),
    ),
    ...[...new Map(configs.map((config) => [config.after.digest, config])).values()].map(
      (config) => (signal: AbortSignal) => writeConfig(config, signal),
    ),
  ]);

  const layers = new Map<SelectedLayer, Descriptor>();
  for (const layer of selected) {
    const result = results.get(step.name(layer));
    if (result !== undefined) layers.set(layer, mergeLayer(layer.descriptor, result));
  }
  const { parts, types } = changesOf(root, layers, transformation);
  return { ...(await rebuildImage(root, parts, destination, types)), layers };
}

/**
 * Runs jobs, a bounded number at a time. The first failure stops the others, whose work can not be
 * used any more, and is reported once nothing runs.
 */
async function runAll(
  { concurrency, signal }: Transformation,
  jobs: readonly ((signal: AbortSignal) => Promise<void>)[],
): Promise<void> {
  const failed = new AbortController();
  const either = anySignal(signal, failed.signal);
  const limit = pLimit(concurrency);
  const run = async (job: (signal: AbortSignal) => Promise<void>): Promise<void> => {
    try {
      if (!either.aborted) await job(either);
    } catch (error) {
      failed.abort(error);
    }
  };
  await Promise.all(jobs.map((job) => limit(run, job)));
  either.throwIfAborted();
}
