import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import {
  encryptImage,
  type EncryptImageOptions,
  type EncryptImageResult,
} from "../../../src/image/encrypt.js";
import { OcicryptError } from "../../../src/errors.js";
import { isEncryptedDescriptor } from "../../../src/spec/descriptor.js";
import { layoutDestination } from "../../../src/store/layout/destination.js";
import { layoutSource } from "../../../src/store/layout/source.js";
import type { ImageSource } from "../../../src/store/types.js";
import { expectCode } from "../../support/codes.js";
import {
  CONFIG,
  createLayout,
  describedAs,
  digestOf,
  DOCKER_MANIFEST,
  DOCKER_TAR_GZIP,
  EMPTY,
  forPlatform,
  INDEX,
  layer,
  layoutOf,
  MANIFEST,
  putBlob,
  putIndex,
  putManifest,
  putText,
  readBlob,
  readIndexEntries,
  readManifest,
  snapshot,
  temporaryDirectories,
  writeIndex,
  type Entry,
  type Layer,
  type ManifestOptions,
} from "../../support/image.js";
import { plainRecipient } from "../../support/layers.js";
import { decrypt, encrypt } from "../../support/operations.js";

const directory = temporaryDirectories();
const BASE_DIGEST = "org.opencontainers.image.base.digest";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";

async function some(...names: string[]): Promise<Layer[]> {
  return Promise.all(names.map((name) => layer(name)));
}

/** An image in a layout of its own. */
async function image(layers: readonly Layer[], options?: ManifestOptions): Promise<string> {
  const path = directory();
  await layoutOf(path, layers, options);
  return path;
}

async function encryptedLayers(path: string, entry: { digest: string }): Promise<number[]> {
  const { layers } = await readManifest(path, entry);
  return layers.flatMap((each, i) => (isEncryptedDescriptor(each) ? [i] : []));
}

/** Encrypts an image into a new place, and says which layers are encrypted there. */
async function skipping(
  path: string,
  skipBase: EncryptImageOptions["skipBase"],
  options: Partial<EncryptImageOptions> = {},
): Promise<EncryptImageResult & { encrypted: number[]; path: string }> {
  const destination = directory();
  const result = await encrypt(path, destination, { skipBase, ...options });
  const encrypted = await encryptedLayers(destination, result.image);
  return { ...result, encrypted, path: destination };
}

/** The same tar compressed in another way: other bytes, the same diffID. */
function recompressed(from: Layer, plain: Buffer): Layer {
  const blob = gzipSync(plain, { level: 1, memLevel: 1 });
  const padded = Buffer.concat([blob, gzipSync(Buffer.alloc(0))]);
  return {
    ...from,
    blob: padded,
    descriptor: { ...from.descriptor, digest: digestOf(padded), size: padded.byteLength },
  };
}

async function refuse(
  path: string,
  skipBase: EncryptImageOptions["skipBase"],
  code: "BASE_NOT_FOUND" | "BASE_MISMATCH" | "NOTHING_SELECTED" | "BLOB_DIGEST_MISMATCH",
  options: Partial<EncryptImageOptions> = {},
): Promise<OcicryptError> {
  const parent = directory();
  const error = await expectCode(encrypt(path, `${parent}/new`, { skipBase, ...options }), code);
  expect(await snapshot(parent)).toEqual({});
  return error;
}

