import {
  type Descriptor,
  encryptionAnnotations,
  foreignAnnotations,
  replaceContent,
} from "../spec/descriptor.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import { isSameImage, type ImageProgress } from "./engine/copy-blobs.js";
import { findCurrentReferrers, findReferrers } from "./features/stale-referrers.js";
import type { RewrittenImage } from "./manifests/rewrite.js";
import type { ImageTree } from "./manifests/tree.js";
import { findMissing } from "./manifests/missing.js";
import { formatPlatform, type SelectedLayer } from "./manifests/select-layers.js";

/** Options of every operation that processes layers. */
export interface OperationOptions {
  /** The number of layers that are processed at once. Default: 4. */
  concurrency?: number | undefined;
  /** The most threads for the hashes of long layers; as for `encryptLayer`. */
  threads?: number | undefined;
  /** Aborts the operation; the destination is then unchanged. */
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: ImageProgress) => void) | undefined;
}

/** An image that is written, but not yet visible. */
interface Outcome<Report> {
  tree: ImageTree;
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
    const { tree, rewritten, report, warnings } = await work();
    if (rewritten === undefined) {
      signal?.throwIfAborted();
      await destination.discard();
      const referrers = await findCurrentReferrers(source, tree, signal);
      return { image: tree.root.descriptor, ...report, warnings: [...warnings, ...referrers] };
    }
    const { image, former } = rewritten;
    const left = [...findMissing(tree), ...(await findReferrers(source, tree, former, signal))];
    signal?.throwIfAborted();
    const replaces = isSameImage(source, destination) ? tree.root.descriptor : undefined;
    await destination.commit(image, { signal, replaces });
    return { image, ...report, warnings: [...warnings, ...left] };
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

/** Gives the result of one layer to a descriptor of the same blob with annotations of its own. */
export function mergeLayer(before: Descriptor, result: Descriptor): Descriptor {
  const annotations = { ...foreignAnnotations(before), ...encryptionAnnotations(result) };
  const { mediaType, digest, size } = result;
  return replaceContent(before, { mediaType, digest, size, annotations });
}
