import { isDeepStrictEqual } from "node:util";
import { parsePrivateOptions, parsePublicOptions } from "../../../dist/cipher/options.js";
import { isOcicryptError } from "../../../dist/errors.js";
import { parseConfig } from "../../../dist/image/manifests/image-config.js";
import { parseDocument } from "../../../dist/spec/manifest.js";

// The content of Go's types, in terms of their JSON; a list is of its first item, and `{}` a map.
const TEXT = "";
const TEXTS = [TEXT];
/** A map to empty structs: only its names mean something. */
const SET = null;
const PLATFORM = {
  architecture: TEXT,
  os: TEXT,
  variant: TEXT,
  "os.version": TEXT,
  "os.features": TEXTS,
};
const DESCRIPTOR = {
  mediaType: TEXT,
  digest: TEXT,
  size: 0,
  urls: TEXTS,
  annotations: {},
  artifactType: TEXT,
  platform: PLATFORM,
};
const CONFIG = {
  author: TEXT,
  ...PLATFORM,
  config: {
    User: TEXT,
    ExposedPorts: SET,
    Env: TEXTS,
    Entrypoint: TEXTS,
    Cmd: TEXTS,
    Volumes: SET,
    WorkingDir: TEXT,
    Labels: {},
    StopSignal: TEXT,
    ArgsEscaped: false,
  },
  rootfs: { type: TEXT, diff_ids: TEXTS },
  history: [{ created_by: TEXT, author: TEXT, comment: TEXT, empty_layer: false }],
};

const READERS = {
  manifest: {
    read: (bytes) => parseDocument(bytes, "application/vnd.oci.image.manifest.v1+json"),
    here: ({ config, layers, subject }) => ({
      config,
      layers: layers.map(({ descriptor }) => descriptor),
      subject,
    }),
    shape: { config: DESCRIPTOR, layers: [DESCRIPTOR], subject: DESCRIPTOR },
  },
  index: {
    read: (bytes) => parseDocument(bytes, "application/vnd.oci.image.index.v1+json"),
    here: ({ manifests }) => ({ manifests: manifests.map(({ descriptor }) => descriptor) }),
    shape: { manifests: [DESCRIPTOR] },
  },
  config: { read: parseConfig, here: (config) => config, shape: CONFIG },
  private: {
    read: parsePrivateOptions,
    here: ({ symkey, digest, nonce }) => ({
      symkey: Buffer.from(symkey).toString("base64"),
      digest,
      cipheroptions: { nonce: Buffer.from(nonce).toString("base64") },
    }),
    // Other options of the cipher mean nothing to either.
    shape: { symkey: TEXT, digest: TEXT, cipheroptions: { nonce: TEXT } },
  },
  public: {
    read: (bytes) =>
      parsePublicOptions({
        mediaType: "",
        annotations: { "org.opencontainers.image.enc.pubopts": bytes.toString("base64") },
      }),
    here: ({ cipher, hmac }) => ({ cipher, hmac: Buffer.from(hmac).toString("base64") }),
    shape: { cipher: TEXT, hmac: TEXT, cipheroptions: { nonce: TEXT } },
  },
};

/** The result of this library; `undefined` if it rejects the input. */
export function readHere(kind, bytes) {
  const { read, here } = READERS[kind];
  try {
    return here(read(bytes));
  } catch (error) {
    if (isOcicryptError(error)) return undefined;
    throw error;
  }
}

/** Where two readers of one document have read something else. */
export function differences(kind, here, go) {
  return compare(READERS[kind].shape, here, go, kind);
}

function compare(shape, here, go, where) {
  if (Array.isArray(shape)) {
    const [ours, theirs] = [here ?? [], go ?? []];
    if (ours.length !== theirs.length) return [difference(where, here, go)];
    return ours.flatMap((item, i) => compare(shape[0], item, theirs[i], `${where}[${String(i)}]`));
  }
  if (shape === SET) {
    const [ours, theirs] = [here ?? {}, go ?? {}].map((names) => Object.keys(names).sort());
    return isDeepStrictEqual(ours, theirs) ? [] : [difference(where, here, go)];
  }
  if (typeof shape !== "object") {
    return (here ?? shape) === (go ?? shape) ? [] : [difference(where, here, go)];
  }
  const [ours, theirs] = [here ?? {}, go ?? {}];
  const names = Object.keys(shape);
  if (names.length > 0) {
    return names.flatMap((name) =>
      compare(shape[name], own(ours, name), own(theirs, name), `${where}.${name}`),
    );
  }
  return isDeepStrictEqual(withoutNulls(ours), withoutNulls(theirs))
    ? []
    : [difference(where, here, go)];
}

/** In a map, Go reads null as the zero value of its type. */
function withoutNulls(map) {
  return Object.fromEntries(Object.entries(map).map(([name, value]) => [name, value ?? ""]));
}

function own(object, name) {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function difference(where, here, go) {
  return `${where}: here ${JSON.stringify(here)}, in Go ${JSON.stringify(go)}`;
}
