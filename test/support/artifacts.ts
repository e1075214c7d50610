import {
  digestOf,
  EMPTY,
  layerOf,
  MANIFEST,
  type Entry,
  type Layer,
  type ManifestOptions,
} from "./image.js";

/** A manifest that is no image, as other tools write it. */
export interface Artifact {
  name: string;
  layers: readonly Layer[];
  options: ManifestOptions;
}

const bytesOf = (name: string): Buffer => Buffer.alloc(10_000, name);
const file = (name: string, mediaType: string): Layer =>
  layerOf(bytesOf(name), { mediaType, annotations: { "org.opencontainers.image.title": name } });

const empty = { mediaType: EMPTY, content: "{}" };
const SUBJECT: Entry = { mediaType: MANIFEST, digest: digestOf("subject"), size: 500 };

const wasm = layerOf(Buffer.concat([Buffer.from("\0asm\r\0\x01\0", "latin1"), bytesOf("code")]), {
  mediaType: "application/wasm",
});

export const ARTIFACTS: readonly Artifact[] = [
  {
    // As `oras push` makes it: the content of the config in the manifest, files by their names.
    name: "files of ORAS",
    layers: [file("notes.txt", "text/plain"), file("data.bin", "application/octet-stream")],
    options: {
      config: empty,
      extra: {
        config: { mediaType: EMPTY, digest: digestOf("{}"), size: 2, data: "e30=" },
        artifactType: "application/vnd.unknown.artifact.v1",
        annotations: { "org.opencontainers.image.created": "2026-01-02T03:04:05Z" },
      },
    },
  },
  {
    name: "an artifact about another manifest",
    layers: [layerOf(bytesOf("{}"), { mediaType: "application/vnd.example.signature+json" })],
    options: {
      config: empty,
      extra: { artifactType: "application/vnd.example.signature", subject: SUBJECT },
    },
  },
  {
    // https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/
    name: "a wasm component",
    layers: [wasm],
    options: {
      config: {
        mediaType: "application/vnd.wasm.config.v0+json",
        content: JSON.stringify({
          created: "2026-01-02T03:04:05Z",
          architecture: "wasm",
          os: "wasip2",
          layerDigests: [wasm.descriptor.digest],
          component: { exports: ["wasi:http/incoming-handler@0.2.0"], imports: [] },
        }),
      },
    },
  },
  {
    // https://helm.sh/docs/topics/registries/#helm-chart-manifest
    name: "a Helm chart with its provenance",
    layers: [
      layerOf(bytesOf("chart"), {
        mediaType: "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
      }),
      layerOf(bytesOf("signed"), {
        mediaType: "application/vnd.cncf.helm.chart.provenance.v1.prov",
      }),
    ],
    options: {
      config: {
        mediaType: "application/vnd.cncf.helm.config.v1+json",
        content: '{"name":"app","version":"0.1.0","apiVersion":"v2","type":"application"}',
      },
    },
  },
  {
    // https://github.com/modelpack/model-spec
    name: "a model's files",
    layers: [
      layerOf(bytesOf("weights"), {
        mediaType: "application/vnd.cncf.model.weight.v1.raw",
        annotations: { "org.cncf.model.filepath": "model.safetensors" },
      }),
      layerOf(bytesOf("words"), {
        mediaType: "application/vnd.cncf.model.weight.config.v1.tar",
        annotations: { "org.cncf.model.filepath": "tokenizer.json" },
      }),
    ],
    options: {
      config: {
        mediaType: "application/vnd.cncf.model.config.v1+json",
        content: JSON.stringify({
          descriptor: { name: "small" },
          modelfs: { type: "layers", diffIds: [digestOf(bytesOf("weights"))] },
          config: { paramSize: "8b" },
        }),
      },
      extra: { artifactType: "application/vnd.cncf.model.manifest.v1+json" },
    },
  },
];
