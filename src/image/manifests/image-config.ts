import { OcicryptError } from "../../errors.js";
import type { Descriptor, Platform } from "../../spec/descriptor.js";
import { MEDIA_TYPE_CONFIG, MEDIA_TYPE_DOCKER_CONFIG } from "../../spec/media-types.js";
import {
  ANY,
  asObject,
  type JsonObject,
  MAP,
  parseJson,
  requireObject,
  struct,
} from "../../text/json.js";
import { MAX_MANIFEST_SIZE } from "../../spec/limits.js";

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

/**
 * The members of a config that Go's readers know.
 * https://github.com/opencontainers/image-spec/blob/main/specs-go/v1/config.go
 */
const CONFIG = /* @__PURE__ */ struct({
  created: ANY,
  author: ANY,
  architecture: ANY,
  os: ANY,
  "os.version": ANY,
  "os.features": ANY,
  variant: ANY,
  config: struct({
    User: ANY,
    ExposedPorts: MAP,
    Env: ANY,
    Entrypoint: ANY,
    Cmd: ANY,
    Volumes: MAP,
    WorkingDir: ANY,
    Labels: MAP,
    StopSignal: ANY,
    ArgsEscaped: ANY,
  }),
  // Docker's copy of the config of the last build step.
  container_config: MAP,
  rootfs: struct({ type: ANY, diff_ids: ANY }),
  history: struct({
    created: ANY,
    created_by: ANY,
    author: ANY,
    comment: ANY,
    empty_layer: ANY,
  }),
});

/**
 * Reads the config of an image. It only checks that all readers understand the JSON in the same
 * way.
 *
 * @throws {@link OcicryptError} `MANIFEST_INVALID`
 */
export function parseConfig(bytes: Uint8Array): JsonObject {
  const options = { shape: CONFIG, maxSize: MAX_MANIFEST_SIZE, refuse: invalid };
  return requireObject(parseJson(bytes, options), () => invalid("it is not an object"));
}

function invalid(why: string): OcicryptError {
  return new OcicryptError("MANIFEST_INVALID", `the image's config cannot be used: ${why}`);
}
