import { isOcicryptError } from "../errors.js";
import type { Recipient } from "../keywrap/types.js";
import type { RecipientReport } from "../layer/explain.js";
import { isExactlyFor, namesOf } from "../layer/recipient-changes.js";
import { distinctRecipients } from "../layer/wrap.js";
import {
  type Descriptor,
  DOCKER_REFERENCE_DIGEST,
  isEncryptedDescriptor,
} from "../spec/descriptor.js";
import { encryptedMediaType } from "../spec/media-types.js";
import type { ImageSource } from "../store/types.js";
import type { EncryptImageOptions } from "./encrypt.js";
import { planEncryption } from "./encryption-plan.js";
import type { ImageHashes } from "./features/binding.js";
import { readExpectations } from "./features/expected-config.js";
import {
  selectEncrypted,
  selectLayers,
  type SelectedLayer,
  type LayerSelection,
} from "./manifests/select-layers.js";
import { readImage, type ImageNode, type ManifestNode, type ImageTree } from "./manifests/tree.js";
import type { RotateImageOptions } from "./rotate.js";

export interface FindImageOptions extends LayerSelection {
  recipients: readonly Recipient[];
  signal?: AbortSignal | undefined;
}

/**
 * Returns an image whose selected layers are encrypted for exactly these recipients, so that they
 * need not be replaced. This reads no blob, and needs no key.
 *
 * @returns `undefined` if the image does not exist or has other recipients, or if the wrapped key
 *   of a recipient would not name its key, as with key providers and the `kid` `none`
 * @throws {@link OcicryptError} `NO_RECIPIENTS`, `NOTHING_SELECTED`, and those of the source
 */
export async function findImageFor(
  image: ImageSource,
  { recipients, ...options }: FindImageOptions,
): Promise<Descriptor | undefined> {
  const names = await namesOf(distinctRecipients(recipients), options.signal);
  if (names === undefined) return undefined;
  const tree = await readIfThere(image, options);
  if (tree === undefined) return undefined;
  const selected = selectLayers(tree.manifests, options);
  return (await areFor(selected, names)) ? tree.root.descriptor : undefined;
}

/**
 * Returns the current image of a destination if it is already the result of `encryptImage` for this
 * source and these options. It must have the configs of the source, and layers of the same number,
 * types and sizes; the configs must have the layers' diffIDs. The current image may be the source
 * itself. No layer is read, and no key is needed.
 *
 * @returns `undefined` in all other cases, and as {@link findImageFor}
 * @throws {@link OcicryptError} as `encryptImage` before it writes
 */
export async function findEncrypted(
  source: ImageSource,
  current: ImageSource,
  options: EncryptImageOptions,
): Promise<Descriptor | undefined> {
  const names = await namesOf(distinctRecipients(options.recipients), options.signal);
  if (names === undefined) return undefined;
  const there = await readIfThere(current, options);
  if (there === undefined || !hasEncrypted(there)) return undefined;
  const tree = isSamePlace(source, current) ? there : await readImage(source, options);
  const { selected, configs, bound } = await planEncryption(source, tree, options);
  if (tree === there) {
    const isDone = configs.redacted.length === 0 && (await areFor(selected, names));
    return isDone ? there.root.descriptor : undefined;
  }
  const layers = pairLayers(tree, there, {
    selected,
    hashes: bound,
    configs: new Map(configs.redacted.map(({ manifest, after }) => [manifest, after.digest])),
    isSame: (before, after) =>
      !isEncryptedDescriptor(before) &&
      after.size === before.size &&
      after.mediaType === encryptedMediaType(before.mediaType),
  });
  return layers !== undefined && (await areFor(layers, names)) ? there.root.descriptor : undefined;
}

/**
 * Returns the current image of a destination if it is already the result of `rotateImage` for this
 * source and these recipients. The rules of {@link findEncrypted} apply, and each selected layer
 * must differ. Nothing in an image tells that it was rotated in place: the result is then `undefined`.
 *
 * @throws {@link OcicryptError} as `rotateImage` before it writes
 */
export async function findRotated(
  source: ImageSource,
  current: ImageSource,
  options: RotateImageOptions,
): Promise<Descriptor | undefined> {
  if (isSamePlace(source, current)) return undefined;
  const { signal } = options;
  const names = await namesOf(distinctRecipients(options.recipients), signal);
  if (names === undefined) return undefined;
  const there = await readIfThere(current, options);
  if (there === undefined || !hasEncrypted(there)) return undefined;
  const tree = await readImage(source, options);
  const selected = selectEncrypted(tree, options);
  const { hashes } = await readExpectations(source, selected, { allowUnverified: true, signal });
  const layers = pairLayers(tree, there, {
    ...{ selected, hashes, configs: new Map() },
    isSame: (before, after) =>
      after.size === before.size &&
      after.mediaType === before.mediaType &&
      after.digest !== before.digest,
  });
  return layers !== undefined && (await areFor(layers, names)) ? there.root.descriptor : undefined;
}

