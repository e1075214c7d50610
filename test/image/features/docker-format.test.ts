import { describe, expect, it } from "vitest";
import { inspectImage } from "../../../src/image/inspect.js";
import { layoutSource } from "../../../src/store/layout/source.js";
import { expectCode } from "../../support/codes.js";
import {
  compact,
  CONFIG,
  createLayout,
  DOCKER_MANIFEST,
  DOCKER_TAR_GZIP,
  forPlatform,
  imageConfig,
  INDEX,
  layer,
  MANIFEST,
  putAttestation,
  putIndex,
  putManifest,
  putText,
  readBlob,
  readEntries,
  readIndexEntries,
  readManifest,
  STYLES,
  TAR_GZIP,
  temporaryDirectories,
  writeIndex,
  type Entry,
  type Layer,
  type Style,
} from "../../support/image.js";
import { decrypt, encrypt } from "../../support/operations.js";

const directory = temporaryDirectories();

const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
const FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
const NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
const WARNING =
  "converted from Docker's format: decryption restores the layers, but not the manifest's digest";

const dockerLayer = (name: string): Promise<Layer> => layer(name, { mediaType: DOCKER_TAR_GZIP });

/** Stores a manifest of Docker's format (image manifest v2, schema 2). */
async function putDocker(
  path: string,
  layers: readonly Layer[],
  style: Style = compact,
): Promise<Entry> {
  const { content } = imageConfig(layers.map(({ diffId }) => diffId));
  const { descriptor } = await putManifest(path, layers, {
    style,
    extra: { mediaType: DOCKER_MANIFEST, "com.example": { size: 1.0, mediaType: DOCKER_MANIFEST } },
    config: { mediaType: DOCKER_CONFIG, content },
  });
  return { ...descriptor, mediaType: DOCKER_MANIFEST };
}

function putList(path: string, manifests: readonly Entry[], style: Style): Promise<Entry> {
  return putText(path, style({ schemaVersion: 2, mediaType: DOCKER_LIST, manifests }), DOCKER_LIST);
}

/** The text of a document with OCI's media types, made without the library. */
async function asOci(path: string, entry: Entry): Promise<string> {
  const text = (await readBlob(path, entry)).toString();
  return text
    .replace(DOCKER_MANIFEST, MANIFEST)
    .replaceAll(DOCKER_CONFIG, CONFIG)
    .replaceAll(DOCKER_TAR_GZIP, TAR_GZIP)
    .replaceAll(FOREIGN, NONDISTRIBUTABLE);
}

describe("a manifest of Docker's format", () => {
  it.each(STYLES)(
    "becomes an OCI manifest, unchanged except for media types: %s",
    async (_, style) => {
      const [plain, encrypted, again] = [directory(), directory(), directory()];
      await createLayout(plain);
      const image = await putDocker(plain, [await dockerLayer("a"), await dockerLayer("b")], style);
      await writeIndex(plain, [image]);

      const there = await encrypt(plain, encrypted);
      expect(there.warnings).toEqual([WARNING]);
      expect(there.image.mediaType).toBe(MANIFEST);
      expect(await readEntries(encrypted)).toEqual([there.image]);
      const manifest = await readManifest(encrypted, there.image);
      expect(manifest.mediaType).toBe(MANIFEST);
      expect(manifest.config.mediaType).toBe(CONFIG);
      expect(manifest.layers.map(({ mediaType }) => mediaType)).toEqual(
        [TAR_GZIP, TAR_GZIP].map((type) => `${type}+encrypted`),
      );

      const back = await decrypt(encrypted, again);
      expect(back.warnings).toEqual([]);
      expect(back.layers.map(({ diffId }) => diffId)).toEqual(["verified", "verified"]);
      const text = (await readBlob(again, back.image)).toString();
      expect(text).toBe(await asOci(plain, image));
    },
  );

  it("also has its plain layers and foreign layers converted", async () => {
    const [plain, encrypted, again] = [directory(), directory(), directory()];
    await createLayout(plain);
    const urls = ["https://elsewhere.example/"];
    const foreign = await layer("foreign", { mediaType: FOREIGN, urls, annotations: {} });
    const other = await layer("other", { mediaType: "application/vnd.example" });
    const image = await putDocker(plain, [foreign, await dockerLayer("a"), other]);
    await writeIndex(plain, [image]);

    const some = await encrypt(plain, encrypted, { layers: [1] });
    const { layers } = await readManifest(encrypted, some.image);
    expect(layers[0]).toEqual({ ...foreign.descriptor, mediaType: NONDISTRIBUTABLE });
    expect(layers[1]!.mediaType).toBe(`${TAR_GZIP}+encrypted`);
    expect(layers[2]).toEqual(other.descriptor);
    const back = await decrypt(encrypted, again);
    const text = (await readBlob(again, back.image)).toString();
    expect(text).toBe(await asOci(plain, image));

    const all = await encrypt(plain, directory(), { layers: [0] });
    expect(all.layers.map(({ before, after }) => [before.mediaType, after.mediaType])).toEqual([
      [FOREIGN, `${NONDISTRIBUTABLE}+encrypted`],
    ]);
  });

  it("loses its history when requested", async () => {
    const [plain, encrypted] = [directory(), directory()];
    await createLayout(plain);
    const one = await dockerLayer("a");
    const config = JSON.stringify({
      rootfs: { type: "layers", diff_ids: [one.diffId] },
      history: [{ created_by: "RUN secret" }],
    });
    const { descriptor } = await putManifest(plain, [one], {
      extra: { mediaType: DOCKER_MANIFEST },
      config: { mediaType: DOCKER_CONFIG, content: config },
    });
    await writeIndex(plain, [{ ...descriptor, mediaType: DOCKER_MANIFEST }]);
    const { image, warnings } = await encrypt(plain, encrypted, { redactHistory: true });
    expect(warnings).toContain(WARNING);
    const manifest = await readManifest(encrypted, image);
    expect(manifest.config.mediaType).toBe(CONFIG);
    expect((await readBlob(encrypted, manifest.config)).toString()).toContain('"history":[{}]');
  });

  it("that does not name its type gets no new member", async () => {
    const [plain, encrypted] = [directory(), directory()];
    await createLayout(plain);
    const { descriptor } = await putManifest(plain, [await dockerLayer("a")], {
      extra: { mediaType: undefined },
    });
    await writeIndex(plain, [{ ...descriptor, mediaType: DOCKER_MANIFEST }]);
    const { image } = await encrypt(plain, encrypted);
    expect(image.mediaType).toBe(MANIFEST);
    expect(await readManifest(encrypted, image as Entry)).not.toHaveProperty("mediaType");
  });

  it("is reported as plain, and not decrypted", async () => {
    const plain = await createLayout(directory());
    await writeIndex(plain, [await putDocker(plain, [await dockerLayer("a")])]);
    const report = await inspectImage(layoutSource({ path: plain }));
    expect(report.mediaType).toBe(DOCKER_MANIFEST);
    expect(report.manifests.map(({ layers }) => layers.map((each) => each.encrypted))).toEqual([
      [false],
    ]);
    await expectCode(decrypt(plain, directory()), "NOT_ENCRYPTED");
  });
});

