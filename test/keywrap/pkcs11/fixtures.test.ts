import { createHash } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { describe as describeBlob } from "../../../src/keywrap/pkcs11/blob.js";
import { pkcs11 } from "../../../src/keywrap/pkcs11/index.js";
import { decryptLayer } from "../../../src/layer/decrypt.js";
import { explainKey } from "../../../src/layer/explain.js";
import type { Descriptor } from "../../../src/spec/descriptor.js";
import { expectCode } from "../../support/codes.js";
import { vectorFile } from "../../support/vectors.js";

const PLAIN = "sha256:76740cbe7558466f94c51ac7f0652ce854104905a2d0526267d646e1fa65a9ad";
const LAYOUT = "peers/layouts/ocicrypt-1.3.2/pkcs11-pub-rsa2048-sha1";

function layer(name: string): { blob: Buffer; descriptor: Descriptor } {
  const blob = vectorFile(`peers/layers/${name}.enc`);
  const descriptor = {
    mediaType: "application/vnd.oci.image.layer.v1.tar+encrypted",
    digest: digestOf(blob),
    size: blob.byteLength,
    annotations: JSON.parse(vectorFile(`peers/layers/${name}.json`).toString()) as Record<
      string,
      string
    >,
  };
  return { blob, descriptor };
}

describe("layers of ocicrypt 1.1.10", () => {
  it.each([
    { name: "pkcs11-2048-sha1", opens: "rsa2048", algorithm: "RSA-OAEP", other: "rsa3072" },
    { name: "pkcs11-3072-sha256", opens: "rsa3072", algorithm: "RSA-OAEP-256", other: "rsa2048" },
    {
      name: "mixed-jwe-pkcs7-pkcs11",
      opens: "rsa3072",
      algorithm: "RSA-OAEP-256",
      other: "rsa2048",
    },
  ])("$name opens with $opens alone", async ({ name, opens, algorithm, other }) => {
    const { blob, descriptor } = layer(name);
    const key = await pkcs11.key(vectorFile(`peers/layers/keys/${opens}.pem`), { label: opens });
    const { stream, opening } = await decryptLayer(blob, { descriptor, keys: [key] });
    expect(digestOf(await buffer(stream))).toBe(PLAIN);
    expect(opening).toEqual({ scheme: "pkcs11", index: 0, key });
    expect(opening.key.label).toBe(opens);

    const wrong = await pkcs11.key(vectorFile(`peers/layers/keys/${other}.pem`));
    await expectCode(() => decryptLayer(blob, { descriptor, keys: [wrong] }), "NO_MATCHING_KEY");

    const wrapped = descriptor.annotations!["org.opencontainers.image.enc.keys.pkcs11"]!;
    expect(describeBlob(Buffer.from(wrapped, "base64"))).toEqual([{ algorithm }]);
    const { reasons } = await explainKey(descriptor, { key: wrong });
    const size = (key: string): string => key.replace("rsa", "RSA-");
    expect(reasons).toEqual([
      `${algorithm}: the recipient needs ${size(opens)}, the key is ${size(other)}`,
    ]);
  });

  it("says that a key of the right size is another one or the layer is damaged", async () => {
    const { descriptor } = layer("pkcs11-2048-sha1");
    const key = await pkcs11.key(vectorFile("keys/rsa-2048.pem"));
    const { reasons } = await explainKey(descriptor, { key });
    expect(reasons).toEqual(["RSA-OAEP: for another RSA-2048 key, or damaged"]);
  });
});

describe("the image of skopeo with ocicrypt 1.3.2", () => {
  it("opens layer by layer, to the bytes of the plain image", async () => {
    const key = await pkcs11.key(vectorFile("peers/keys/rsa2048.pkcs8.pem"));
    const { layers } = manifest(LAYOUT);
    const { layers: plain } = manifest("peers/layouts/plain");
    expect(layers).toHaveLength(plain.length);
    for (const [i, descriptor] of layers.entries()) {
      const source = blob(LAYOUT, descriptor.digest);
      const { stream, recordedDigest } = await decryptLayer(source, { descriptor, keys: [key] });
      const content = await buffer(stream);
      expect(recordedDigest).toBe(plain[i]!.digest);
      // skopeo compressed the one layer that was plain tar before it encrypted it.
      const compressed = !plain[i]!.mediaType.endsWith("gzip");
      expect(digestOf(compressed ? gunzipSync(content) : content)).toBe(plain[i]!.digest);
    }
  });
});

function manifest(layout: string): { layers: Descriptor[] } {
  const index = JSON.parse(vectorFile(`${layout}/index.json`).toString()) as {
    manifests: Descriptor[];
  };
  const text = blob(layout, index.manifests[0]!.digest);
  return JSON.parse(text.toString()) as { layers: Descriptor[] };
}

function blob(layout: string, digest: string): Buffer {
  return vectorFile(`${layout}/blobs/${digest.replace(":", "/")}`);
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
