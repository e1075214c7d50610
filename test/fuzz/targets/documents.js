import { lintConfig } from "ocicrypt/image";
import { provider } from "ocicrypt/provider";
import { parsePrivateOptions, parsePublicOptions } from "../../../dist/cipher/options.js";
import { decodeMessage } from "../../../dist/keywrap/provider/grpc.js";
import { parseAnswer, parseRequest } from "../../../dist/keywrap/provider/messages.js";
import { parseDocument, readSubject } from "../../../dist/spec/manifest.js";
import { layouts } from "../files.js";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
const MEDIA_TYPES = [
  ...[MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST],
  ...["application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.config.v1+json"],
  ...["application/vnd.oci.image.layer.v1.tar+encrypted", "application/vnd.oci.empty.v1+json"],
];

function blobs() {
  return layouts().flatMap(({ index, blobs: stored }) => [
    index,
    ...[...stored.values()].filter((bytes) => bytes[0] === 0x7b && bytes.length < 100_000),
  ]);
}

const READERS = [
  ...[MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST].map(
    (type) => (bytes) => parseDocument(bytes, type),
  ),
  readSubject,
  lintConfig,
];

export const manifest = {
  form: "json",
  share: 8,
  seeds: blobs,
  dictionary: [...MEDIA_TYPES, "sha256:", "sha512:", `sha256:${"0".repeat(64)}`, "ſ", "\u212a"],
  // One reader for each input, so that its time is that of reading once.
  run(bytes) {
    READERS[bytes.length % READERS.length](bytes);
  },
};

const PUBLIC = { cipher: "AES_256_CTR_HMAC_SHA256", hmac: "A".repeat(43) + "=", cipheroptions: {} };
const PRIVATE = {
  symkey: "A".repeat(43) + "=",
  digest: `sha256:${"0".repeat(64)}`,
  cipheroptions: { nonce: "A".repeat(22) + "==" },
};

export const publicOptions = {
  form: "json",
  share: 8,
  seeds: () => [Buffer.from(JSON.stringify(PUBLIC))],
  dictionary: ["nonce", "ſ", "AES_256_CTR_HMAC_SHA256", "hmac", "cipher", "cipheroptions"],
  run(bytes) {
    const annotations = { "org.opencontainers.image.enc.pubopts": bytes.toString("base64") };
    parsePublicOptions({ mediaType: `${MEDIA_TYPES[4]}+encrypted`, annotations });
  },
};

export const privateOptions = {
  form: "json",
  share: 8,
  seeds: () => [Buffer.from(JSON.stringify(PRIVATE))],
  dictionary: ["nonce", "\u212a", "symkey", "digest", "cipheroptions"],
  run: (bytes) => parsePrivateOptions(bytes),
};

export const providerAnswer = {
  form: "json",
  share: 8,
  seeds: () => [
    Buffer.from('{"keywrapresults":{"annotation":"AAAA"}}'),
    Buffer.from('{"keyunwrapresults":{"optsdata":[1,2,3,255]}}'),
    Buffer.from('\n\x2a{"keywrapresults":{"annotation":[1,2,3]}}'),
  ],
  dictionary: [
    "annotation",
    "optsdata",
    "keywrapresults",
    "256",
    "-1",
    "1.5",
    "\n\x80\x80\x80\x7f",
  ],
  run(bytes) {
    const message = decodeMessage(bytes) ?? bytes;
    try {
      parseAnswer("keywrap", message, "the provider");
    } catch {
      // The other half of the same answer decides.
    }
    parseAnswer("keyunwrap", message, "the provider");
  },
};

export const providerRequest = {
  form: "json",
  share: 8,
  seeds: () => [
    Buffer.from(
      '{"op":"keywrap","keywrapparams":{"ec":{"Parameters":{"x":["AAAA"]}},"optsdata":"AAAA"}}',
    ),
    Buffer.from(
      '{"op":"keyunwrap","keyunwrapparams":{"dc":{"Parameters":null},"annotation":"AA=="}}',
    ),
  ],
  dictionary: ["keywrap", "keyunwrap", "Parameters", "optsdata", "annotation", "ec", "dc"],
  run(bytes) {
    parseRequest(bytes, "x");
  },
};

export const providerConfig = {
  form: "json",
  share: 8,
  seeds: () => [
    Buffer.from('{"key-providers":{"x":{"cmd":{"path":"/bin/true","args":["-a"]}}}}'),
    Buffer.from(
      '{"key-providers":{"x":{"grpc":"localhost:1","grpc-tls":{"server-name":"a","insecure-skip-verify":false}}}}',
    ),
  ],
  dictionary: ["ttrpc", "native", "unix:///tmp/s", "tcp://h:1", "http://[::1]:2", "cmd", "grpc"],
  run(bytes) {
    let config;
    try {
      config = JSON.parse(bytes.toString());
    } catch {
      return;
    }
    provider.recipient("x", { config: Object(config) });
  },
};
