import { decryptLayer } from "ocicrypt";
import { decryptImage, inspectImage } from "ocicrypt/image";
import { jwe } from "ocicrypt/jwe";
import { pkcs7 } from "ocicrypt/pkcs7";
import { file, layouts, sha256 } from "../files.js";
import { memoryImage } from "../memory-image.js";

const KEYS = "vectors/peers/keys";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";

let keys;
function loadKeys() {
  return (keys ??= [
    jwe.key(file(`${KEYS}/rsa2048.pkcs8.pem`)),
    jwe.key(file(`${KEYS}/ec256.pkcs8.pem`)),
    pkcs7.key(file(`${KEYS}/rsa2048.pkcs8.pem`)),
  ]);
}

/** One layer: `{mediaType, annotations, blob}` with the blob in base64. */
export const layer = {
  form: "json",
  seeds() {
    const names = ["jwe-rsa2048", "jwe-ec256", "pkcs7-1rec", "mixed-jwe-pkcs7-pkcs11"];
    return names.map((name) =>
      Buffer.from(
        JSON.stringify({
          mediaType: "application/vnd.oci.image.layer.v1.tar+encrypted",
          annotations: JSON.parse(file(`vectors/peers/layers/${name}.json`)),
          blob: file(`vectors/peers/layers/${name}.enc`).toString("base64"),
        }),
      ),
    );
  },
  dictionary: ["org.opencontainers.image.enc.keys.", "org.opencontainers.image.enc.pubopts"],
  async run(bytes) {
    const value = parseOrNothing(bytes);
    const { blob, mediaType, annotations, ...more } = Object(value);
    const descriptor = {
      ...more,
      mediaType: typeof mediaType === "string" ? mediaType : "",
      ...(typeof annotations === "object" && annotations !== null && { annotations }),
    };
    const content = Buffer.from(typeof blob === "string" ? blob : "", "base64");
    const { stream, finalize } = await decryptLayer(content, { descriptor, keys: loadKeys() });
    for await (const _part of stream);
    await finalize();
  },
};

/** A whole image: `{manifest, config, layer, index}`, whose digests are made to fit. */
export const image = {
  form: "json",
  seeds() {
    return layouts().flatMap(({ blobs }) =>
      [...blobs.values()].flatMap((bytes) => {
        const manifest = parseOrNothing(bytes);
        const config = blobs.get(manifest?.config?.digest);
        const first = blobs.get(manifest?.layers?.[0]?.digest);
        if (config === undefined || first === undefined || first.length > 100_000) return [];
        const parts = { manifest, config: JSON.parse(config), layer: first.toString("base64") };
        return [Buffer.from(JSON.stringify(parts))];
      }),
    );
  },
  dictionary: [MANIFEST, INDEX, "application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "sha256:"],
  async run(bytes) {
    const value = parseOrNothing(bytes);
    const source = memoryImage();
    let root;
    try {
      root = build(Object(value), source);
    } catch {
      // JSON too deep for this harness is for the targets that take text.
      return;
    }
    await inspectImage(source.holding(root), { keys: loadKeys() });
    await decryptImage(source, memoryImage(), { keys: loadKeys() });
  },
};

function build({ manifest, config, layer: content }, source) {
  const configBytes = Buffer.from(JSON.stringify(config) ?? "");
  const layerBytes = Buffer.from(typeof content === "string" ? content : "", "base64");
  const document = structuredClone(manifest);
  fit(document?.config, configBytes);
  for (const entry of Array.isArray(document?.layers) ? document.layers.slice(0, 3) : []) {
    fit(entry, layerBytes);
  }
  const bytes = Buffer.from(JSON.stringify(document) ?? "");
  for (const blob of [configBytes, layerBytes, bytes]) source.put(digestOf(blob), blob);
  const mediaType = document?.manifests === undefined ? MANIFEST : INDEX;
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

function parseOrNothing(bytes) {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

function fit(descriptor, bytes) {
  if (typeof descriptor !== "object" || descriptor === null) return;
  descriptor.digest = digestOf(bytes);
  descriptor.size = bytes.length;
}

function digestOf(bytes) {
  return `sha256:${sha256(bytes)}`;
}
