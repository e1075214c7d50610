import type { Key } from "../keywrap/types.js";
import { explainKey, listRecipients, type RecipientReport } from "../layer/explain.js";
import { isEncryptedDescriptor, type Descriptor } from "../spec/descriptor.js";
import type { ImageSource } from "../store/types.js";
import { formatPlatform } from "./select.js";
import { imageManifests, readTree, type ManifestNode } from "./tree.js";

export interface InspectImageOptions {
  /** Each is tried on each encrypted layer. */
  keys?: readonly Key[] | undefined;
  signal?: AbortSignal | undefined;
}

export interface ImageReport {
  /** Digest of the manifest or index. */
  digest: string;
  mediaType: string;
  manifests: ManifestReport[];
}

export interface ManifestReport {
  /** `os/arch`, or `-` in an image without an index. */
  platform: string;
  digest: string;
  layers: LayerReport[];
}

export interface LayerReport {
  /** The layer's place in its manifest, from 0. */
  index: number;
  mediaType: string;
  digest: string;
  /** In bytes. */
  size: number;
  encrypted: boolean;
  recipients: RecipientReport[];
  /** One for each key given. */
  keys: LayerKeyReport[];
}

export interface LayerKeyReport {
  /** The key's label. */
  key: string;
  scheme: string;
  opens: boolean;
  /** The place of the wrapped key that it opens, in its scheme's list, from 0. */
  index?: number;
  /** Why it does not open the layer. */
  reasons: string[];
}

/**
 * Tells what an image's manifests say of its encryption. No blob is read, and no key is needed.
 *
 * @throws {@link OcicryptError} `IMAGE_NOT_FOUND`, `LAYOUT_INVALID`, `MANIFEST_INVALID`,
 *   `MANIFEST_TOO_LARGE`, `MANIFEST_UNSUPPORTED`, `BLOB_NOT_FOUND`, `BLOB_SIZE_MISMATCH`,
 *   `BLOB_DIGEST_MISMATCH`, `SOURCE_UNREADABLE`
 */
export async function inspectImage(
  source: ImageSource,
  { keys = [], signal }: InspectImageOptions = {},
): Promise<ImageReport> {
  const image = await source.resolve({ signal });
  const root = await readTree(source, image, signal);
  const manifests: ManifestReport[] = [];
  for (const node of imageManifests(root))
    manifests.push(await inspectManifest(node, keys, signal));
  return { digest: image.digest, mediaType: image.mediaType, manifests };
}

async function inspectManifest(
  { descriptor, document, platform }: ManifestNode,
  keys: readonly Key[],
  signal: AbortSignal | undefined,
): Promise<ManifestReport> {
  const layers: LayerReport[] = [];
  for (const [index, layer] of document.layers.entries()) {
    const { mediaType, digest, size } = layer.descriptor;
    const encrypted = isEncryptedDescriptor(layer.descriptor);
    layers.push({
      ...{ index, mediaType, digest, size, encrypted },
      recipients: await listRecipients(layer.descriptor),
      keys: encrypted ? await tryKeys(layer.descriptor, keys, signal) : [],
    });
  }
  return { platform: formatPlatform(platform), digest: descriptor.digest, layers };
}

async function tryKeys(
  descriptor: Descriptor,
  keys: readonly Key[],
  signal: AbortSignal | undefined,
): Promise<LayerKeyReport[]> {
  const reports: LayerKeyReport[] = [];
  for (const [i, key] of keys.entries()) {
    const { opens, index, reasons } = await explainKey(descriptor, key, signal);
    const label = key.label ?? `key ${String(i + 1)}`;
    reports.push({
      ...{ key: label, scheme: key.scheme, opens, reasons },
      ...(index !== undefined && { index }),
    });
  }
  return reports;
}
