import { rm } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { inspectImage } from "../../../src/image/index.js";
import { layoutSource } from "../../../src/store/layout/source.js";
import { expectCode } from "../../support/codes.js";
import {
  blobFile,
  createLayout,
  describedAs,
  digestOf,
  EMPTY,
  forPlatform,
  layer,
  layoutOf,
  MANIFEST,
  putAttestation,
  putIndex,
  putManifest,
  putText,
  readEntries,
  readIndexEntries,
  readManifest,
  snapshot,
  tagged,
  temporaryDirectories,
  writeIndex,
  type Entry,
  type StoredManifest,
} from "../../support/image.js";
import { decrypt, encrypt } from "../../support/operations.js";

const directory = temporaryDirectories();

/** An index of a manifest with one layer and of other entries. */
async function indexWith(
  others: (path: string, manifest: StoredManifest) => Promise<Entry[]>,
): Promise<{ path: string; index: Entry }> {
  const path = await createLayout(directory());
  const manifest = await putManifest(path, [await layer("secret")]);
  const entries = [
    forPlatform(manifest.descriptor, "linux/amd64"),
    ...(await others(path, manifest)),
  ];
  const index = await putIndex(path, entries);
  await writeIndex(path, [index]);
  return { path, index };
}

describe("a selected layer that would stay plain is rejected", () => {
  it.each<[string, (path: string, manifest: StoredManifest) => Promise<Entry[]>]>([
    ["as an entry of the index", (_, { layers }) => Promise.resolve([layers[0]!.descriptor])],
    [
      "as an entry of another type and size",
      (_, { layers }) =>
        Promise.resolve([{ ...layers[0]!.descriptor, mediaType: "application/vnd.x", size: 1 }]),
    ],
    [
      "in an artifact",
      async (path, { descriptor, layers }) => {
        const config = { mediaType: EMPTY, content: "{}" };
        const extra = { subject: descriptor };
        return [(await putManifest(path, layers, { config, extra })).descriptor];
      },
    ],
    [
      "in a nested index",
      async (path, { layers }) => [await putIndex(path, [layers[0]!.descriptor])],
    ],
    [
      "in an attestation",
      async (path, { descriptor, layers }) => {
        const { descriptor: other } = await putManifest(path, layers, {
          config: { mediaType: EMPTY, content: "{}" },
        });
        const { annotations, platform } = await putAttestation(path, descriptor);
        return [{ ...other, annotations: annotations!, platform: platform! }];
      },
    ],
    [
      "as the config of another image",
      async (path, { layers }) => {
        const { digest, size } = layers[0]!.descriptor;
        const { text } = await putManifest(path, [await layer("other")]);
        const document = JSON.parse(text) as { config: Entry };
        document.config = { mediaType: "application/vnd.oci.image.config.v1+json", digest, size };
        return [forPlatform(await putText(path, JSON.stringify(document)), "linux/arm64")];
      },
    ],
    [
      "as a subject",
      async (path, { layers }) => {
        const extra = { subject: { ...layers[0]!.descriptor, mediaType: MANIFEST } };
        const { descriptor } = await putManifest(path, [await layer("other")], { extra });
        return [forPlatform(descriptor, "linux/arm64")];
      },
    ],
    [
      "as a manifest of an unknown type",
      (_, { layers }) =>
        Promise.resolve([
          { ...layers[0]!.descriptor, mediaType: "application/vnd.x.manifest.v1+json" },
        ]),
    ],
    [
      "in a manifest of an unknown type",
      async (path, { layers }) => {
        const mediaType = "application/vnd.oci.artifact.manifest.v1+json";
        const document = { mediaType, blobs: [layers[0]!.descriptor] };
        return [{ ...(await putText(path, JSON.stringify(document))), mediaType }];
      },
    ],
    [
      "inside the descriptor of an entry",
      async (_, { layers }) => {
        const other = await layer("other");
        const data = layers[0]!.blob.toString("base64");
        return [{ ...other.descriptor, mediaType: "application/vnd.x", data }];
      },
    ],
  ])("%s", async (_, others) => {
    const { path } = await indexWith(others);
    const to = directory();
    await expectCode(encrypt(path, to), "MANIFEST_UNSUPPORTED");
    expect(await snapshot(to)).toEqual({});
  });
});

describe("what stays plain", () => {
  it("is named in a warning, unless it is an attestation", async () => {
    const { path } = await indexWith(async (layout, { descriptor }) => {
      const other = await layer("other");
      const { layers } = await putManifest(layout, [other]);
      return [layers[0]!.descriptor, await putAttestation(layout, descriptor)];
    });
    const { warnings } = await encrypt(path, directory());
    expect(warnings).toEqual([
      expect.stringContaining("is not a layer of an image, and stays plain"),
    ]);
  });

  it("includes entries that are only marked as attestations", async () => {
    const { path } = await indexWith(async (layout, { descriptor }) => {
      const { descriptor: other } = await putManifest(layout, [await layer("other")]);
      const { annotations } = await putAttestation(layout, descriptor);
      return [{ ...forPlatform(other, "linux/arm64"), annotations: annotations! }];
    });
    expect((await encrypt(path, directory())).layers).toHaveLength(2);
  });
});

