import { nextTurn } from "#engine/turn";
import { HMAC_SIZE, generateSecret } from "../cipher/aes-ctr-hmac.js";
import { wipePrivateOptions } from "../cipher/options.js";
import { isOcicryptError } from "../errors.js";
import { isBuiltIn } from "../keywrap/schemes.js";
import type { Recipient } from "../keywrap/types.js";
import { describeEncrypted } from "../layer/encrypt.js";
import { wrapForAll, type WrappedElement } from "../layer/wrap.js";
import { isEncryptedDescriptor, type Descriptor } from "../spec/descriptor.js";
import { MAX_ANNOTATION_LENGTH, MAX_MANIFEST_SIZE } from "../spec/limits.js";
import { encryptedMediaType, plainMediaType } from "../spec/media-types.js";
import { bindingOf, type ImageHashes } from "./features/binding.js";
import { changesOf, type OtherChanges } from "./features/docker-format.js";
import { mergeLayer } from "./operation.js";
import { rewriteManifests, type Changes } from "./manifests/rewrite.js";
import type { SelectedLayer } from "./manifests/select-layers.js";
import { tooLarge, type ManifestNode, type ImageTree } from "./manifests/tree.js";

/** In characters of base64; most wrapped keys have one or two thousand. */
const LARGE_WRAPPED_KEY = 10_000;
/** This many wrapped keys fit into a manifest even if their size is unknown. */
const FEW_UNKNOWN = 16;
const SOME_DIGEST = `sha256:${"0".repeat(64)}`;

