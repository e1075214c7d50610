import { fromBase64, toHex, toLatin1 } from "#engine/bytes";
import { createHash } from "#engine/hash";
import { isOcicryptError, OcicryptError, shown } from "../../errors.js";
import type { Descriptor } from "../../spec/descriptor.js";
import { isEncryptedMediaType, layerCompression } from "../../spec/media-types.js";
import type { LocatedDescriptor } from "../../spec/manifest.js";
import type { ImageDestination } from "../../store/types.js";
import { nameOfLayer, type SelectedLayer } from "../manifests/select-layers.js";
import type { ImageNode, ManifestNode, ImageTree } from "../manifests/tree.js";

/**
 * The empty JSON object, which artifacts use as a config and as a layer
 * (https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidance-for-an-empty-descriptor).
 */
const EMPTY_JSON = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/**
 * Adds the other layers of the image with the blobs of selected layers, in other platforms too: the
 * blob would otherwise stay plain there.
 *
 * @param selected the layers that were selected
 * @returns all layers to encrypt, in the order of the image, and a warning for each added layer
 */
export function withOtherPlaces(
  manifests: readonly ManifestNode[],
  selected: readonly SelectedLayer[],
): { layers: SelectedLayer[]; warnings: string[] } {
  const nodes = new Set(selected.map(({ node }) => node));
  const digests = digestsOf(selected);
  const layers = manifests.flatMap((manifest) =>
    manifest.document.layers
      .map((layer, index) => ({ ...layer, manifest, index }))
      .filter(({ node, descriptor }) => nodes.has(node) || digests.has(descriptor.digest)),
  );
  const added = layers.filter(({ node }) => !nodes.has(node));
  const warnings = added.map((layer) => `${nameOfLayer(layer)} has the blob of a selected layer, ${layer.descriptor.digest}, and is encrypted too`); // prettier-ignore
  return { layers, warnings };
}

function digestsOf(selected: readonly LocatedDescriptor[]): Set<string> {
  const digests = new Set(selected.map(({ descriptor }) => descriptor.digest));
  digests.delete(EMPTY_JSON);
  return digests;
}

/**
 * Rejects an image that would still contain a selected layer in plain: as a blob that an index
 * lists, in an attestation, as a config, as a subject, as a manifest of any type or in a manifest of
 * an unknown type, or inside a descriptor.
 *
 * @param what the name of the image in messages
 * @throws {@link OcicryptError} `MANIFEST_UNSUPPORTED`
 */
export function requireNoPlainCopy(
  tree: ImageTree,
  selected: readonly LocatedDescriptor[],
  what = "the image",
): void {
  const digests = digestsOf(selected);
  const changed = new Set(selected.map(({ node }) => node));
  const others = [...tree.blobEntries, ...tree.unknown, ...tree.missing];
  const kept = [
    ...others.map(({ descriptor }) => descriptor),
    ...tree.documents.flatMap((node) => {
      if (node.kind === "index") return [node.descriptor];
      const { config, layers, subject } = node.document;
      const plain = layers.filter((layer) => !changed.has(layer.node));
      return [node.descriptor, config, ...(subject ? [subject] : []), ...plain.map(({ descriptor }) => descriptor)]; // prettier-ignore
    }),
  ];
  const copy = kept.find((each) => digests.has(each.digest) || holds(each, digests));
  if (copy !== undefined) throw staysPlain(what, shown(copy.mediaType));
  for (const { bytes, descriptor } of tree.unknown) {
    // Its members are unknown here, but other tools copy the blobs that it names.
    const text = toLatin1(bytes ?? new Uint8Array());
    const isNamed = (text.match(DIGESTS) ?? []).some((digest) => digests.has(digest));
    if (isNamed) throw staysPlain(what, `part of ${shown(descriptor.mediaType)}`);
  }
}

const DIGESTS = /sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}/g;

function staysPlain(what: string, where: string): OcicryptError {
  return new OcicryptError(
    "MANIFEST_UNSUPPORTED",
    `a selected layer is also in ${what} as ${where}, and would stay plain there`,
  );
}

/** Whether a descriptor contains one of these blobs, whatever its digest says. */
function holds({ data }: Descriptor, digests: ReadonlySet<string>): boolean {
  if (typeof data !== "string") return false;
  const bytes = fromBase64(data);
  return (["sha256", "sha512"] as const).some((algorithm) =>
    digests.has(`${algorithm}:${toHex(createHash(algorithm).update(bytes).digest())}`),
  );
}