describe("a manifest list of Docker's format", () => {
  it.each(STYLES)("becomes an index with all its manifests: %s", async (_, style) => {
    const [plain, encrypted, again] = [directory(), directory(), directory()];
    await createLayout(plain);
    const base = await dockerLayer("base");
    const amd64 = await putDocker(plain, [base, await dockerLayer("amd64")], style);
    const arm64 = await putDocker(plain, [base, await dockerLayer("arm64")], style);
    const entries = [forPlatform(amd64, "linux/amd64"), forPlatform(arm64, "linux/arm64/v8")];
    await writeIndex(plain, [await putList(plain, entries, style)]);

    const there = await encrypt(plain, encrypted, { platforms: ["linux/arm64"], layers: [1] });
    expect(there.warnings).toContain(WARNING);
    expect(there.image.mediaType).toBe(INDEX);
    const index = JSON.parse((await readBlob(encrypted, there.image)).toString()) as Entry;
    expect(index.mediaType).toBe(INDEX);
    const [first, second] = await readIndexEntries(encrypted, there.image);
    expect([first!.mediaType, second!.mediaType]).toEqual([MANIFEST, MANIFEST]);
    expect((await readBlob(encrypted, first!)).toString()).toBe(await asOci(plain, amd64));
    expect(first!.platform).toEqual(entries[0]!.platform);

    const back = await decrypt(encrypted, again);
    const decrypted = await readIndexEntries(again, back.image);
    const texts = decrypted.map(async (entry) => (await readBlob(again, entry)).toString());
    expect(await Promise.all(texts)).toEqual([
      await asOci(plain, amd64),
      await asOci(plain, arm64),
    ]);
  });
});

describe("an OCI index with a manifest of Docker's format", () => {
  it("is converted only if something is encrypted", async () => {
    const [plain, encrypted, again] = [directory(), directory(), directory()];
    await createLayout(plain);
    const docker = await putDocker(plain, [await dockerLayer("docker")]);
    const { descriptor: oci } = await putManifest(plain, [await dockerLayer("oci")]);
    const entries = [
      await putAttestation(plain, docker),
      forPlatform(docker, "linux/amd64"),
      forPlatform(oci, "linux/arm64"),
    ];
    await writeIndex(plain, [await putIndex(plain, entries)]);

    const some = await encrypt(plain, encrypted, { platforms: ["linux/amd64"] });
    const [attestation, converted, kept] = await readIndexEntries(encrypted, some.image);
    expect(converted!.mediaType).toBe(MANIFEST);
    expect(attestation!.annotations!["vnd.docker.reference.digest"]).toBe(converted!.digest);
    // An OCI manifest may have layers of Docker's types.
    expect(kept).toEqual(entries[2]);

    const mixed = await createLayout(directory());
    const { image } = await encrypt(plain, mixed, { platforms: ["linux/arm64"] });
    const [, plainDocker, secret] = await readIndexEntries(mixed, image);
    expect(plainDocker!.mediaType).toBe(MANIFEST);
    await putDocker(mixed, [await dockerLayer("docker")]);
    await writeIndex(mixed, [await putIndex(mixed, [entries[1]!, secret!])]);
    const back = await decrypt(mixed, again);
    const [untouched] = await readIndexEntries(again, back.image);
    expect(untouched).toEqual(entries[1]);
  });
});
