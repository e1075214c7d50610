import { mutateJson } from "../../fuzz/forms/json.js";
import { mutateBytes } from "../../fuzz/forms/bytes.js";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";

function descriptor(mediaType, more = {}) {
  return { mediaType, digest: DIGEST, size: 1234, ...more };
}

const BASES = {
  manifest: {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    artifactType: "application/vnd.example",
    config: descriptor("application/vnd.oci.image.config.v1+json"),
    layers: [
      descriptor(`${LAYER}+encrypted`, {
        annotations: {
          "org.opencontainers.image.enc.keys.jwe": "AAAA",
          "org.opencontainers.image.enc.pubopts": "e30=",
        },
      }),
      descriptor(LAYER, { urls: ["https://example.org/layer"], data: "AAAA" }),
    ],
    subject: descriptor("application/vnd.oci.image.manifest.v1+json"),
    annotations: { key: "value" },
  },
  index: {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      descriptor("application/vnd.oci.image.manifest.v1+json", {
        platform: {
          architecture: "arm64",
          os: "linux",
          variant: "v8",
          "os.version": "1",
          "os.features": ["win32k"],
        },
        annotations: { "vnd.docker.reference.type": "attestation-manifest" },
        artifactType: "application/vnd.example",
      }),
      descriptor("application/vnd.oci.image.index.v1+json"),
    ],
    annotations: { "org.opencontainers.image.ref.name": "tag" },
  },
  config: {
    created: "2026-01-02T03:04:05Z",
    author: "someone",
    architecture: "amd64",
    os: "linux",
    config: {
      User: "user",
      ExposedPorts: { "80/tcp": {} },
      Env: ["PATH=/bin", "KEY=value"],
      Entrypoint: ["/bin/sh"],
      Cmd: ["-c", "true"],
      Volumes: { "/data": {} },
      WorkingDir: "/",
      Labels: { skill: "kernel" },
      StopSignal: "SIGKILL",
    },
    rootfs: { type: "layers", diff_ids: [DIGEST, DIGEST] },
    history: [
      { created: "2026-01-02T03:04:05Z", created_by: "RUN a", comment: "c", empty_layer: true },
    ],
  },
  private: {
    symkey: Buffer.alloc(32, 1).toString("base64"),
    digest: DIGEST,
    cipheroptions: { nonce: Buffer.alloc(16, 2).toString("base64") },
  },
  public: {
    cipher: "AES_256_CTR_HMAC_SHA256",
    hmac: Buffer.alloc(32, 3).toString("base64"),
    cipheroptions: {},
  },
};
const KINDS = Object.keys(BASES);

/** Names that only some readers take for those of the documents. */
const VARIANTS = [
  (name) => name.toUpperCase(),
  (name) => name.replace(/./, (letter) => letter.toUpperCase()),
  (name) => name.replace(/s/i, "\u017f"),
  (name) => name.replace(/k/i, "\u212a"),
  (name) => name.replace(/i/i, "\u0131"),
  (name) => name.replace(/I/i, "\u0130"),
  (name) => name.replace(/[a-z]$/i, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`),
  (name) => `${name}\\u0000`,
  (name) => name,
];
const VALUES = ["null", "{}", "[]", '""', "0", "true", '"\\ud800"', '"\\udc00\\ud800"', '"\ufffd"'];
const INVALID_UTF8 = [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf5, 0x80], [0xef, 0xbb, 0xbf]];

/** A document that is near to one of the five kinds, as their enemies would write it. */
export function generate(random) {
  const kind = random.pick(KINDS);
  let bytes = Buffer.from(JSON.stringify(BASES[kind], undefined, random.pick([undefined, " "])));
  const rounds = random.pick([0, 1, 1, 1, 2, 3]);
  for (let i = 0; i < rounds; i++) bytes = change(bytes, random);
  return { kind, bytes };
}

function change(bytes, random) {
  const context = { random, dictionary: ["nonce", DIGEST, "ſ", "K"], inputs: [bytes] };
  switch (random.below(8)) {
    case 0:
      return mutateBytes(bytes, context);
    case 1:
      return insertIntoText(bytes, random);
    case 2:
    case 3:
    case 4:
      return addMember(bytes, random);
    default:
      return mutateJson(bytes, context) ?? bytes;
  }
}

function insertIntoText(bytes, random) {
  const quote = bytes.indexOf('"', random.below(bytes.length)) + 1;
  const wrong = Buffer.from(random.pick(INVALID_UTF8));
  return Buffer.concat([bytes.subarray(0, quote), wrong, bytes.subarray(quote)]);
}

/** A name of the document once more, in other letters or the same, with another value. */
function addMember(bytes, random) {
  const text = bytes.toString("latin1");
  const names = [...text.matchAll(/"([\w./]+)"\s*:/g)];
  if (names.length === 0) return bytes;
  const { 1: name, index } = random.pick(names);
  const value = random.chance(0.5) ? valueAt(text, index) : random.pick(VALUES);
  const member = `"${random.pick(VARIANTS)(name)}":${value}`;
  const isFirst = random.chance(0.5);
  const place = isFirst ? index : endOfObject(text, index);
  const inserted = Buffer.from(isFirst ? `${member},` : `,${member}`);
  return Buffer.concat([bytes.subarray(0, place), inserted, bytes.subarray(place)]);
}

function valueAt(text, index) {
  return /:\s*("[^"]*"|\d+|\[\]|\{\})/.exec(text.slice(index))?.[1] ?? "null";
}

/** Where the object that holds a place ends, strings without braces given. */
function endOfObject(text, index) {
  let depth = 0;
  for (let i = index; i < text.length; i++) {
    if (text[i] === "{") depth++;
    if (text[i] === "}" && depth-- === 0) return i;
  }
  return index;
}
