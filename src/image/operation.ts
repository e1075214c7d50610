import {
  type Descriptor,
  encryptionAnnotations,
  foreignAnnotations,
  replaceContent,
} from "../spec/descriptor.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import { blobsOf, isSameImage, type ImageProgress } from "./engine/copy-blobs.js";
import { findReferrers } from "./features/stale-referrers.js";
import type { Changes, ManifestPart, NewConfig, RewrittenImage } from "./manifests/rewrite.js";
import type { ImageNode } from "./manifests/tree.js";
import { formatPlatform, type SelectedLayer } from "./manifests/select-layers.js";
import { convertToOci } from "./features/docker-format.js";

/** Options of every operation that processes layers. */
export interface OperationOptions {
  /** The number of layers that are processed at once. Default: 4. */
  concurrency?: number | undefined;
  /** Aborts the operation; the destination is then unchanged. */
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: ImageProgress) => void) | undefined;
}

/** An image that is written, but not yet visible. */
interface Outcome<Report> {
  root: ImageNode;
  /** Absent if nothing had to be written. */
  rewritten?: RewrittenImage | undefined;
  report: Report;
  warnings: readonly string[];
}

type OperationResult<Report> = {
  image: Descriptor;
  warnings: string[];
} & Report;

/**
 * Runs an operation that writes an image. First `work` writes it, then this function looks up the
 * artifacts that refer to replaced manifests, and finally makes the image visible. On any failure,
 * the destination is unchanged.
 */
export async function writeImage<Report extends object>(
  source: ImageSource,
  destination: ImageDestination,
  signal: AbortSignal | undefined,
  work: () => Promise<Outcome<Report>>,
): Promise<OperationResult<Report>> {
  try {
    const { root, rewritten, report, warnings } = await work();
    if (rewritten === undefined) {
      signal?.throwIfAborted();
      await destination.discard();
      return { image: root.descriptor, ...report, warnings: [...warnings] };
    }
    const { image, former } = rewritten;
    const referrers = await findReferrers(source, root, former, signal);
    signal?.throwIfAborted();
    const replaces = isSameImage(source, destination) ? root.descriptor : undefined;
    await destination.commit(image, { signal, replaces });
    return { image, ...report, warnings: [...warnings, ...referrers] };
  } catch (error) {
    await destination.discard();
    throw error;
  }
}

/** The result for one layer. */
export interface LayerResult {
  /** `os/arch`, or `-` in an image without an index. */
  platform: string;
  /** The layer's position in its manifest, from 0. */
  index: number;
  before: LayerContent;
  after: LayerContent;
}

export interface LayerContent {
  mediaType: string;
  digest: string;
  size: number;
}

export function reportLayer(layer: SelectedLayer, after: Descriptor): LayerResult {
  const { manifest, index, descriptor } = layer;
  return {
    platform: formatPlatform(manifest.platform),
    index,
    before: contentOf(descriptor),
    after: contentOf(after),
  };
}

function contentOf({ mediaType, digest, size }: Descriptor): LayerContent {
  return { mediaType, digest, size };
}

/** Returns the total size of all distinct blobs of an image, according to their descriptors. */
export function totalSize(root: ImageNode): number {
  return blobsOf(root).reduce((sum, { size }) => sum + size, 0);
}

/** Changes of manifests other than changes of their layers. */
export interface OtherChanges {
  /** Configs that replace other configs. Default: none. */
  configs?: readonly NewConfig[] | undefined;
  /** Whether Docker manifests are converted to OCI. Default: false. */
  toOci?: boolean | undefined;
}

/** Returns the edits that give layers new descriptors. */
export function changesOf(
  root: ImageNode,
  layers: ReadonlyMap<SelectedLayer, Descriptor>,
  { configs = [], toOci = false }: OtherChanges,
): Changes {
  const parts = new Map<ManifestPart, Descriptor>(layers);
  for (const config of configs) parts.set(config, config.after);
  return toOci ? convertToOci(root, parts) : { parts };
}

/**
 * Applies the result for one layer to another descriptor of the same blob, which keeps its own
 * annotations.
 */
export function mergeLayer(before: Descriptor, result: Descriptor): Descriptor {
  const annotations = { ...foreignAnnotations(before), ...encryptionAnnotations(result) };
  const { mediaType, digest, size } = result;
  return replaceContent(before, { mediaType, digest, size, annotations });
}
