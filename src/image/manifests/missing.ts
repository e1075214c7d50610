import pLimit from "p-limit";
import { isOcicryptError, OcicryptError } from "../../errors.js";
import type { Descriptor } from "../../spec/descriptor.js";
import type { ImageSource, StoreOptions } from "../../store/types.js";
import { formatPlatform, type LayerSelection, matches, SELECT_OTHERS } from "./select-layers.js";
import {
  readDocument,
  readImage,
  replaceEntries,
  type ImageNode,
  type ImageTree,
  type ManifestNode,
  type MissingNode,
} from "./tree.js";

/** The number of blobs that are looked up at once. */
const LOOKUPS = 8;

/**
 * Reads an image that an operation writes again. With selected platforms, the source need not hold
 * the blobs of other platforms: the manifest of such a platform counts as missing, because no reader
 * could use a copy of it.
 *
 * @throws {@link OcicryptError} as `readImage`
 */
export async function readSelected(
  source: ImageSource,
  options: LayerSelection & StoreOptions,
): Promise<ImageTree> {
  const tree = await readImage(source, options);
  const { platforms, signal } = options;
  if (platforms === undefined || source.contains === undefined) return tree;
  // An image outside an index has one platform, which only its config names.
  if (tree.root.kind !== "index") return tree;
  const limit = pLimit(LOOKUPS);
  const known = new Map<string, Promise<boolean>>();
  const contains = (blob: Descriptor): Promise<boolean> => {
    const name = `${blob.digest} ${String(blob.size)}`;
    const found = known.get(name) ?? limit(async () => source.contains?.(blob, { signal }) ?? true);
    known.set(name, found);
    return found;
  };
  const incomplete = new Map<ImageNode, MissingNode>();
  const others = [...tree.documents, ...tree.blobEntries].filter(
    ({ kind, descriptor: { platform } }) =>
      kind !== "index" && !platforms.some((wanted) => matches(platform, wanted)),
  );
  await Promise.all(
    others.map(async (node) => {
      const blobs = blobsIn(node);
      const held = await Promise.all(blobs.map(contains));
      const blob = blobs[held.indexOf(false)]?.digest;
      const { descriptor } = node;
      if (blob !== undefined) incomplete.set(node, { kind: "missing", descriptor, blob });
    }),
  );
  return incomplete.size === 0 ? tree : replaceEntries(tree, incomplete);
}

/** Whether a descriptor has URLs for its content, so that stores need not hold it. */
export function isForeign({ urls }: Descriptor): boolean {
  return Array.isArray(urls) && urls.length > 0;
}

/** The blobs that a copy of a node needs; those with a URL need not be stored. */
function blobsIn(node: ImageNode): Descriptor[] {
  if (node.kind === "other") return [node.descriptor];
  if (node.kind !== "manifest") return [];
  const { config, layers } = node.document;
  return [config, ...layers.map(({ descriptor }) => descriptor)].filter((blob) => !isForeign(blob));
}

/**
 * Warns about index entries that the destination does not get, because the source lacks their
 * manifest or one of its blobs.
 */
export function findMissing({ missing }: ImageTree): string[] {
  return missing.map(({ descriptor: { digest, platform }, blob }) => {
    const whose = platform === undefined ? "" : ` of ${formatPlatform(platform)}`;
    if (blob === undefined || blob === digest) {
      const what = blob === undefined ? "the manifest " : "";
      return `the index names ${what}${digest}${whose}, which the source does not hold`;
    }
    return `the index names ${digest}${whose}, which is not copied: the source does not hold its blob ${blob}`;
  });
}

/**
 * Adds the platforms that need a blob to the error that the source does not hold it. A blob with a URL
 * is not missed on any platform.
 */
export function explainMissing(
  error: unknown,
  { manifests }: Pick<ImageTree, "manifests">,
  missing: Descriptor,
): unknown {
  if (isForeign(missing) || !isOcicryptError(error, "BLOB_NOT_FOUND")) return error;
  const owners = manifests.filter(({ document: { config, layers } }) =>
    [config, ...layers.map(({ descriptor }) => descriptor)].some(
      ({ digest }) => digest === missing.digest,
    ),
  );
  const platforms = owners.flatMap(({ platform }) => platform ?? []);
  if (platforms.length === 0) return error;
  const names = [...new Set(platforms.map(formatPlatform))].join(", ");
  const message = `${error.message}, which ${names} needs; ${SELECT_OTHERS}`;
  return new OcicryptError("BLOB_NOT_FOUND", message, { cause: error });
}

/**
 * Reads the config of a manifest whole.
 *
 * @throws {@link OcicryptError} as `readDocument`
 */
export async function readConfig(
  source: ImageSource,
  manifest: ManifestNode,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const { config } = manifest.document;
  try {
    return await readDocument(source, config, signal);
  } catch (error) {
    throw explainMissing(error, { manifests: [manifest] }, config);
  }
}
