import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { inspectImage } from "../../src/image/inspect.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { layoutSource } from "../../src/store/layout/source.js";
import { expectCode } from "../support/codes.js";
import {
  readBlob,
  readEntries,
  readManifest,
  snapshot,
  temporaryDirectories,
  type Entry,
} from "../support/image.js";
import { decrypt } from "../support/operations.js";
import { vectorFile } from "../support/vectors.js";

const directory = temporaryDirectories();

const LAYOUTS = fileURLToPath(new URL("../../vectors/peers/layouts", import.meta.url));

/** The layouts with a JWE recipient, and the keys that each open them: vectors/peers/README.md. */
const OPENS_WITH: Readonly<Record<string, readonly string[]>> = {
  "skopeo-1.9.3/jwe-rsa2048-pem": [
    ...["rsa2048.pkcs8.pem", "rsa2048.pkcs8.der", "rsa2048.pkcs1.pem", "rsa2048.pkcs1.der"],
    "rsa2048.priv.jwk",
  ],
  "skopeo-1.9.3/layer-1": ["rsa2048.pkcs8.pem"],
  "skopeo-1.9.3/jwe-multi-5": [
    ...["rsa2048.pkcs8.pem", "rsa4096.pkcs8.pem"],
    ...["ec256.pkcs8.pem", "ec256.sec1.pem", "ec384.pkcs8.pem", "ec521.pkcs8.pem"],
  ],
  "skopeo-1.9.3/mixed-jwe-pkcs7-pgp": ["rsa2048.pkcs8.pem"],
  "ocicrypt-1.3.2/mixed-jwe-pkcs7-pgp": ["rsa2048.pkcs8.pem"],
  "ocicrypt-1.3.2/jwe-ec256-pem": ["ec256.pkcs8.pem", "ec256.sec1.der"],
  "ocicrypt-1.3.2/jwe-multi-rsa-ec": ["rsa2048.pkcs8.pem", "ec256.pkcs8.pem"],
  "ocicrypt-1.3.2/jwe-ec521-jwk-ECDH-ES_A256KW": [
    "ec521.pkcs8.pem",
    "ec521.priv.ECDH-ES_A256KW.jwk",
  ],
  "ocicrypt-1.3.2/jwe-rsa2048-jwk-RSA-OAEP-256": [
    "rsa2048.pkcs8.pem",
    "rsa2048.priv.RSA-OAEP-256.jwk",
  ],
};

const WITHOUT_JWE = [
  ...["skopeo-1.9.3/pkcs7-multi", "skopeo-1.9.3/pgp-rsa2048", "ocicrypt-1.3.2/pkcs7-rsa3072"],
  ...["ocicrypt-1.3.2/pgp-cv25519", "ocicrypt-1.3.2/pgp-pass"],
  ...["ocicrypt-1.3.2/pkcs11-pub-rsa2048-sha1", "ocicrypt-1.3.2/keyprovider-cmd"],
];

const PAIRS = Object.entries(OPENS_WITH).flatMap(([layout, files]) =>
  files.map((file) => [layout, file] as const),
);

async function layersOf(path: string): Promise<Entry[]> {
  const [image] = await readEntries(path);
  return (await readManifest(path, image!)).layers;
}

describe("images of peers", () => {
  it("are all known here", () => {
    const versions = readdirSync(LAYOUTS).filter((name) => name !== "plain");
    const layouts = versions.flatMap((version) =>
      readdirSync(`${LAYOUTS}/${version}`).map((name) => `${version}/${name}`),
    );
    expect(layouts.sort()).toEqual([...Object.keys(OPENS_WITH), ...WITHOUT_JWE].sort());
  });

  it.each(PAIRS)("%s opens with %s", async (layout, file) => {
    const encrypted = `${LAYOUTS}/${layout}`;
    const destination = directory();
    const keys = [jwe.key(vectorFile(`peers/keys/${file}`))];
    const result = await decrypt(encrypted, destination, { keys });
    expect(result.layers.map(({ diffId }) => diffId)).toEqual(result.layers.map(() => "verified"));
    expect(result.layers.map(({ index }) => index)).toEqual(
      layout.endsWith("/layer-1") ? [3] : [0, 1, 2, 3],
    );

    const plain = await layersOf(`${LAYOUTS}/plain`);
    const decrypted = await layersOf(destination);
    for (const [i, layer] of decrypted.entries()) {
      const blob = await readBlob(destination, layer);
      const original = await readBlob(`${LAYOUTS}/plain`, plain[i]!);
      // The one that skopeo compressed.
      const compressed = plain[i]!.mediaType !== layer.mediaType;
      expect((compressed ? gunzipSync(blob) : blob).equals(original)).toBe(true);
      expect(layer.annotations).toBeUndefined();
    }
    expect(decrypted.map(({ mediaType }) => mediaType)).toEqual(
      plain.map(() => "application/vnd.oci.image.layer.v1.tar+gzip"),
    );
    expect((await readEntries(destination))[0]!.annotations).toEqual({
      "org.opencontainers.image.ref.name": "latest",
    });
  });

  it.each([...Object.keys(OPENS_WITH), ...WITHOUT_JWE])(
    "%s does not open with an unrelated key",
    async (layout) => {
      const parent = directory();
      const keys = [jwe.key(vectorFile("keys/rsa-2048.pem")), jwe.key(vectorFile("keys/ec-p256.jwk"))]; // prettier-ignore
      const attempt = decrypt(`${LAYOUTS}/${layout}`, `${parent}/new`, { keys });
      await expectCode(attempt, "NO_MATCHING_KEY");
      expect(await snapshot(parent)).toEqual({});
    },
  );

  it.each(Object.keys(OPENS_WITH))("%s is reported as encrypted", async (path) => {
    const key = jwe.key(vectorFile(`peers/keys/${OPENS_WITH[path]![0]!}`), { label: "mine" });
    const stranger = jwe.key(vectorFile("keys/ec-p384.pem"), { label: "not mine" });
    const report = await inspectImage(layoutSource({ path: `${LAYOUTS}/${path}` }), {
      keys: [stranger, key],
    });
    const { layers } = report.manifests[0]!;
    expect(layers).toHaveLength(4);
    for (const { encrypted, index, recipients, keys } of layers) {
      expect(encrypted).toBe(!path.endsWith("/layer-1") || index === 3);
      if (!encrypted) expect({ recipients, keys }).toEqual({ recipients: [], keys: [] });
      else {
        expect(keys).toMatchObject([
          { key: "not mine", opens: false },
          { key: "mine", scheme: "jwe", opens: true, index: 0, reasons: [] },
        ]);
        expect(recipients.some(({ scheme, algorithm }) => scheme === "jwe" && algorithm)).toBe(
          true,
        );
      }
    }
  });
});
