import { fromUtf8 } from "#engine/bytes";
import { OcicryptError } from "../../errors.js";
import { digestOf } from "../../spec/digest.js";
import { MEDIA_TYPE_INDEX } from "../../spec/media-types.js";
import { isEncryptedDescriptor, type Descriptor } from "../../spec/descriptor.js";
import type { LocatedDescriptor } from "../../spec/manifest.js";
import type { ImageDestination, ImageSource } from "../../store/types.js";
import { blobsOf, copyBlob, progressMeter } from "../engine/copy-blobs.js";
import { rewriteManifests } from "../manifests/rewrite.js";
import { readImage, type ImageTree } from "../manifests/tree.js";
import { requireNoPlainCopy } from "./plain-left.js";
import { TAGS } from "./stale-referrers.js";

export interface CopyReferrersOptions {
  signal?: AbortSignal | undefined;
}

/**
 * The names of what belongs to a digest: cosign's and ko's tags, and the list of referrers where a
 * registry has none of its own
 * (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema).
 */
const SUFFIXES = ["", ...TAGS];
/** Each takes several requests to a registry. */
const MAX_DIGESTS = 64;

/**
 * Copies the signatures, attestations and SBOMs of images to the place of another image: the
 * artifacts whose `subject` is one of the manifests, and the images that cosign names
 * `sha256-HEX.sig`, `.att` and `.sbom`. They still refer to the digests that they were made for.
 * Signatures of an image that was encrypted are valid again once it is decrypted.
 *
 * @param source the place of the artifacts
 * @param destination the place of an image that was written
 * @param images the images whose artifacts are copied, such as the image before and after
 *   encryption, with the image of the destination last
 * @returns the names and digests of what was copied
 * @throws {@link OcicryptError} `DESTINATION_UNWRITABLE` where nothing can be beside the image, as
 *   in an archive; `MANIFEST_UNSUPPORTED` for an artifact that contains a plain copy of a layer that is
 *   not plain in the last image; and those of source and destination as for `encryptImage`
 */
export async function copyReferrers(
  source: ImageSource,
  destination: ImageDestination,
  images: readonly ImageSource[],
  { signal }: CopyReferrersOptions = {},
): Promise<string[]> {
  if (source.place !== undefined && source.place.store === destination.place?.store) return [];
  if (destination.beside === undefined) {
    const message = "signatures can be kept beside images in registries and layouts only";
    throw new OcicryptError("DESTINATION_UNWRITABLE", message);
  }
  const trees: ImageTree[] = [];
  for (const image of images) trees.push(await readImage(image, { signal }));
  const documents = trees.flatMap((tree) => tree.documents);
  const digests = new Set(documents.map(({ descriptor }) => descriptor.digest));
  const secret = hiddenLayers(trees);
  const copied: string[] = [];
  for (const digest of [...digests].slice(0, MAX_DIGESTS)) {
    const name = digest.replace(":", "-");
    for (const suffix of SUFFIXES) {
      const found = await source.find?.(name + suffix, { signal });
      if (found === undefined) continue;
      const beside = await destination.beside(name + suffix);
      await copyImages(source, beside, [found], { isList: false, secret, signal });
      copied.push(name + suffix);
    }
    if (copied.includes(name)) continue;
    const referrers = (await source.referrers?.(digest, { signal })) ?? [];
    if (referrers.length === 0) continue;
    const beside = await destination.beside(name);
    await copyImages(source, beside, referrers, { isList: true, secret, signal });
    copied.push(...referrers.map((referrer) => referrer.digest));
  }
  return copied;
}

/** Returns the plain layers of images that the last one does not have in plain. */
function hiddenLayers(trees: readonly ImageTree[]): LocatedDescriptor[] {
  const shown = new Set(plainLayers(trees.slice(-1)).map(({ descriptor }) => descriptor.digest));
  return plainLayers(trees).filter(({ descriptor }) => !shown.has(descriptor.digest));
}

function plainLayers(trees: readonly ImageTree[]): LocatedDescriptor[] {
  return trees
    .flatMap(({ manifests }) => manifests.flatMap(({ document }) => document.layers))
    .filter(({ descriptor }) => !isEncryptedDescriptor(descriptor));
}

interface ReferrersCopy {
  /** Whether to write an index that lists the images. */
  isList: boolean;
  /** The layers whose plain content must not be copied. */
  secret: readonly LocatedDescriptor[];
  signal: AbortSignal | undefined;
}

/** Copies images, under an index that lists them if requested. */
async function copyImages(
  source: ImageSource,
  destination: ImageDestination,
  images: readonly Descriptor[],
  { isList, secret, signal }: ReferrersCopy,
): Promise<void> {
  try {
    let last: Descriptor | undefined;
    for (const image of images) {
      const tree = await readImage(
        { ...source, resolve: () => Promise.resolve(image) },
        { signal },
      );
      requireNoPlainCopy(tree, secret, `the artifact ${image.digest}`);
      const meter = progressMeter(tree, undefined);
      for (const blob of blobsOf(tree))
        await copyBlob(source, destination, blob, { tree, meter, signal });
      last = await rewriteManifests(tree, { parts: new Map() }, destination);
    }
    if (isList) last = await writeList(destination, images);
    if (last !== undefined) await destination.commit(last, { signal });
  } catch (error) {
    await destination.discard();
    throw error;
  }
}

async function writeList(
  destination: ImageDestination,
  manifests: readonly Descriptor[],
): Promise<Descriptor> {
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE_INDEX, manifests };
  const bytes = fromUtf8(JSON.stringify(index));
  const descriptor = {
    mediaType: MEDIA_TYPE_INDEX,
    digest: digestOf(bytes),
    size: bytes.byteLength,
  };
  await destination.writeManifest(bytes, descriptor);
  return descriptor;
}
