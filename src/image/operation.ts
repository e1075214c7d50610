import type { Descriptor } from "../spec/descriptor.js";
import type { ImageDestination, ImageSource } from "../store/types.js";
import { isSameImage } from "./engine/copy-blobs.js";
import type { ImageProgress } from "./engine/progress.js";
import { findReferrers } from "./features/stale-referrers.js";
import type { RewrittenImage } from "./manifests/rewrite.js";
import type { ImageNode } from "./manifests/tree.js";

/** Options of every operation that processes layers. */
export interface OperationOptions {
  /** The number of layers that are processed at once. Default: 4. */
  concurrency?: number | undefined;
  /** Aborts the operation; the destination is then unchanged. */
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: ImageProgress) => void) | undefined;
}

/** An image that is written, but not yet visible. */
export interface Outcome<Report> {
  root: ImageNode;
  /** Absent if nothing had to be written. */
  rewritten?: RewrittenImage | undefined;
  report: Report;
  warnings: readonly string[];
}

export type OperationResult<Report> = {
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