/** The layers that will get new keys, and the other changes of their manifests. */
export interface NewKeys extends OtherChanges {
  tree: ImageTree;
  /** The layers, which are plain, or whose digests before encryption are not yet known. */
  selected: readonly SelectedLayer[];
  recipients: readonly Recipient[];
  /** The hashes for the binding, if the layers will be bound to their image. */
  bound?: ImageHashes | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Rejects recipients whose wrapped keys would make a manifest too large, before anything is
 * written.
 *
 * @param all the number of new recipients
 * @param changesWith returns the changes with the first few of the new recipients
 * @throws {@link OcicryptError} `MANIFEST_TOO_LARGE`, with the number of recipients that fit
 */
export async function requireRoom(
  tree: ImageTree,
  all: number,
  changesWith: (count: number) => Changes,
  signal?: AbortSignal,
): Promise<void> {
  const hasRoomFor = (count: number): Promise<boolean> => hasRoom(tree, changesWith(count), signal);
  if (await hasRoomFor(all)) return;
  // The largest number that fits is at least `most`, and less than `tooMany`.
  let most = 0;
  let tooMany = all;
  while (most + 1 < tooMany) {
    const middle = Math.floor((most + tooMany) / 2);
    if (await hasRoomFor(middle)) most = middle;
    else tooMany = middle;
  }
  const room = `there is room for ${String(most)} of the ${String(all)} recipients`;
  throw tooLarge("a manifest would be", `; ${room}`);
}

/**
 * The same check for layers that will be encrypted, before the first byte of them is read. If the
 * size could matter, a key that encrypts nothing is wrapped once for each recipient, to find out
 * the size of the wrapped keys. This may cause requests to a key service.
 *
 * @throws {@link OcicryptError} `MANIFEST_TOO_LARGE`, `ANNOTATION_TOO_LARGE`; and for plain layers
 *   `WRAP_FAILED`, and the errors of recipients
 */
export async function requireRoomForKeys(work: NewKeys): Promise<void> {
  const { tree, selected, recipients, signal } = work;
  if (isSmall(work)) return;
  const wrapped = await rehearse(work);
  if (wrapped === undefined) return;
  const changesWith = (count: number): Changes =>
    changesOf(tree, describeAll(selected, wrapped.slice(0, count)), work);
  await requireRoom(tree, recipients.length, changesWith, signal);
}

/** Whether the wrapped keys fit even if all of them are large. */
function isSmall(work: NewKeys): boolean {
  const { selected, recipients } = work;
  // The binding is base64 three times: in the private options, in the wrapped key and in the
  // annotation.
  const largest = LARGE_WRAPPED_KEY + 3 * (longestBinding(work)?.byteLength ?? 0);
  const lists = countBy(recipients, ({ scheme }) => scheme);
  const layers = countBy(selected, ({ manifest }) => manifest);
  const unknown = recipients.filter(({ scheme }) => !isBuiltIn(scheme)).length;
  const fits = ([{ descriptor }, count]: [ManifestNode, number]): boolean =>
    count * unknown <= FEW_UNKNOWN &&
    descriptor.size + count * recipients.length * largest <= MAX_MANIFEST_SIZE;
  return (
    [...lists.values()].every((count) => count * largest <= MAX_ANNOTATION_LENGTH) &&
    [...layers].every(fits)
  );
}

function countBy<T, K>(items: readonly T[], name: (item: T) => K): Map<K, number> {
  const counts = new Map<K, number>();
  for (const item of items) counts.set(name(item), (counts.get(name(item)) ?? 0) + 1);
  return counts;
}

/**
 * Wraps a key that encrypts nothing.
 *
 * @returns `undefined` if this fails for a reason that may not apply to the real keys
 */
async function rehearse(work: NewKeys): Promise<WrappedElement[] | undefined> {
  const { selected, recipients, signal } = work;
  const isPlain = !selected.some(({ descriptor }) => isEncryptedDescriptor(descriptor));
  const secret = {
    ...generateSecret(),
    digest: isPlain ? longestDigest(selected) : SOME_DIGEST,
    binding: longestBinding(work),
  };
  try {
    return await wrapForAll(secret, recipients, signal);
  } catch (error) {
    signal?.throwIfAborted();
    // A recipient that rejects a secret with a digest may accept the real secret, which has none.
    if (isPlain) throw error;
    return undefined;
  } finally {
    wipePrivateOptions(secret);
  }
}

/** Returns the longest binding of the layers. */
function longestBinding({ selected, bound }: NewKeys): Uint8Array | undefined {
  if (bound === undefined) return undefined;
  const byDigest = new Map<string, SelectedLayer[]>();
  for (const layer of selected) {
    const { digest } = layer.descriptor;
    const same = byDigest.get(digest);
    if (same === undefined) byDigest.set(digest, [layer]);
    else same.push(layer);
  }
  let longest: Uint8Array | undefined;
  for (const same of byDigest.values()) {
    const binding = bindingOf(same, bound);
    if ((binding?.byteLength ?? 0) > (longest?.byteLength ?? 0)) longest = binding;
  }
  return longest;
}

/** The recorded digest of a plain layer is its own digest. */
function longestDigest(selected: readonly SelectedLayer[]): string {
  return selected.reduce(
    (longest, { descriptor: { digest } }) => (digest.length > longest.length ? digest : longest),
    "",
  );
}

/** Returns descriptors of the same size as those of the encrypted layers. */
function describeAll(
  selected: readonly SelectedLayer[],
  wrapped: readonly WrappedElement[],
): Map<SelectedLayer, Descriptor> {
  const content = { mediaType: "", digest: SOME_DIGEST, size: 0 };
  const hmac = new Uint8Array(HMAC_SIZE);
  const shared = describeEncrypted({ mediaType: "" }, { ...content, wrapped, hmac });
  return new Map(
    selected.map((layer) => {
      const { descriptor } = layer;
      const mediaType = encryptedMediaType(plainMediaType(descriptor.mediaType));
      return [layer, mergeLayer(descriptor, { ...shared, mediaType, size: descriptor.size })];
    }),
  );
}

async function hasRoom(
  tree: ImageTree,
  changes: Changes,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  /** Yields to the event loop between manifests, which can be many and large. */
  async function pause(): Promise<void> {
    await nextTurn();
    signal?.throwIfAborted();
  }
  await pause();
  try {
    await rewriteManifests(tree, changes, { writeManifest: pause });
    return true;
  } catch (error) {
    if (isOcicryptError(error, "MANIFEST_TOO_LARGE")) return false;
    throw error;
  }
}