/** Warns about entries and attestations that look like layers and stay plain. */
export function findPlainLeft(tree: ImageTree): string[] {
  const images = new Set<ImageNode>(tree.manifests);
  const entries = tree.blobEntries.map(({ descriptor }) => descriptor);
  const others = tree.documents.flatMap((node) =>
    node.kind === "index" || images.has(node)
      ? []
      : node.document.layers.map(({ descriptor }) => descriptor).filter(isLayer),
  );
  const plain = [...entries, ...others].filter(({ mediaType }) => !isEncryptedMediaType(mediaType));
  return [...new Map(plain.map((each) => [each.digest, each])).values()].map(
    ({ digest, mediaType }) => `${digest} of type ${shown(mediaType)} is not a layer of an image, and stays plain`, // prettier-ignore
  );
}

function isLayer({ mediaType }: Descriptor): boolean {
  return layerCompression(mediaType) !== undefined;
}

/** The annotations with which lazy pullers find the table of contents of the plain blob. */
const LAZY_PULL =
  /^(?:containerd\.io\/snapshot\/stargz\/|io\.containers\.estargz\.|io\.github\.containers\.zstd-chunked\.)/;

/**
 * Warns about descriptors that decryption will not restore, and about annotations that no longer
 * match the blob.
 */
export function findDescriptorLoss(tree: ImageTree, selected: readonly SelectedLayer[]): string[] {
  const changed = new Set<ImageNode>(selected.map(({ manifest }) => manifest));
  const entries = tree.documents.filter(
    (node) => node !== tree.root && (node.kind === "index" || changed.has(node)),
  );
  const lost = [
    ...selected.map((layer) => [layer.descriptor, nameOfLayer(layer)] as const),
    ...entries.map(
      ({ descriptor }) => [descriptor, `the index entry ${descriptor.digest}`] as const,
    ),
  ].flatMap(([descriptor, name]) => {
    const gone = ["data", "urls"].filter((member) => Object.hasOwn(descriptor, member));
    if (gone.length === 0) return [];
    return [`${name} loses ${gone.join(" and ")}: decryption restores the content, but not the manifest's digest`]; // prettier-ignore
  });
  const lazy = selected.filter(({ descriptor: { annotations = {} } }) =>
    Object.keys(annotations).some((name) => LAZY_PULL.test(name)),
  );
  const stay = lazy.map((layer) => `${nameOfLayer(layer)} keeps annotations for lazy pulling, which describe only the plain blob`); // prettier-ignore
  return [...lost, ...stay];
}

/** The wording of warnings about former blobs of changed layers that still exist. */
export interface CopyWords {
  /**
   * Warns about a blob that the image also has in another place, which did not change. Absent for
   * encryption, which changes all places.
   */
  twin?: (digest: string) => string;
  /** Warns about blobs that the destination still holds, such as `2 layers`. */
  left: (layers: string) => string;
  /** The former state of the layers. */
  kind: string;
}

/** The words for layers that were plain before encryption. */
export const PLAIN_COPIES: CopyWords = {
  kind: "plain layer",
  left: (layers) =>
    `the destination still holds the blobs of ${layers}; to avoid this, encrypt into a new place`,
};

/** Warns about former blobs of changed layers that still exist. */
export async function findCopies(
  changed: readonly SelectedLayer[],
  manifests: readonly ManifestNode[],
  destination: ImageDestination,
  { twin, left, kind }: CopyWords,
): Promise<string[]> {
  const nodes = new Set(changed.map(({ node }) => node));
  const former = new Map(changed.map(({ descriptor }) => [descriptor.digest, descriptor]));
  const twins = manifests
    .flatMap(({ document }) => document.layers)
    .filter(({ node, descriptor }) => !nodes.has(node) && former.has(descriptor.digest))
    .map(({ descriptor }) => descriptor.digest);
  const exposed = { yes: 0, no: 0, unknown: 0 };
  for (const descriptor of former.values()) exposed[await exposes(destination, descriptor)]++;
  const layers = (count: number): string =>
    count === 1 ? `1 ${kind}` : `${String(count)} ${kind}s`;
  return [
    ...(twin === undefined ? [] : [...new Set(twins)].map(twin)),
    ...(exposed.yes === 0 ? [] : [left(layers(exposed.yes))]),
    ...(exposed.unknown === 0 ? [] : [notKnown(`the former blobs of ${layers(exposed.unknown)}`)]),
  ];
}

/** Whether an unwanted blob can be read from a destination. */
export async function exposes(
  destination: ImageDestination,
  blob: Descriptor,
): Promise<"yes" | "no" | "unknown"> {
  try {
    const isExposed = await (destination.exposes?.(blob) ?? destination.contains(blob));
    return isExposed ? "yes" : "no";
  } catch (error) {
    // Everything is written by now, and the answer only decides about a warning, so it is no reason
    // to fail.
    if (isOcicryptError(error)) return "unknown";
    throw error;
  }
}

export function notKnown(what: string): string {
  return `could not find out whether the destination still holds ${what}`;
}
