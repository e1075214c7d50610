import pLimit from "p-limit";
import { anySignal } from "../../io/abort.js";
import { single } from "../../io/source.js";
import type { Descriptor } from "../../spec/descriptor.js";
import type { ImageDestination, ImageSource } from "../../store/types.js";
import {
  rewriteImage,
  type Changes,
  type NewConfig,
  type RewrittenImage,
} from "../manifests/rewrite.js";
import { explainMissing } from "../manifests/missing.js";
import type { SelectedLayer } from "../manifests/select-layers.js";
import type { ImageTree } from "../manifests/tree.js";
import { blobsOf, copyBlob, type ProgressMeter, restarting } from "./copy-blobs.js";

/** The default number of layers that are processed at once. */
const DEFAULT_CONCURRENCY = 4;

/** One or more layers with the same identity. Layers that platforms share stay shared. */
export type SameLayers = readonly [SelectedLayer, ...SelectedLayer[]];

/** The change that an operation makes to the selected layers. */
export interface LayerStep {
  /** Layers with equal identities share one run. */
  identity(layer: SelectedLayer): string;
  /** Writes the new blob and returns its descriptor. */
  run(layers: SameLayers, signal: AbortSignal): Promise<Descriptor>;
  /** Applies the result of a run to one of the layers that share it. */
  merge(before: Descriptor, result: Descriptor): Descriptor;
}

export interface Steps {
  source: ImageSource;
  destination: ImageDestination;
  tree: ImageTree;
  selected: readonly SelectedLayer[];
  step: LayerStep;
  /** Returns the edits of the manifests for the new descriptors of the layers. */
  changes: (layers: ReadonlyMap<SelectedLayer, Descriptor>) => Changes;
  /** Configs to write instead of other configs. Default: none. */
  configs?: readonly NewConfig[] | undefined;
  meter: ProgressMeter;
  /** The number of layers that are processed at once. Default: 4. */
  concurrency?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface SteppedImage extends RewrittenImage {
  /** The new descriptor of each selected layer. */
  layers: ReadonlyMap<SelectedLayer, Descriptor>;
}

/** Identifies a layer by its content and by everything else that the result depends on. */
export function layerIdentity(
  { mediaType, digest, size }: Descriptor,
  ...others: readonly unknown[]
): string {
  return JSON.stringify([mediaType, digest, size, ...others]);
}

/** Writes an image with some of its layers replaced, and copies all other blobs. */
export async function runSteps(steps: Steps): Promise<SteppedImage> {
  const { source, destination, tree, selected, configs = [], step, meter } = steps;
  const replaced = new Set<unknown>([
    ...selected.map(({ node }) => node),
    ...configs.map(({ manifest }) => manifest),
  ]);
  const runs = new Map<string, [SelectedLayer, ...SelectedLayer[]]>();
  for (const layer of selected) {
    const identity = step.identity(layer);
    const same = runs.get(identity);
    if (same === undefined) runs.set(identity, [layer]);
    else same.push(layer);
  }
  const layers = new Map<SelectedLayer, Descriptor>();

  async function writeConfig({ after, bytes }: NewConfig, signal: AbortSignal): Promise<void> {
    if (await destination.contains(after)) return;
    await restarting(() => destination.write(single(bytes), () => after, { signal }));
  }

  await runAll(steps, [
    ...[...runs.values()].map((same) => async (signal: AbortSignal) => {
      const result = await restarting(() => step.run(same, signal)).catch((error: unknown) => {
        throw explainMissing(error, tree, same[0].descriptor);
      });
      for (const layer of same) layers.set(layer, step.merge(layer.descriptor, result));
    }),
    ...blobsOf(tree, replaced).map(
      (blob) => (signal: AbortSignal) =>
        copyBlob(source, destination, blob, { tree, meter, signal }),
    ),
    ...[...new Map(configs.map((config) => [config.after.digest, config])).values()].map(
      (config) => (signal: AbortSignal) => writeConfig(config, signal),
    ),
  ]);

  const inOrder = new Map<SelectedLayer, Descriptor>();
  for (const layer of selected) inOrder.set(layer, layers.get(layer) ?? layer.descriptor);
  const rewritten = await rewriteImage(tree, steps.changes(inOrder), destination);
  return { ...rewritten, layers: inOrder };
}

/**
 * Runs jobs, a limited number at a time. The first failure stops the other jobs, and is thrown
 * after all of them have ended.
 */
async function runAll(
  { concurrency = DEFAULT_CONCURRENCY, signal }: Steps,
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
