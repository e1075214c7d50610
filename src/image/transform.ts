import pLimit from "p-limit";
import { ENCRYPTION_PREFIX } from "../spec/annotations.js";
import { foreignAnnotations, replaceContent, type Descriptor } from "../spec/descriptor.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import { verified } from "../stream/content.js";
import { single } from "../stream/source.js";
import type { NewConfig } from "./configs.js";
import { convertToOci } from "./docker-format.js";
import type { ProgressMeter } from "./progress.js";
import { rebuildManifests, type ManifestPart, type ManifestWriter } from "./rebuild.js";
import type { SelectedLayer } from "./select.js";
import { documentNodes, type ImageNode } from "./tree.js";

/** How many layers are worked on at once where the caller does not say. */
export const DEFAULT_CONCURRENCY = 4;

/** What is done to the selected layers. */
export interface LayerStep {
  /** Layers with equal names share one run: platforms share layers, and shall go on sharing them. */
  name(layer: SelectedLayer): string;
  /** Writes the new blob and returns its descriptor. */
  run(layer: SelectedLayer, signal: AbortSignal): Promise<Descriptor>;
}

export interface Transformation {
  source: ImageSource;
  destination: ImageDestination;
  root: ImageNode;
  selected: readonly SelectedLayer[];
  /** Configs that take the place of others; none by default. */
  configs?: readonly NewConfig[] | undefined;
  /** Whether what is of Docker's format becomes OCI's; not by default. */
  toOci?: boolean | undefined;
  step: LayerStep;
  meter: ProgressMeter;
  concurrency: number;
  signal?: AbortSignal | undefined;
}

export interface TransformedImage {
  /** Of the new manifest or index, which is not visible in the destination yet. */
  image: Descriptor;
  /** The new descriptor of each selected layer. */
  layers: ReadonlyMap<SelectedLayer, Descriptor>;
  /** Digests of manifests and indexes that others have taken the place of, the image's first. */
  former: string[];
}

/** Writes an image with some of its layers replaced; everything else is copied. */
export async function transformImage(transformation: Transformation): Promise<TransformedImage> {
  const { source, destination, root, selected, configs = [], step, meter } = transformation;
  const replaced = new Set<unknown>([
    ...selected.map(({ node }) => node),
    ...configs.map(({ manifest }) => manifest),
  ]);
  const copied = new Map(
    blobsToCopy(root, replaced).map((blob) => [`${blob.digest} ${String(blob.size)}`, blob]),
  );
  const steps = new Map(selected.map((layer) => [step.name(layer), layer]));
  const results = new Map<string, Descriptor>();
  const written = new Set<string>();
  const writer: ManifestWriter = {
    writeManifest(bytes, after) {
      written.add(after.digest);
      return destination.writeManifest(bytes, after);
    },
  };

  async function copyBlob(blob: Descriptor, signal: AbortSignal): Promise<void> {
    if (await destination.contains(blob)) return;
    if ((await destination.mount?.(blob)) === true) return;
    const content = verified(source.read(blob, { signal }), blob, signal);
    await destination.write(meter.count(content, blob, "copy"), () => blob);
  }

  async function writeConfig({ after, bytes }: NewConfig): Promise<void> {
    if (!(await destination.contains(after))) await destination.write(single(bytes), () => after);
  }

  await runAll(transformation, [
    ...[...steps].map(([name, layer]) => async (signal: AbortSignal) => {
      results.set(name, await step.run(layer, signal));
    }),
    ...[...copied.values()].map((blob) => (signal: AbortSignal) => copyBlob(blob, signal)),
    ...[...new Map(configs.map((config) => [config.after.digest, config])).values()].map(
      (config) => () => writeConfig(config),
    ),
  ]);

  const layers = new Map<SelectedLayer, Descriptor>();
  for (const layer of selected) {
    const result = results.get(step.name(layer));
    if (result !== undefined) layers.set(layer, mergeLayer(layer.descriptor, result));
  }
  const changed = new Map<ManifestPart, Descriptor>(layers);
  for (const config of configs) changed.set(config, config.after);
  const { parts, types } =
    transformation.toOci === true
      ? convertToOci(root, changed)
      : { parts: changed, types: undefined };
  const image = await rebuildManifests(root, parts, writer, types);
  const before = documentNodes(root).map(({ descriptor }) => descriptor.digest);
  return { image, layers, former: [...new Set(before)].filter((digest) => !written.has(digest)) };
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
  const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
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

/** What a step made of one layer, for a descriptor that shares the blob and has its own rest. */
function mergeLayer(before: Descriptor, result: Descriptor): Descriptor {
  const encryption = Object.entries(result.annotations ?? {}).filter(([name]) =>
    name.startsWith(ENCRYPTION_PREFIX),
  );
  const annotations = { ...foreignAnnotations(before), ...Object.fromEntries(encryption) };
  const { mediaType, digest, size } = result;
  return replaceContent(before, { mediaType, digest, size, annotations });
}

function blobsToCopy(node: ImageNode, replaced: ReadonlySet<unknown>): Descriptor[] {
  if (node.kind === "other") return [node.descriptor];
  if (node.kind === "index") return node.children.flatMap((child) => blobsToCopy(child, replaced));
  const { config, layers } = node.document;
  const kept = layers.filter((layer) => !replaced.has(layer.node));
  const configs = replaced.has(node) ? [] : [config];
  return [...configs, ...kept.map(({ descriptor }) => descriptor)];
}