describe("descriptors that do not come back", () => {
  it.each<[string, Partial<Entry>, string]>([
    ["data", { data: "AA==" }, "loses data"],
    ["urls", { urls: ["https://example.com/layer"] }, "loses urls"],
    [
      "annotations for lazy pulling",
      { annotations: { "containerd.io/snapshot/stargz/toc.digest": digestOf("toc") } },
      "keeps annotations for lazy pulling",
    ],
  ])("cause a warning: %s", async (_, members, text) => {
    const path = directory();
    await layoutOf(path, [describedAs(await layer("a"), members)]);
    const there = directory();
    const { warnings } = await encrypt(path, there);
    expect(warnings).toEqual([expect.stringContaining(text)]);
    await decrypt(there, directory());
  });
});

describe("an index with blobs of only one platform", () => {
  async function sparse(): Promise<{ path: string; index: Entry; missing: Entry }> {
    const missing = { mediaType: MANIFEST, digest: digestOf("missing"), size: 500 };
    const { path, index } = await indexWith(() =>
      Promise.resolve([forPlatform(missing, "linux/arm64")]),
    );
    return { path, index, missing };
  }

  it("is encrypted and decrypted in that platform, and keeps the rest", async () => {
    const { path, index, missing } = await sparse();
    const [there, back] = [directory(), directory()];
    const platforms = ["linux/amd64"];
    const { image, warnings } = await encrypt(path, there, { platforms });
    expect(warnings).toEqual([expect.stringContaining(`names the manifest ${missing.digest}`)]);
    expect((await readIndexEntries(there, image))[1]).toEqual(forPlatform(missing, "linux/arm64"));
    expect((await decrypt(there, back, { platforms })).image.digest).toBe(index.digest);
  });

  it.each([undefined, ["linux/arm64"]])("is rejected otherwise: %s", async (platforms) => {
    const { path } = await sparse();
    await expectCode(encrypt(path, directory(), { platforms }), "BLOB_NOT_FOUND");
    await expectCode(decrypt(path, directory(), { platforms }), "BLOB_NOT_FOUND");
  });

  it("is inspected", async () => {
    const { path, missing } = await sparse();
    const { manifests, missing: report } = await inspectImage(layoutSource({ path }));
    expect(manifests.map(({ platform }) => platform)).toEqual(["linux/amd64"]);
    expect(report).toEqual([{ platform: "linux/arm64", digest: missing.digest }]);
  });
});

describe("a layer that is only named by a URL", () => {
  async function windows(): Promise<{ path: string; image: Entry }> {
    const path = directory();
    const base = describedAs(await layer("base"), { urls: ["https://example.com/base"] });
    const { descriptor } = await layoutOf(path, [base, await layer("app")]);
    await rm(blobFile(path, base.descriptor.digest));
    return { path, image: descriptor };
  }

  it("is kept while other layers are encrypted and decrypted", async () => {
    const { path, image } = await windows();
    const [there, back] = [directory(), directory()];
    await encrypt(path, there, { layers: [-1] });
    expect((await decrypt(there, back)).image.digest).toBe(image.digest);
    const [entry] = await readEntries(back);
    expect((await readManifest(back, entry!)).layers).toHaveLength(2);
  });

  it("is rejected when it is selected, with the reason", async () => {
    const { path } = await windows();
    const error = await expectCode(encrypt(path, directory()), "BLOB_NOT_FOUND");
    expect(error.message).toContain("layer 0 is named by a URL");
  });
});

describe("a platform of an image without an index", () => {
  it("is that of its config", async () => {
    const [path, there] = [directory(), directory()];
    const { descriptor } = await layoutOf(path, [await layer("a")]);
    await encrypt(path, there, { platforms: ["linux/amd64"] });
    const { image } = await decrypt(there, directory(), { platforms: ["linux/amd64"] });
    expect(image.digest).toBe(descriptor.digest);
    await expectCode(
      encrypt(path, directory(), { platforms: ["linux/arm64"] }),
      "NOTHING_SELECTED",
    );
  });
});

describe("names that cosign makes from a digest", () => {
  it.each(["sig", "att", "sbom"])("cause a warning in a layout: .%s", async (suffix) => {
    const path = directory();
    const { descriptor } = await layoutOf(path, [await layer("a")]);
    const { descriptor: other } = await putManifest(path, [await layer("b")]);
    const name = `${descriptor.digest.replace(":", "-")}.${suffix}`;
    await writeIndex(path, [tagged(descriptor, "latest"), tagged(other, name)]);
    const { warnings } = await encrypt(`${path}:latest`, directory());
    expect(warnings).toEqual([expect.stringContaining(name)]);
  });
});
