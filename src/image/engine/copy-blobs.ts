import type { Descriptor } from "../../spec/descriptor.js";
import type { ImageDestination, ImageSource } from "../../store/types.js";
import { isOcicryptError } from "../../errors.js";
import { verified } from "../../io/content.js";
import { explainMissing, isForeign } from "../manifests/missing.js";
import type { ImageNode, ImageTree } from "../manifests/tree.js";

/**
 * Returns the distinct blobs of an image.
 *
 * @param without nodes and layers whose blobs are left out. Default: none.
 */
export function blobsOf(
  { root }: ImageTree,
  without: ReadonlySet<unknown> = new Set(),
): Descriptor[] {
  const blobs = collect(root, without);
  return [...new Map(blobs.map((blob) => [`${blob.digest} ${String(blob.size)}`, blob])).values()];
}

function collect(node: ImageNode, without: ReadonlySet<unknown>): Descriptor[] {
  if (node.kind === "index") return node.children.flatMap((child) => collect(child, without));
  if (node.kind === "missing") return [];
  if (node.kind === "other") return node.bytes === undefined ? [node.descriptor] : [];
  const { config, layers } = node.document;
  const kept = layers.filter((layer) => !without.has(layer.node));
  return [...(without.has(node) ? [] : [config]), ...kept.map(({ descriptor }) => descriptor)];
}

/**
 * Whether the destination already holds the blobs of a source's image, because both are in one
 * store that keeps its blobs.
 */
export function keepsBlobsOf(source: ImageSource, destination: ImageDestination): boolean {
  return destination.keepsBlobs === true && isSameStore(source, destination);
}

/** Whether a destination replaces the image of a source. */
export function isSameImage(source: ImageSource, destination: ImageDestination): boolean {
  return isSameStore(source, destination) && source.place?.name === destination.place?.name;
}

function isSameStore(source: ImageSource, destination: ImageDestination): boolean {
  return source.place !== undefined && source.place.store === destination.place?.store;
}

interface BlobCopy {
  /** The image of the blob, which names its platforms in errors. */
  tree: ImageTree;
  meter: ProgressMeter;
  signal: AbortSignal | undefined;
}

/** Copies a blob if the destination does not hold it. */
export async function copyBlob(
  source: ImageSource,
  destination: ImageDestination,
  blob: Descriptor,
  { tree, meter, signal }: BlobCopy,
): Promise<void> {
  if (await destination.contains(blob)) return;
  if ((await destination.mount?.(blob)) === true) return;
  try {
    await restarting(async () => {
      const content = verified(source.read(blob, { signal }), blob, signal);
      await destination.write(meter.count(content, blob, "copy"), () => blob, { signal });
    });
  } catch (error) {
    // Base layers of Windows images are stored only at a URL, not in registries.
    if (isForeign(blob) && isOcicryptError(error, "BLOB_NOT_FOUND")) return;
    throw explainMissing(error, tree, blob);
  }
}

/** Each restart reads and sends a whole layer again. */
const MAX_RESTARTS = 2;

/**
 * Writes a blob, and starts again if the registry has lost the part that it had received. Docker's
 * registry and zot lose it if the connection breaks within a chunk after the first.
 */
export async function restarting<T>(write: () => Promise<T>): Promise<T> {
  for (let count = 0; ; count++) {
    try {
      return await write();
    } catch (error) {
      const isLost = isOcicryptError(error, "REGISTRY_UPLOAD_LOST");
      if (!isLost || count === MAX_RESTARTS) throw error;
    }
  }
}

/**
 * The operation on a blob. With `reuse`, a layer is first compared with earlier ones. When files are
 * read, a plain layer is verified, and every layer is unpacked.
 */
export type BlobAction = "encrypt" | "decrypt" | "copy" | "compare" | "verify" | "unpack";

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
 * @param more the bytes that are read in addition to the blobs. Default: 0
 * @param blobs the blobs that are read. Default: the distinct blobs of the image
 */
export function progressMeter(
  tree: ImageTree,
  report: ((progress: ImageProgress) => void) | undefined,
  more = 0,
  blobs: readonly { size: number }[] = blobsOf(tree),
): ProgressMeter {
  const numbers = layerNumbers(tree);
  const size = blobs.reduce((sum, blob) => sum + blob.size, more);
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

function layerNumbers({ manifests }: ImageTree): Map<string, number> {
  const numbers = new Map<string, number>();
  for (const { document } of manifests) {
    for (const [index, { descriptor }] of document.layers.entries()) {
      if (!numbers.has(descriptor.digest)) numbers.set(descriptor.digest, index);
    }
  }
  return numbers;
}
