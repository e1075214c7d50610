import type { Descriptor } from "../../spec/descriptor.js";
import { imageManifests, type ImageNode } from "../manifests/tree.js";

/** The operation on a blob; `reuse` first compares a layer with earlier ones. */
export type BlobAction = "encrypt" | "decrypt" | "copy" | "compare";

/** How far an operation on an image is. */
export interface ImageProgress {
  /** The blob that was just worked on. */
  digest: string;
  action: BlobAction;
  /** The position of the layer, from 0, in the first manifest that has it; none for other blobs. */
  layer?: number | undefined;
  /** Bytes of this blob so far, and all of them. */
  blobBytes: number;
  blobSize: number;
  /** Bytes of all blobs so far, and an upper bound of all of them. */
  bytes: number;
  size: number;
}

export interface ProgressMeter {
  /** Passes a blob's content through and reports it. */
  count(
    content: AsyncIterable<Uint8Array>,
    blob: Descriptor,
    action: BlobAction,
  ): AsyncGenerator<Uint8Array, void, undefined>;
}

/**
 * Adds up the progress of several blobs at once.
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
      // A restarted operation has already been counted.
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
