import { rm } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { inspectImage, type ImageReport } from "../../src/image/inspect.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Key } from "../../src/keywrap/types.js";
import { layoutSource } from "../../src/store/layout/source.js";
import {
  blobFile,
  layer,
  layoutOf,
  multiPlatform,
  readEntries,
  readManifest,
  snapshot,
  TAR_GZIP,
  temporaryDirectories,
} from "../support/image.js";
import { ENC, foreignKey, openKey } from "../support/layers.js";
import { encrypt } from "../support/operations.js";
import { vectorFile } from "../support/vectors.js";

const directory = temporaryDirectories();

function inspect(path: string, keys?: readonly Key[]): Promise<ImageReport> {
  return inspectImage(layoutSource({ path }), { keys });
}

describe("inspectImage", () => {
  it("reports a plain image", async () => {
    const path = directory();
    const one = await layer("a");
    const { descriptor } = await layoutOf(path, [one]);
    const { mediaType, digest, size } = one.descriptor;
    expect(await inspect(path, [openKey()])).toEqual({
      digest: descriptor.digest,
      mediaType: descriptor.mediaType,
      manifests: [
        {
          platform: "-",
          digest: descriptor.digest,
          layers: [
            {
              ...{ index: 0, mediaType, digest, size, encrypted: false },
              ...{ recipients: [], readers: [], keys: [] },
            },
          ],
        },
      ],
    });
  });

  it("reports the recipients by algorithm and kid", async () => {
    const [plain, path] = [directory(), directory()];
    await layoutOf(plain, [await layer("a")]);
    const recipients = ["ec-p256.pub.jwk", "rsa-2048.pub.pem"].map((file) =>
      jwe.recipient(vectorFile(`keys/${file}`)),
    );
    await encrypt(plain, path, { recipients });
    const report = await inspect(path);
    expect(report.manifests[0]!.layers[0]).toMatchObject({
      mediaType: `${TAR_GZIP}+encrypted`,
      encrypted: true,
      recipients: [
        { scheme: "jwe", index: 0, algorithm: "ECDH-ES+A128KW", keyId: "ec-p256" },
        { scheme: "jwe", index: 1, algorithm: "RSA-OAEP" },
      ],
      keys: [],
    });
  });

  it("reports no reader for a layer of a plain type", async () => {
    const [plain, encrypted, path] = [directory(), directory(), directory()];
    await layoutOf(plain, [await layer("a")]);
    const recipients = [jwe.recipient(vectorFile("keys/rsa-2048.pub.pem"))];
    const { image } = await encrypt(plain, encrypted, { recipients });
    const [{ annotations } = {}] = (await readManifest(encrypted, image)).layers;
    await layoutOf(path, [await layer("a", { annotations: annotations! })]);
    const [there, mistyped] = await Promise.all([inspect(encrypted), inspect(path)]);
    const readers = ({ manifests: [manifest] }: ImageReport): boolean[] =>
      manifest!.layers[0]!.readers.map(({ reads }) => reads);
    expect(readers(there)).toEqual([true, true]);
    expect(readers(mistyped)).toEqual([false, false]);
  });

  it("tries each key on each encrypted layer, and needs no blob for it", async () => {
    const [plain, path] = [directory(), directory()];
    await layoutOf(plain, [await layer("a"), await layer("b")]);
    const { image } = await encrypt(plain, path, { layers: [1] });
    const { config, layers } = await readManifest(path, image);
    for (const { digest } of [config, ...layers]) await rm(blobFile(path, digest));
    const before = await snapshot(path);
    const { manifests } = await inspect(path, [
      foreignKey(),
      { ...openKey(), label: "the right one" },
      openKey("jwe"),
    ]);
    const [first, second] = manifests[0]!.layers;
    expect(first).toMatchObject({ encrypted: false, keys: [] });
    expect(second!.keys).toMatchObject([
      { key: "key 1", opens: false },
      { key: "the right one", scheme: "test", opens: true, index: 0, reasons: [] },
      { key: "key 3", opens: false },
    ]);
    for (const { opens, reasons } of second!.keys) expect(reasons.length > 0).toBe(!opens);
    expect(await snapshot(path)).toEqual(before);
  });

  it("reports every platform, and no attestation", async () => {
    const path = directory();
    const { index, amd64, arm64 } = await multiPlatform(path);
    const report = await inspect(path);
    expect(report.digest).toBe(index.digest);
    expect(report.manifests.map(({ platform, digest }) => [platform, digest])).toEqual([
      ["linux/amd64", amd64.descriptor.digest],
      ["linux/arm64/v8", arm64.descriptor.digest],
    ]);
  });

  it.each([
    ["nothing", ""],
    ["no base64", "*"],
    ["no JWE", "e30="],
    ["binary", "AAAA"],
    ["too much", "AAAA,".repeat(300_000)],
  ])("does not fail for an annotation with %s", async (_, list) => {
    const path = directory();
    const annotations = { [`${ENC}keys.jwe`]: list, [`${ENC}keys.unknown`]: list };
    await layoutOf(path, [await layer("a", { annotations })]);
    const key = jwe.key(vectorFile("keys/ec-p256.pem"));
    const [found] = (await inspect(path, [key])).manifests[0]!.layers;
    expect(found!.encrypted).toBe(true);
    const [recipient] = found!.recipients;
    expect(recipient).toMatchObject({ scheme: "jwe", index: 0 });
    expect(recipient!.problem).toMatch(/./);
    expect(found!.keys.map(({ opens, reasons }) => [opens, reasons.length])).toEqual([[false, 1]]);
  });

  it("stops when it is aborted", async () => {
    const [plain, path] = [directory(), directory()];
    await layoutOf(plain, [await layer("a"), await layer("b")]);
    await encrypt(plain, path);
    const abort = new AbortController();
    const key: Key = {
      scheme: "test",
      unwrap: () => {
        abort.abort(new Error("enough"));
        return Promise.resolve(null);
      },
    };
    const { signal } = abort;
    const aborted = inspectImage(layoutSource({ path }), { keys: [key, key], signal });
    await expect(aborted).rejects.toThrow("enough");
    expect(await readEntries(path)).toHaveLength(1);
  });
});
