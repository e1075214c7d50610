import type { Descriptor } from "../../spec/descriptor.js";
import { imageManifests, type ImageNode } from "../manifests/tree.js";

/** The operation on a blob; `reuse` first compares a layer with earlier ones. */
export type BlobAction = "encrypt" | "decrypt" | "copy" | "compare";

/** The progress of an operation on an image. */
export interface ImageProgress {
  /** The digest of the blob that is being processed. */
  digest: string;
  action: BlobAction;
  /**
   * The position of the layer, from 0, in the first manifest that has it; absent for other blobs.
   */
  layer?: number | undefined;
  /** The bytes of this blob that have been processed, and its size. */
  blobBytes: number;
  blobSize: number;
  /** The bytes of all blobs that have been processed, and an upper bound of their total size. */
  bytes: number;
  size: number;
}

export interface ProgressMeter {
  /** Passes a blob's content through and reports its progress. */
  count(
    content: AsyncIterable<Uint8Array>,
    blob: Descriptor,
    action: BlobAction,
  ): AsyncGenerator<Uint8Array, void, undefined>;
}

/**
 * Adds up the progress of several blobs.
 *
 * @param root the image whose layers are numbered
 */
export function progressMeter(
  size: number,
  report: ((progress: ImageProgress) => void) | undefined,
  root?: ImageNode,
): ProgressMeter {
  const numbers = root === undefined ? new Map<string, number>() : layerNumbers(root);
  let bytes = 0;
  const counted = new Map<string, number>();
  return {
    async *count(content, { digest, size: blobSize }, action) {
      // The size of a restarted operation has already been counted.
      const name = `${action} ${digest}`;
      bytes -= counted.get(name) ?? 0;
      counted.set(name, 0);
      let blobBytes = 0;
      for await (const chunk of content) {
        blobBytes += chunk.byteLength;
        bytes += chunk.byteLength;
        counted.set(name, (counted.get(name) ?? 0) + chunk.byteLength);
        report?.({ digest, action, layer: numbers.get(digest), blobBytes, blobSize, bytes, size });
        yield chunk;
      }
    },
  };
}

function layerNumbers(root: ImageNode): Map<string, number> {
  const numbers = new Map<string, number>();
  for (const { document } of imageManifests(root)) {
    for (const [index, { descriptor }] of document.layers.entries()) {
      if (!numbers.has(descriptor.digest)) numbers.set(descriptor.digest, index);
    }
  }
  return numbers;
}
