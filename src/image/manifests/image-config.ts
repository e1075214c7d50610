import { OcicryptError } from "../../errors.js";
import type { Descriptor, Platform } from "../../spec/descriptor.js";
import { parseConfig } from "../../spec/config.js";
import { MEDIA_TYPE_CONFIG, MEDIA_TYPE_DOCKER_CONFIG } from "../../spec/media-types.js";
import { asObject } from "../../text/json.js";

/** The members of an image config that decide how layers are treated. */
export interface ImageConfig {
  platform?: Platform;
  /**
   * The digests of the uncompressed layers, in order:
   * https://github.com/opencontainers/image-spec/blob/main/config.md#layer-diffid
   */
  diffIds?: readonly string[];
}

/** Whether a config is an image's config, and not an artifact's. */
export function isImageConfig({ mediaType }: Descriptor): boolean {
  return mediaType === MEDIA_TYPE_CONFIG || mediaType === MEDIA_TYPE_DOCKER_CONFIG;
}

/** @throws {@link OcicryptError} `MANIFEST_INVALID` for text that is not JSON, or malformed diffIDs */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const value = parseConfig(bytes);
  const platform = readPlatform(value);
  const diffIds = readDiffIds(value.rootfs);
  return { ...(platform && { platform }), ...(diffIds && { diffIds }) };
}

function readPlatform({ os, architecture, variant }: Readonly<Record<string, unknown>>) {
  if (typeof os !== "string" || typeof architecture !== "string") return undefined;
  const platform: Platform = { os, architecture };
  return typeof variant === "string" && variant !== "" ? { ...platform, variant } : platform;
}

function readDiffIds(rootfs: unknown): readonly string[] | undefined {
  const diffIds = asObject(rootfs)?.diff_ids;
  if (diffIds === undefined) return undefined;
  if (Array.isArray(diffIds) && diffIds.every(isDigest)) return diffIds;
  throw new OcicryptError("MANIFEST_INVALID", "the diffIDs of the image's config are malformed");
}

function isDigest(value: unknown): value is string {
  return typeof value === "string" && /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(value);
}
