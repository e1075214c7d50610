import { fromUtf8, toHex } from "#engine/bytes";
import { createHash, isEqual } from "#engine/hash";
import type { ForkableHash } from "../../engine/types.js";
import { OcicryptError } from "../../errors.js";
import type { ImageConfig } from "../manifests/image-config.js";
import { formatPlatform, nameOfLayer, type SelectedLayer } from "../manifests/select-layers.js";
import type { ManifestNode } from "../manifests/tree.js";

/*
 * Without a binding, anyone who can write a manifest can combine another person's encrypted layer
 * with their own config, and the holder of the key decrypts and runs it. The private options of a
 * bound layer contain one hash for each place of the layer when its key was wrapped.
 *
 * The format, described in docs/format.md, is a version byte and one or more SHA-256 hashes in
 * ascending order.
 */

const VERSION = 1;
const HASH_SIZE = 32;

/** The most places in one binding, which then takes 8 KiB for each recipient. */
export const MAX_PLACES = 256;

/** Whether a layer is bound to this image; `none` if its wrapped key contains no binding. */
export type BindingState = "bound" | "none" | "mismatch";

/** The hash state that all positions in a manifest share, up to the layer's index. */
export type ImageHashes = ReadonlyMap<ManifestNode, ForkableHash>;

/**
 * Hashes a config as the image will have it after the operation.
 *
 * @param digest the digest of the config
 * @returns `undefined` if the config does not have one diffID for each layer, so that it does not
 *   say which layers belong together
 */
export function hashConfig(
  { diffIds = [], platform }: ImageConfig,
  digest: string,
  layers: number,
): ForkableHash | undefined {
  if (diffIds.length === 0 || diffIds.length !== layers) return undefined;
  const lines = ["image-binding 1", digest, String(diffIds.length), ...diffIds];
  lines.push(platform === undefined ? "" : formatPlatform(platform));
  return createHash("sha256").update(fromUtf8(`${lines.join("\n")}\n`));
}

/** Returns the hash of a layer's place in its image. */
export function layerHash(
  { manifest, index }: SelectedLayer,
  hashes: ImageHashes,
): Uint8Array | undefined {
  const hash = hashes.get(manifest)?.copy();
  return hash?.update(fromUtf8(String(index))).digest();
}

/**
 * Returns the binding for a layer that may be in several places.
 *
 * @returns `undefined` if a place cannot be bound, or if there are more than {@link MAX_PLACES}
 */
export function bindingOf(
  layers: readonly SelectedLayer[],
  hashes: ImageHashes,
): Uint8Array | undefined {
  const places = new Map<string, Uint8Array>();
  for (const layer of layers) {
    const hash = layerHash(layer, hashes);
    if (hash === undefined) return undefined;
    places.set(toHex(hash), hash);
    if (places.size > MAX_PLACES) return undefined;
  }
  const binding = new Uint8Array(1 + places.size * HASH_SIZE);
  binding[0] = VERSION;
  // In the order of their bytes, which is also that of their digits.
  for (const [i, digits] of [...places.keys()].sort().entries()) {
    binding.set(places.get(digits) ?? [], 1 + i * HASH_SIZE);
  }
  return binding;
}

/** Warns about layers in more places than a binding can have. */
export function findUnbound(layers: readonly SelectedLayer[]): string[] {
  const counts = new Map<string, number>();
  for (const { descriptor } of layers) {
    counts.set(descriptor.digest, (counts.get(descriptor.digest) ?? 0) + 1);
  }
  return [...counts]
    .filter(([, count]) => count > MAX_PLACES)
    .map(
      ([digest, count]) =>
        `the layer ${digest} is not bound to its ${String(count)} places: a layer can be bound to at most ${String(MAX_PLACES)}`,
    );
}

/**
 * Compares a layer's binding with its place in this image.
 *
 * @throws {@link OcicryptError} `PRIVATE_OPTIONS_INVALID` for a binding of another version or
 *   length
 */
export function compareBinding(
  binding: Uint8Array | undefined,
  hash: Uint8Array | undefined,
): BindingState {
  if (binding === undefined) return "none";
  const length = binding.byteLength - 1;
  if (binding[0] !== VERSION) throw invalid("does not have version 1");
  if (length === 0 || length % HASH_SIZE !== 0 || length > MAX_PLACES * HASH_SIZE) {
    throw invalid(`has ${String(length)} bytes of hashes`);
  }
  if (hash === undefined) return "mismatch";
  for (let start = 1; start < binding.byteLength; start += HASH_SIZE) {
    if (isEqual(hash, binding.subarray(start, start + HASH_SIZE))) return "bound";
  }
  return "mismatch";
}

/**
 * Rejects a layer that belongs to another image.
 *
 * @param required whether to reject a layer without a binding too
 * @throws {@link OcicryptError} `BINDING_MISMATCH`, `PRIVATE_OPTIONS_INVALID`; `POLICY_VIOLATION`
 *   for a layer that is not bound but must be
 */
export function requireBinding(
  layer: SelectedLayer,
  binding: Uint8Array | undefined,
  { hashes, required = false }: { hashes: ImageHashes; required?: boolean | undefined },
): BindingState {
  const state = compareBinding(binding, layerHash(layer, hashes));
  if (state === "mismatch") {
    const message = `${nameOfLayer(layer)} was encrypted for another image, or the image's config or the layer's position has changed`;
    throw new OcicryptError("BINDING_MISMATCH", message);
  }
  if (state === "none" && required) {
    throw new OcicryptError("POLICY_VIOLATION", `${nameOfLayer(layer)} is not bound to its image`);
  }
  return state;
}

function invalid(what: string): OcicryptError {
  return new OcicryptError("PRIVATE_OPTIONS_INVALID", `the binding of the layer ${what}`);
}
