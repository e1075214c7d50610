import type { Descriptor } from "../spec/descriptor.js";
import type { SelectedLayer } from "./manifests/select-layers.js";
import { formatPlatform } from "./manifests/select-layers.js";
import { blobsOf } from "./engine/copy-blobs.js";
import type { ImageNode } from "./manifests/tree.js";

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
