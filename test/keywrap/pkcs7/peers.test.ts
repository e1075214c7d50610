import { createDecipheriv, createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { pkcs7 } from "../../../src/keywrap/pkcs7/index.js";
import { parsePrivateOptions } from "../../../src/cipher/options.js";
import { readMessage, readVector, wrappedKeys } from "./files.js";

interface Descriptor {
  digest: string;
  annotations?: Record<string, string>;
}

/** The plaintext of a layer, from its ciphertext and what was unwrapped. */
function decrypt(ciphertext: Buffer, secret: Uint8Array, publicOptions: string): Buffer {
  const { symkey, nonce } = parsePrivateOptions(secret);
  const { hmac } = JSON.parse(Buffer.from(publicOptions, "base64").toString()) as { hmac: string };
  expect(createHmac("sha256", symkey).update(ciphertext).digest("base64")).toBe(hmac);
  const decipher = createDecipheriv("aes-256-ctr", symkey, nonce);
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
}

const PUBLIC_OPTIONS = "org.opencontainers.image.enc.pubopts";

describe("layers of ocicrypt 1.1.10", () => {
  it.each([
    { layer: "pkcs7-1rec", name: "rsa2048" },
    { layer: "pkcs7-2rec", name: "rsa2048" },
    { layer: "pkcs7-2rec", name: "rsa3072" },
    { layer: "pkcs7-smallstep-shape", name: "rsa2048" },
    { layer: "jwe-added", name: "rsa3072" },
    { layer: "mixed-jwe-pkcs7-pkcs11", name: "rsa3072" },
  ])("$layer opens with $name, with and without its certificate", async ({ layer, name }) => {
    const annotations = JSON.parse(readVector(`layers/${layer}.json`).toString()) as Record<
      string,
      string
    >;
    const certificate = readVector(`layers/keys/cert-${name}.pem`);
    const privateKey = readVector(`layers/keys/${name}.pem`);
    const [wrapped] = wrappedKeys(annotations);
    for (const options of [{ certificate }, {}]) {
      const secret = await pkcs7.key(privateKey, options).unwrap(wrapped!);
      const ciphertext = readVector(`layers/${layer}.enc`);
      const plaintext = decrypt(ciphertext, secret!, annotations[PUBLIC_OPTIONS]!);
      expect(plaintext.equals(readVector("layers/plain.bin"))).toBe(true);
    }
  });

  it.each(["pkcs7-1rec", "pkcs7-smallstep-shape"])("%s opens for no other key", async (layer) => {
    const wrapped = readMessage(layer);
    const privateKey = readVector("layers/keys/rsa3072.pem");
    const certificate = readVector("layers/keys/cert-rsa3072.pem");
    expect(await pkcs7.key(privateKey, { certificate }).unwrap(wrapped)).toBeNull();
    expect(await pkcs7.key(privateKey).unwrap(wrapped)).toBeNull();
    // A key of the same size, so that it is the padding and the tag that tell.
    const other = pkcs7.key(readVector("keys/rsa2048.pkcs8.pem"));
    expect(await other.unwrap(wrapped)).toBeNull();
  });
});

describe("layouts of skopeo", () => {
  const blob = (layout: string, digest: string): Buffer =>
    readVector(`layouts/${layout}/blobs/sha256/${digest.slice("sha256:".length)}`);
  it.each([
    { layout: "skopeo-1.9.3/pkcs7-multi", names: ["rsa2048", "rsa3072", "rsa4096"] },
    { layout: "skopeo-1.9.3/mixed-jwe-pkcs7-pgp", names: ["rsa4096"] },
    { layout: "ocicrypt-1.3.2/mixed-jwe-pkcs7-pgp", names: ["rsa4096"] },
    { layout: "ocicrypt-1.3.2/pkcs7-rsa3072", names: ["rsa3072"] },
  ])("$layout opens with each of its keys", async ({ layout, names }) => {
    const index = JSON.parse(readVector(`layouts/${layout}/index.json`).toString()) as {
      manifests: Descriptor[];
    };
    const manifest = JSON.parse(blob(layout, index.manifests[0]!.digest).toString()) as {
      layers: Descriptor[];
    };
    expect(manifest.layers).toHaveLength(4);
    for (const name of names) {
      const certificate = readVector(`keys/cert-${name}.pem`);
      const key = pkcs7.key(readVector(`keys/${name}.pkcs8.pem`), { certificate });
      for (const { digest, annotations } of manifest.layers) {
        const secret = await key.unwrap(wrappedKeys(annotations!)[0]!);
        const plaintext = decrypt(blob(layout, digest), secret!, annotations![PUBLIC_OPTIONS]!);
        // All four layers are gzip; skopeo compressed the one that was not.
        expect(plaintext.subarray(0, 2).toString("hex")).toBe("1f8b");
      }
    }
  });
});