describe("a base image that is given", () => {
  it("keeps its layers plain, and decryption restores the image", async () => {
    const [one, two, three, four] = await some("1", "2", "3", "4");
    const base = await image([one!, two!]);
    const app = await image([one!, two!, three!, four!]);
    const result = await skipping(app, layoutSource({ path: base }));
    expect(result.encrypted).toEqual([2, 3]);
    const { digest } = (await layoutSource({ path: base }).resolve());
    expect(result.base).toEqual([{ platform: "-", digest, layers: 2, of: 2 }]);
    expect(result.warnings).toEqual([]);
    const decrypted = await decrypt(result.path, directory());
    expect(decrypted.image).toEqual(await layoutSource({ path: app }).resolve());
  }); // prettier-ignore

  it("warns if the image does not have all its layers", async () => {
    const [one, two, three, four] = await some("1", "2", "3", "4");
    const base = layoutSource({ path: await image([one!, two!, three!]) });
    const result = await skipping(await image([one!, four!, three!]), base);
    // The third layer is not at its place behind the same layers, so it is not the base's.
    expect(result.encrypted).toEqual([1, 2]);
    expect(result.base).toEqual([expect.objectContaining({ layers: 1, of: 3 })]);
    expect(result.warnings).toEqual([expect.stringContaining("only 1 of the 3 layers")]);
  });

  it("is found by its diffIDs if layers were compressed again", async () => {
    const [one, two, three] = await some("1", "2", "3");
    const again = recompressed(two!, gunzipSync(two!.blob));
    expect(again.descriptor.digest).not.toBe(two!.descriptor.digest);
    const base = layoutSource({ path: await image([one!, again]) });
    const result = await skipping(await image([one!, two!, three!]), base);
    expect(result.encrypted).toEqual([2]);
  });

  it.each<[string, ManifestOptions]>([
    ["no diffIDs", { config: { mediaType: CONFIG, content: "{}" } }],
    ["too few diffIDs", { config: { mediaType: CONFIG, content: '{"rootfs":{"diff_ids":[]}}' } }],
    ["the config of an artifact", { config: { mediaType: EMPTY, content: "{}" } }],
  ])("with %s is found by its digests alone", async (_, options) => {
    const [one, two, three] = await some("1", "2", "3");
    const again = recompressed(two!, gunzipSync(two!.blob));
    const base = layoutSource({ path: await image([one!, again], options) });
    const result = await skipping(await image([one!, two!, three!]), base);
    expect(result.encrypted).toEqual([1, 2]);
  });

  it("leaves no layer plain that it encrypts", async () => {
    const [one, two, three] = await some("1", "2", "3");
    const base = directory();
    await encrypt(await image([one!, two!]), base, { layers: [1] });
    const app = await image([one!, two!, three!]);
    const result = await skipping(app, layoutSource({ path: base }));
    expect(result.encrypted).toEqual([1, 2]);
  });

  it("may contain encrypted layers that the image shares", async () => {
    const [one, two] = await some("1", "2");
    const base = directory();
    const { image: entry } = await encrypt(await image([one!]), base);
    const [encrypted] = (await readManifest(base, entry)).layers;
    const app = await createLayout(directory());
    const blob = { ...one!, descriptor: encrypted! };
    blob.blob = await readBlob(base, encrypted!);
    await writeIndex(app, [(await putManifest(app, [blob, two!])).descriptor]);
    await expectCode(encrypt(app, directory()), "ALREADY_ENCRYPTED");
    const result = await skipping(app, layoutSource({ path: base }));
    expect(result.layers.map(({ index }) => index)).toEqual([1]);
    expect(result.encrypted).toEqual([0, 1]);
  });

  it("may have Docker's format, with or without an index", async () => {
    const [one, two] = await some("1", "2");
    for (const withList of [false, true]) {
      const path = await createLayout(directory());
      const docker = describedAs(one!, { mediaType: DOCKER_TAR_GZIP });
      const { descriptor } = await putManifest(path, [docker], {
        extra: { mediaType: DOCKER_MANIFEST },
      });
      const entry = { ...descriptor, mediaType: DOCKER_MANIFEST };
      const list = {
        schemaVersion: 2,
        mediaType: DOCKER_LIST,
        manifests: [forPlatform(entry, "linux/amd64")],
      };
      const root = withList ? await putText(path, JSON.stringify(list), DOCKER_LIST) : entry;
      await writeIndex(path, [root]);
      const result = await skipping(await image([one!, two!]), layoutSource({ path }));
      expect(result.encrypted).toEqual([1]);
    }
  });

  it("is that of each platform", async () => {
    const [a, b, c, d] = await some("a", "b", "c", "d");
    const base = await createLayout(directory());
    const amd64Base = await putManifest(base, [a!]);
    const arm64Base = await putManifest(base, [b!, c!]);
    const entries = [
      // The first entry has the layers of the other platform.
      forPlatform(arm64Base.descriptor, "linux/arm64/v8"),
      forPlatform(amd64Base.descriptor, "linux/amd64"),
    ];
    await writeIndex(base, [await putIndex(base, entries)]);
    const app = await createLayout(directory());
    const amd64 = await putManifest(app, [a!, c!]);
    const arm64 = await putManifest(app, [b!, c!, d!]);
    const index = await putIndex(app, [
      forPlatform(amd64.descriptor, "linux/amd64"),
      forPlatform(arm64.descriptor, "linux/arm64"),
    ]);
    await writeIndex(app, [index]);
    const destination = directory();
    const result = await encrypt(app, destination, { skipBase: layoutSource({ path: base }) });
    const found = await readIndexEntries(destination, result.image);
    expect(await Promise.all(found.map((each) => encryptedLayers(destination, each)))).toEqual([
      [1],
      // Layer 1 belongs to the base image of this platform, but not of the other platform.
      [1, 2],
    ]);
    expect(result.base).toEqual([
      { platform: "linux/amd64", digest: amd64Base.descriptor.digest, layers: 1, of: 1 },
      { platform: "linux/arm64", digest: arm64Base.descriptor.digest, layers: 2, of: 2 },
    ]);
    expect(result.warnings).toEqual([expect.stringContaining(c!.descriptor.digest)]);
  });

  it("is one variant if there are several", async () => {
    const [a, b, c] = await some("a", "b", "c");
    const base = await createLayout(directory());
    const entries = [
      forPlatform((await putManifest(base, [a!])).descriptor, "linux/arm/v6"),
      forPlatform((await putManifest(base, [b!])).descriptor, "linux/arm/v7"),
    ];
    await writeIndex(base, [await putIndex(base, entries)]);
    const app = await createLayout(directory());
    const own = await putManifest(app, [b!, c!]);
    await writeIndex(app, [await putIndex(app, [forPlatform(own.descriptor, "linux/arm/v7")])]);
    const result = await encrypt(app, directory(), { skipBase: layoutSource({ path: base }) });
    expect(result.layers.map(({ index }) => index)).toEqual([1]);
  });

  it("is the exact variant rather than one without", async () => {
    const [a, b, c] = await some("a", "b", "c");
    const base = await createLayout(directory());
    const entries = [
      forPlatform((await putManifest(base, [a!])).descriptor, "linux/arm"),
      forPlatform((await putManifest(base, [b!])).descriptor, "linux/arm/v7"),
    ];
    await writeIndex(base, [await putIndex(base, entries)]);
    const app = await createLayout(directory());
    const own = await putManifest(app, [b!, c!]);
    await writeIndex(app, [await putIndex(app, [forPlatform(own.descriptor, "linux/arm/v7")])]);
    const result = await encrypt(app, directory(), { skipBase: layoutSource({ path: base }) });
    expect(result.layers.map(({ index }) => index)).toEqual([1]);
  });

  it("fails if it has no such platform", async () => {
    const [a, b] = await some("a", "b");
    const base = await createLayout(directory());
    const { descriptor } = await putManifest(base, [a!]);
    await writeIndex(base, [await putIndex(base, [forPlatform(descriptor, "linux/s390x")])]);
    const app = await image([a!, b!]);
    const error = await refuse(app, layoutSource({ path: base }), "BASE_MISMATCH");
    expect(error.message).toContain("linux/amd64");
    const unknown = { config: { mediaType: CONFIG, content: "{}" } };
    await refuse(await image([a!, b!], unknown), layoutSource({ path: base }), "BASE_MISMATCH");
  });

  it.each([
    ["another image", ["x", "y"]],
    ["an image with the layers in another order", ["b", "a"]],
    ["an image without layers", []],
  ])("fails if it is %s", async (_, names) => {
    const base = layoutSource({ path: await image(await some(...names)) });
    await refuse(await image(await some("a", "b")), base, "BASE_MISMATCH");
  });

  it("fails if the image has no other layers", async () => {
    const layers = await some("a", "b");
    const base = layoutSource({ path: await image(layers) });
    await refuse(await image(layers), base, "NOTHING_SELECTED");
  });

  it("fails if one of its layers is selected", async () => {
    const [a, b, c] = await some("a", "b", "c");
    const base = layoutSource({ path: await image([a!, b!]) });
    const app = await image([a!, b!, c!]);
    await refuse(app, base, "NOTHING_SELECTED", { layers: [1, 2] });
    expect((await skipping(app, base, { layers: [-1] })).encrypted).toEqual([2]);
  });

  it("that is nested without end fails", async () => {
    const path = await createLayout(directory());
    let entry = forPlatform((await putManifest(path, await some("a"))).descriptor, "linux/amd64");
    for (let i = 0; i < 3; i++) {
      entry = forPlatform(await putIndex(path, [entry]), "linux/amd64");
    }
    await writeIndex(path, [entry]);
    await refuse(await image(await some("a", "b")), layoutSource({ path }), "BASE_MISMATCH");
  });
});

