import { createHash } from "node:crypto";
import pLimit from "p-limit";
import { DOCKER_REFERENCE_DIGEST, ENCRYPTION_PREFIX } from "../spec/annotations.js";
import { foreignAnnotations, replaceContent, type Descriptor } from "../spec/descriptor.js";
import { applyEdits, type Edit } from "../spec/json-text.js";
import { MAX_MANIFEST_SIZE } from "../spec/limits.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import { verified } from "../stream/content.js";
import type { ProgressMeter } from "./progress.js";
import { descriptorEdits } from "./rewrite.js";
import type { SelectedLayer } from "./select.js";
import { tooLarge, type ImageNode, type IndexNode, type ManifestNode } from "./tree.js";

/** How many layers are worked on at once where the caller does not say. */
export const DEFAULT_CONCURRENCY = 4;

/** What is done to the selected layers. */
export interface LayerStep {
  /** Layers with equal names share one run: platforms share layers, and shall go on sharing them. */
  name(layer: SelectedLayer): string;
  /** Writes the new blob and returns its descriptor. */
  run(layer: SelectedLayer, signal: AbortSignal): Promise<Descriptor>;
}

export interface TransformedImage {
  /** Of the new manifest or index, which is not visible in the destination yet. */
  image: Descriptor;
  /** The new descriptor of each selected layer. */
  layers: ReadonlyMap<SelectedLayer, Descriptor>;
}

export interface Transformation {
  source: ImageSource;
  destination: ImageDestination;
  root: ImageNode;
  selected: readonly SelectedLayer[];
  step: LayerStep;
  meter: ProgressMeter;
  concurrency: number;
  signal?: AbortSignal | undefined;
}

/**
 * Writes an image with some of its layers replaced. Everything else is copied, and every byte of
 * a manifest that need not change stays.
 */
export async function transformImage(transformation: Transformation): Promise<TransformedImage> {
  const { source, destination, root, selected, step, meter, concurrency } = transformation;
  // The first failure stops the other layers: none of their work can be used any more.
  const failed = new AbortController();
  const signal =
    transformation.signal === undefined
      ? failed.signal
      : AbortSignal.any([transformation.signal, failed.signal]);
  const limit = pLimit(concurrency);
  const jobs = new Map<string, Promise<Descriptor>>();

  function once(key: string, job: () => Promise<Descriptor>): void {
    if (jobs.has(key)) return;
    const running = limit(async () => {
      signal.throwIfAborted();
      return job();
    });
    running.catch((error: unknown) => {
      failed.abort(error);
    });
    jobs.set(key, running);
  }

  async function copyBlob(descriptor: Descriptor): Promise<Descriptor> {
    if (!(await destination.contains(descriptor))) {
      const content = verified(source.read(descriptor, { signal }), descriptor, signal);
      await destination.write(meter.count(content, descriptor, "copy"), () => descriptor);
    }
    return descriptor;
  }

  for (const layer of selected) {
    once(`step ${step.name(layer)}`, () => step.run(layer, signal));
  }
  const isSelected = new Set(selected.map(({ node }) => node));
  for (const descriptor of blobsToCopy(root, isSelected)) {
    once(`copy ${descriptor.digest}`, () => copyBlob(descriptor));
  }
  await Promise.allSettled(jobs.values());
  signal.throwIfAborted();

  const layers = new Map<SelectedLayer, Descriptor>();
  for (const layer of selected) {
    const result = await jobs.get(`step ${step.name(layer)}`);
    if (result !== undefined) layers.set(layer, mergeLayer(layer.descriptor, result));
  }

  async function rebuild(node: ImageNode): Promise<Descriptor> {
    if (node.kind === "other") return node.descriptor;
    const { text } = node.document;
    const edits = node.kind === "manifest" ? layerEdits(node) : await entryEdits(node);
    const bytes = Buffer.from(applyEdits(text, edits), "utf8");
    const size = bytes.byteLength;
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    if (size > MAX_MANIFEST_SIZE) throw tooLarge(digest);
    const { descriptor } = node;
    const { mediaType, annotations } = descriptor;
    // A document that stays keeps its descriptor, whatever algorithm its digest is of.
    const after =
      edits.length === 0
        ? descriptor
        : replaceContent(descriptor, { mediaType, digest, size, annotations });
    if (!(await destination.contains(after))) await destination.write(single(bytes), () => after);
    return after;
  }

  function layerEdits({ document }: ManifestNode): Edit[] {
    return [...layers].flatMap(([layer, after]) =>
      document.layers.some(({ node }) => node === layer.node)
        ? descriptorEdits(layer, after, document.text)
        : [],
    );
  }

  async function entryEdits(node: IndexNode): Promise<Edit[]> {
    const after: Descriptor[] = [];
    for (const child of node.children) after.push(await rebuild(child));
    const renamed = new Map(
      node.children.map(({ descriptor }, i) => [descriptor.digest, after[i]]),
    );
    return node.document.manifests.flatMap((entry, i) => {
      const descriptor = after[i];
      return descriptor === undefined
        ? []
        : descriptorEdits(entry, followReference(descriptor, renamed), node.document.text);
    });
  }

  return { image: await rebuild(root), layers };
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

/** BuildKit's attestations name the manifest that they are about. */
function followReference(
  descriptor: Descriptor,
  renamed: ReadonlyMap<string, Descriptor | undefined>,
): Descriptor {
  const about = descriptor.annotations?.[DOCKER_REFERENCE_DIGEST];
  const target = about === undefined ? undefined : renamed.get(about);
  if (target === undefined) return descriptor;
  const annotations = { ...descriptor.annotations, [DOCKER_REFERENCE_DIGEST]: target.digest };
  return { ...descriptor, annotations };
}

function blobsToCopy(node: ImageNode, selected: ReadonlySet<unknown>): Descriptor[] {
  if (node.kind === "other") return [node.descriptor];
  if (node.kind === "index") return node.children.flatMap((child) => blobsToCopy(child, selected));
  const { config, layers } = node.document;
  const kept = layers.filter((layer) => !selected.has(layer.node));
  return [config, ...kept.map(({ descriptor }) => descriptor)];
}

// eslint-disable-next-line @typescript-eslint/require-await -- an iterable of one chunk
async function* single(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}