async function readIfThere(
  image: ImageSource,
  options: Pick<FindImageOptions, "platforms" | "signal">,
): Promise<ImageTree | undefined> {
  try {
    return await readImage(image, options);
  } catch (error) {
    // A destination need not exist.
    if (isOcicryptError(error, "IMAGE_NOT_FOUND")) return undefined;
    throw error;
  }
}

function isSamePlace({ place: a }: ImageSource, { place: b }: ImageSource): boolean {
  return a !== undefined && a.store === b?.store && a.name === b.name;
}

function hasEncrypted({ manifests }: ImageTree): boolean {
  return manifests.some(({ document }) =>
    document.layers.some(({ descriptor }) => isEncryptedDescriptor(descriptor)),
  );
}

async function areFor(
  layers: readonly Pick<SelectedLayer, "descriptor">[],
  names: readonly RecipientReport[],
): Promise<boolean> {
  for (const { descriptor } of layers) {
    if (!isEncryptedDescriptor(descriptor)) return false;
    if (!(await isExactlyFor(descriptor, names))) return false;
  }
  return layers.length > 0;
}

interface Comparison {
  selected: readonly SelectedLayer[];
  /** Of the manifests whose configs have the layers' diffIDs: only these tell the content of a layer. */
  hashes: ImageHashes;
  /** The digests of configs that change. */
  configs: ReadonlyMap<ManifestNode, string>;
  /** Whether a selected layer can have become another one. */
  isSame: (before: Descriptor, after: Descriptor) => boolean;
}

/**
 * The layers that the selected ones have become.
 *
 * @returns `undefined` if anything else differs
 */
function pairLayers(
  before: ImageTree,
  after: ImageTree,
  { selected, hashes, configs, isSame }: Comparison,
): { descriptor: Descriptor }[] | undefined {
  const layers: { descriptor: Descriptor }[] = [];

  function compareLayers(old: ManifestNode, now: ManifestNode): boolean {
    const own = new Set(
      selected.filter(({ manifest }) => manifest === old).map((one) => one.index),
    );
    if (own.size > 0 && !hashes.has(old)) return false;
    if (old.document.layers.length !== now.document.layers.length) return false;
    return old.document.layers.every(({ descriptor }, index) => {
      const other = now.document.layers[index];
      if (other === undefined) return false;
      if (!own.has(index)) return descriptor.digest === other.descriptor.digest;
      layers.push(other);
      return isEncryptedDescriptor(other.descriptor) && isSame(descriptor, other.descriptor);
    });
  }

  function compare(old: ImageNode, now: ImageNode): boolean {
    if (old.descriptor.digest === now.descriptor.digest) {
      return old.kind !== "manifest" || selected.every(({ manifest }) => manifest !== old);
    }
    if (old.kind === "manifest" && now.kind === "manifest") {
      const config = configs.get(old) ?? old.document.config.digest;
      const isAlike = config === now.document.config.digest && frame(old) === frame(now);
      return !old.isAttestation && isAlike && compareLayers(old, now);
    }
    if (old.kind !== "index" || now.kind !== "index" || frame(old) !== frame(now)) return false;
    return old.children.every((child, i) => {
      const other = now.children[i];
      return other !== undefined && compare(child, other);
    });
  }

  return compare(before.root, after.root) ? layers : undefined;
}

/** A manifest or index without the parts that encryption changes. */
function frame({ document: { text } }: Extract<ImageNode, { kind: "manifest" | "index" }>): string {
  const changing = ["layers", "config", "mediaType", "manifests"];
  const document = JSON.parse(text) as Record<string, unknown>;
  const rest = Object.entries(document).filter(([name]) => !changing.includes(name));
  const entries = Array.isArray(document.manifests) ? document.manifests : [];
  const named = entries.map(({ platform, annotations }: Record<string, unknown>) => {
    // An attestation names the new digest of its manifest.
    const own = Object.entries(annotations ?? {}).filter(
      ([name]) => name !== DOCKER_REFERENCE_DIGEST,
    );
    return [platform, own];
  });
  return JSON.stringify([rest, named]);
}