describe("a base image that the image names", () => {
  /** A layout of an image that names a base, with whatever else is put into it. */
  async function named(
    put: (path: string) => Promise<{ digest: string }>,
    layers: readonly Layer[],
    mark: (digest: string) => ManifestOptions = (digest) => ({
      extra: { annotations: { [BASE_DIGEST]: digest } },
    }),
  ): Promise<string> {
    const path = await createLayout(directory());
    const { digest } = await put(path);
    await writeIndex(path, [(await putManifest(path, layers, mark(digest))).descriptor]);
    return path;
  }

  it("is found next to the image, as a manifest", async () => {
    const [a, b] = await some("a", "b");
    const put = async (path: string): Promise<Entry> => (await putManifest(path, [a!])).descriptor;
    const result = await skipping(await named(put, [a!, b!]), true);
    expect(result.encrypted).toEqual([1]);
  });

  it("is found as an index, with or without its own media type", async () => {
    const [a, b] = await some("a", "b");
    for (const mediaType of [INDEX, undefined]) {
      const put = async (path: string): Promise<Entry> => {
        const { descriptor } = await putManifest(path, [a!]);
        const manifests = [forPlatform(descriptor, "linux/amd64")];
        return putText(path, JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
      };
      expect((await skipping(await named(put, [a!, b!]), true)).encrypted).toEqual([1]);
    }
  });

  it("may be named in the entry of an index", async () => {
    const [a, b] = await some("a", "b");
    const path = await createLayout(directory());
    const base = await putManifest(path, [a!]);
    const { descriptor } = await putManifest(path, [a!, b!]);
    const annotations = { [BASE_DIGEST]: base.descriptor.digest };
    const entry = { ...forPlatform(descriptor, "linux/amd64"), annotations };
    await writeIndex(path, [await putIndex(path, [entry])]);
    const { layers } = await encrypt(path, directory(), { skipBase: true });
    expect(layers.map(({ index }) => index)).toEqual([1]);
  });

  it("is requested with each media type, as registries require", async () => {
    const [a, b] = await some("a", "b");
    const put = async (path: string): Promise<Entry> => {
      const { descriptor } = await putManifest(path, [a!]);
      return putIndex(path, [forPlatform(descriptor, "linux/amd64")]);
    };
    const path = await named(put, [a!, b!]);
    const inner = layoutSource({ path });
    const asked: string[] = [];
    const strict = (real: string): ImageSource => ({
      resolve: () => inner.resolve(),
      read(descriptor, options) {
        const { mediaType, size } = descriptor;
        if (size === 4 * 1024 * 1024) {
          asked.push(mediaType);
          if (mediaType !== real) throw new OcicryptError("REGISTRY_INVALID_RESPONSE", "type");
        }
        return inner.read(descriptor, options);
      },
    });
    const options = { recipients: [plainRecipient()], skipBase: true };
    const to = await layoutDestination({ path: directory() });
    const { layers } = await encryptImage(strict(INDEX), to, options);
    expect(layers.map(({ index }) => index)).toEqual([1]);
    expect(asked).toEqual([MANIFEST, INDEX]);
    const other = await layoutDestination({ path: directory() });
    const error = encryptImage(strict("none"), other, options);
    await expectCode(error, "REGISTRY_INVALID_RESPONSE");
  });

  it.each<[string, (digest: string) => Record<string, unknown>]>([
    ["no annotations", () => ({})],
    ["annotations of others", () => ({ annotations: { a: "b" } })],
    ["no digest in it", () => ({ annotations: { [BASE_DIGEST]: "latest" } })],
    ["a path in it", () => ({ annotations: { [BASE_DIGEST]: "sha256:../../etc/passwd" } })],
    ["nothing in it", () => ({ annotations: { [BASE_DIGEST]: "" } })],
    ["the digest of what is elsewhere", () => ({ annotations: { [BASE_DIGEST]: digestOf("x") } })],
  ])("fails with %s", async (_, extra) => {
    const [a, b] = await some("a", "b");
    const put = async (path: string): Promise<Entry> => (await putManifest(path, [a!])).descriptor;
    const path = await named(put, [a!, b!], (digest) => ({ extra: extra(digest) }));
    await refuse(path, true, "BASE_NOT_FOUND");
  });

  it("fails if it has no end", async () => {
    const [a, b] = await some("a", "b");
    const put = (): Promise<{ digest: string }> => Promise.resolve({ digest: digestOf("endless") });
    const inner = layoutSource({ path: await named(put, [a!, b!]) });
    const source: ImageSource = {
      resolve: () => inner.resolve(),
      async *read(descriptor, options) {
        const isEndless = descriptor.digest === digestOf("endless");
        while (isEndless) yield Buffer.alloc(64 * 1024);
        yield* inner.read(descriptor, options);
      },
    };
    const to = await layoutDestination({ path: directory() });
    const options = { recipients: [plainRecipient()], skipBase: true };
    await expectCode(encryptImage(source, to, options), "MANIFEST_TOO_LARGE");
  });

  it("fails if it does not match its digest", async () => {
    const [a, b] = await some("a", "b");
    const put = async (path: string): Promise<{ digest: string }> => {
      const { text } = await putManifest(path, [a!]);
      return putBlob(path, `${text} `, digestOf("something else"));
    };
    await refuse(await named(put, [a!, b!]), true, "BLOB_DIGEST_MISMATCH");
  });
});
