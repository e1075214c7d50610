import { HMAC_SIZE, generateSecret } from "../cipher/aes-ctr-hmac.js";
import { wipePrivateOptions } from "../cipher/private-options.js";
import { OcicryptError, isOcicryptError } from "../errors.js";
import type { Recipient } from "../keywrap/types.js";
import { describeEncrypted } from "../layer/encrypt.js";
import { wrapForAll } from "../layer/wrap.js";
import { foreignAnnotations, type Descriptor } from "../spec/descriptor.js";
import { MAX_MANIFEST_SIZE } from "../spec/limits.js";
import { encryptedMediaType, plainMediaType } from "../spec/media-types.js";
import { rebuildManifests, type ChangedParts } from "./rebuild.js";
import type { SelectedLayer } from "./select.js";
import type { ImageNode, ManifestNode } from "./tree.js";

/** In characters of base64; most are of one or two thousand. */
const LARGE_WRAPPED_KEY = 10_000;
const SOME_DIGEST = `sha256:${"0".repeat(64)}`;

/**
 * Refuses recipients whose wrapped keys make a manifest too large, before anything is written.
 *
 * @param all how many new recipients there are
 * @param layersWith the layers as they get with the first few of the new recipients
 * @throws {@link OcicryptError} `MANIFEST_TOO_LARGE`, with the number of recipients that there is
 *   room for
 */
export async function requireRoom(
  root: ImageNode,
  all: number,
  layersWith: (count: number) => ChangedParts,
): Promise<void> {
  if (await hasRoom(root, layersWith(all))) return;
  // The most that there is room for is from `most` on, and below `tooMany`.
  let most = 0;
  let tooMany = all;
  while (most + 1 < tooMany) {
    const middle = Math.floor((most + tooMany) / 2);
    if (await hasRoom(root, layersWith(middle))) most = middle;
    else tooMany = middle;
  }
  const limit = `${String(MAX_MANIFEST_SIZE)} bytes, the limit of registries`;
  const room = `there is room for ${String(most)} of the ${String(all)} recipients`;
  throw new OcicryptError(
    "MANIFEST_TOO_LARGE",
    `a manifest would be larger than ${limit}; ${room}`,
  );
}

/**
 * The same for layers that are to be encrypted, before the first byte of them is read. Only where
 * it could matter, a key that nothing is encrypted with is wrapped once for each recipient, as
 * that shows the size of the wrapped keys; it can be a request to a key service.
 *
 * @throws {@link OcicryptError} `MANIFEST_TOO_LARGE`, `ANNOTATION_TOO_LARGE`, `WRAP_FAILED`, and
 *   what recipients throw
 */
export async function requireRoomForKeys(
  root: ImageNode,
  selected: readonly SelectedLayer[],
  recipients: readonly Recipient[],
  signal: AbortSignal | undefined,
): Promise<void> {
  if (isSmall(selected, recipients.length)) return;
  const secret = { ...generateSecret(), digest: SOME_DIGEST };
  try {
    const wrapped = await wrapForAll(secret, recipients, signal);
    await requireRoom(root, recipients.length, (count) => {
      const some = wrapped.slice(0, count);
      return new Map(selected.map((layer) => [layer, describeAs(layer.descriptor, some)]));
    });
  } finally {
    wipePrivateOptions(secret);
  }
}

/** Whether the manifests have room for wrapped keys even if all of them are large. */
function isSmall(selected: readonly SelectedLayer[], recipients: number): boolean {
  const sizes = new Map<ManifestNode, number>();
  for (const { manifest } of selected) {
    const before = sizes.get(manifest) ?? manifest.descriptor.size;
    sizes.set(manifest, before + recipients * LARGE_WRAPPED_KEY);
  }
  return [...sizes.values()].every((size) => size <= MAX_MANIFEST_SIZE);
}

/** A descriptor of the size that the encrypted layer's will have. */
function describeAs(
  descriptor: Descriptor,
  wrapped: Parameters<typeof describeEncrypted>[1]["wrapped"],
): Descriptor {
  const plain = { ...descriptor, annotations: foreignAnnotations(descriptor) };
  const mediaType = encryptedMediaType(plainMediaType(descriptor.mediaType));
  const hmac = new Uint8Array(HMAC_SIZE);
  const { size } = descriptor;
  return describeEncrypted(plain, { mediaType, digest: SOME_DIGEST, size, wrapped, hmac });
}

async function hasRoom(root: ImageNode, layers: ChangedParts): Promise<boolean> {
  try {
    await rebuildManifests(root, layers, { writeManifest: () => Promise.resolve() });
    return true;
  } catch (error) {
    if (isOcicryptError(error, "MANIFEST_TOO_LARGE")) return false;
    throw error;
  }
}
