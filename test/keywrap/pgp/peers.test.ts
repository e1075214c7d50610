import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { describe as suite, expect, it } from "vitest";
import { decryptLayer } from "../../../src/layer/decrypt.js";
import { pgp } from "../../../src/keywrap/pgp/index.js";
import type { DescriptorLike } from "../../../src/spec/descriptor.js";
import { peer } from "./support.js";

const TAR = "application/vnd.oci.image.layer.v1.tar+encrypted";

type Layer = DescriptorLike & { digest: string };

function readBlob(layout: string, digest: string): Uint8Array {
  return peer(`layouts/${layout}/blobs/${digest.replace(":", "/")}`);
}

function layersOf(layout: string): Layer[] {
  const parse = (bytes: Uint8Array): unknown => JSON.parse(Buffer.from(bytes).toString("utf8"));
  const index = parse(peer(`layouts/${layout}/index.json`)) as { manifests: { digest: string }[] };
  const manifest = parse(readBlob(layout, index.manifests[0]!.digest)) as { layers: Layer[] };
  return manifest.layers;
}

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

suite("images and layers of released ocicrypt", () => {
  it.each([
    ["skopeo-1.9.3/pgp-rsa2048", "rsa2048"],
    ["skopeo-1.9.3/mixed-jwe-pkcs7-pgp", "rsa2048"],
    ["ocicrypt-1.3.2/mixed-jwe-pkcs7-pgp", "rsa2048"],
    ["ocicrypt-1.3.2/pgp-cv25519", "cv25519"],
    ["ocicrypt-1.3.2/pgp-pass", "pass"],
  ])("%s", async (layout, name) => {
    const key = pgp.key(peer(`keys/pgp/${name}.sec.gpg`), { password: "secret" });
    const plainDigests = layersOf("plain").map(({ digest }) => digest);
    for (const [index, layer] of layersOf(layout).entries()) {
      const blob = readBlob(layout, layer.digest);
      const { stream, opening } = await decryptLayer(blob, { descriptor: layer, keys: [key] });
      expect(opening).toMatchObject({ scheme: "pgp", index: 0 });
      const decrypted = await bytesOf(stream);
      // skopeo compressed the one layer that was not before it encrypted it.
      const plain = sha256(decrypted) === plainDigests[index] ? decrypted : gunzipSync(decrypted);
      expect(sha256(plain)).toBe(plainDigests[index]);
    }
    expect([layersOf(layout).length, plainDigests.length]).toEqual([4, 4]);
  });

  it("a layer of ocicrypt 1.1.10", async () => {
    const annotations = JSON.parse(
      Buffer.from(peer("layers/pgp-bob.json")).toString("utf8"),
    ) as Record<string, string>;
    const { stream } = await decryptLayer(peer("layers/pgp-bob.enc"), {
      descriptor: { mediaType: TAR, annotations },
      keys: [pgp.key(peer("layers/keys/bob.sec"))],
    });
    expect((await bytesOf(stream)).equals(peer("layers/plain.bin"))).toBe(true);
  });
});
