import { OcicryptError } from "../errors.js";
import { ANY, MAP, parseJson, requireObject, struct, type JsonObject } from "../text/json.js";
import { MAX_MANIFEST_SIZE } from "./limits.js";

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
