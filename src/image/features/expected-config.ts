import { toUtf8 } from "#engine/bytes";
import type { ForkableHash } from "../../engine/types.js";
import { isOcicryptError, OcicryptError } from "../../errors.js";
import type { ImageSource } from "../../store/types.js";
import { isImageConfig, parseImageConfig, type ImageConfig } from "../manifests/image-config.js";
import { readConfig } from "../manifests/missing.js";
import type { SelectedLayer } from "../manifests/select-layers.js";
import type { ManifestNode } from "../manifests/tree.js";
import { hashConfig, type ImageHashes } from "./binding.js";

/** The properties that the configs state about the decrypted layers. */
export interface Expectations {
  /** The hashes for the binding of layers. */
  hashes: ImageHashes;
  /** The diffIDs to check, of every layer whose config has one diffID for each layer. */
  diffIds: ReadonlyMap<SelectedLayer, string>;
  /** The reasons why the layers of a manifest cannot be checked; only with `allowUnverified`. */
  problems: ReadonlyMap<ManifestNode, string>;
}

/**
 * Reads the configs of the layers to decrypt. Configs are recognised by their content and not by
 * their media type, which the manifest's author chose.
 *
 * @throws {@link OcicryptError} unless `allowUnverified`: `DIFF_ID_MISMATCH` if there is not one
 *   diffID for each layer, `MANIFEST_INVALID`, `MANIFEST_TOO_LARGE`; and those of reading
 */
export async function readExpectations(
  source: ImageSource,
  selected: readonly SelectedLayer[],
  { allowUnverified, signal }: { allowUnverified: boolean; signal?: AbortSignal | undefined },
): Promise<Expectations> {
  const configs = new Map<ManifestNode, ImageConfig>();
  const hashes = new Map<ManifestNode, ForkableHash>();
  const diffIds = new Map<SelectedLayer, string>();
  const problems = new Map<ManifestNode, string>();
  for (const manifest of new Set(selected.map((layer) => layer.manifest))) {
    try {
      const config = await parsedConfig(source, manifest, signal);
      requireDiffIdForEach(manifest, config);
      configs.set(manifest, config);
      const { document } = manifest;
      const hash = hashConfig(config, document.config.digest, document.layers.length);
      if (hash !== undefined) hashes.set(manifest, hash);
    } catch (error) {
      if (!allowUnverified || !isProblem(error)) throw error;
      problems.set(manifest, error.message);
    }
  }
  for (const layer of selected) {
    const diffId = configs.get(layer.manifest)?.diffIds?.[layer.index];
    if (diffId !== undefined) diffIds.set(layer, diffId);
  }
  return { hashes, diffIds, problems };
}

async function parsedConfig(
  source: ImageSource,
  manifest: ManifestNode,
  signal: AbortSignal | undefined,
): Promise<ImageConfig> {
  const { config } = manifest.document;
  const bytes = await readConfig(source, manifest, signal);
  if (isImageConfig(config) || isJsonObject(bytes)) return parseImageConfig(bytes);
  return {};
}

function isJsonObject(bytes: Uint8Array): boolean {
  try {
    const value: unknown = JSON.parse(toUtf8(bytes));
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/**
 * Rejects a config that has diffIDs, but not one for each layer.
 *
 * @throws {@link OcicryptError} `DIFF_ID_MISMATCH`
 */
export function requireDiffIdForEach(
  { document: { layers } }: ManifestNode,
  { diffIds }: ImageConfig,
): void {
  if (diffIds === undefined || diffIds.length === layers.length) return;
  const counts = `${String(diffIds.length)} diffIDs for ${String(layers.length)} layers`;
  throw new OcicryptError("DIFF_ID_MISMATCH", `the image's config has ${counts}`);
}

function isProblem(error: unknown): error is OcicryptError {
  return (
    isOcicryptError(error, "DIFF_ID_MISMATCH") ||
    isOcicryptError(error, "MANIFEST_INVALID") ||
    isOcicryptError(error, "MANIFEST_TOO_LARGE")
  );
}

/** The consequence of a wrong config, for warnings during encryption. */
export const REFUSED_LATER = "decryption will reject it unless unverified layers are allowed";

/**
 * Warns about configs that do not describe their layers, while the sender can still correct them.
 *
 * @param configs the configs that can be read
 */
export function findWrongDiffIds(
  manifests: readonly ManifestNode[],
  configs: ReadonlyMap<ManifestNode, ImageConfig>,
): string[] {
  return manifests.flatMap((manifest) => {
    const { config } = manifest.document;
    if (!isImageConfig(config)) return [];
    const read = configs.get(manifest);
    if (read === undefined) {
      return [`the config ${config.digest} has no readable diffIDs; ${REFUSED_LATER}`];
    }
    try {
      requireDiffIdForEach(manifest, read);
      return [];
    } catch (error) {
      if (!isProblem(error)) throw error;
      return [`${error.message}; ${REFUSED_LATER}`];
    }
  });
}

/** The most bytes of compressed layers that are decompressed for a warning. */
const MAX_DECOMPRESSED = 64 * 1024 * 1024;

/**
 * Returns the diffIDs to compare plain layers with, if the config has one for each layer. A builder
 * that writes wrong diffIDs writes all of them wrong, so it is enough to decompress the smallest
 * layers; decompressing all layers would take longer than the encryption.
 */
export function plainDiffIds(
  selected: readonly SelectedLayer[],
  configs: ReadonlyMap<ManifestNode, ImageConfig>,
): ReadonlyMap<SelectedLayer, string> {
  const found = new Map<SelectedLayer, string>();
  let budget = MAX_DECOMPRESSED;
  for (const layer of selected.toSorted((a, b) => a.descriptor.size - b.descriptor.size)) {
    const { diffIds } = configs.get(layer.manifest) ?? {};
    const diffId = diffIds?.[layer.index];
    if (diffId === undefined) continue;
    if (diffIds?.length !== layer.manifest.document.layers.length) continue;
    const { mediaType, size } = layer.descriptor;
    if (/[.+](?:gzip|zstd)$/.test(mediaType)) {
      if (size > budget) continue;
      budget -= size;
    }
    found.set(layer, diffId);
  }
  return found;
}
