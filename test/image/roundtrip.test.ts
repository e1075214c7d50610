import { describe, expect, it } from "vitest";
import { decryptImage, encryptImage } from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Descriptor } from "../../src/spec/descriptor.js";
import { ARTIFACTS } from "../support/artifacts.js";
import { collect } from "../support/bytes.js";
import {
  compact,
  CONFIG,
  createLayout,
  describedAs,
  digestOf,
  DOCKER_MANIFEST,
  DOCKER_TAR_GZIP,
  EMPTY,
  forPlatform,
  HAS_ZSTD,
  INDEX,
  layer,
  layerOf,
  layoutOf,
  MANIFEST,
  multiPlatform,
  putIndex,
  putManifest,
  putText,
  readBlob,
  readEntries,
  readIndexEntries,
  readManifest,
  STYLES,
  TAR,
  TAR_GZIP,
  TAR_ZSTD,
  temporaryDirectories,
  writeIndex,
  type Entry,
  type Layer,
  type ManifestOptions,
} from "../support/image.js";
import { openKey, plainRecipient } from "../support/layers.js";
import { decrypt, encrypt } from "../support/operations.js";
import { isDocument, partsOf, PLACES, type Place } from "../support/places.js";
import { vectorFile } from "../support/vectors.js";

const directory = temporaryDirectories();

const LAYER = "application/vnd.oci.image.layer";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";

/** Node.js before 22.15 cannot check zstd layers. */
const LENIENT = { allowUnverified: !HAS_ZSTD };

interface Image {
  name: string;
  layers: () => Promise<Layer[]>;
  options?: ManifestOptions;
}

async function some(count: number): Promise<Layer[]> {
  return Promise.all(Array.from({ length: count }, (_, i) => layer(`file-${String(i)}`)));
}

async function describedLayers(...members: readonly Partial<Entry>[]): Promise<Layer[]> {
  const plain = await some(members.length);
  return plain.map((each, i) => describedAs(each, members[i]!));
}

const emptyConfig = { mediaType: EMPTY, content: "{}" };

const IMAGES: readonly Image[] = [
  ...STYLES.map(([name, style]) => ({
    name: `a manifest ${name}`,
    layers: () =>
      describedLayers({}, { annotations: { "com.example/a": "b" } }, { annotations: {} }),
    options: { style, extra: { annotations: { "com.example": "é\u2028\u{1f600}" } } },
  })),
  {
    name: "slashes escaped where PHP does, except in the types of layers",
    layers: () => describedLayers({ annotations: { "a/b": "c/d" } }, {}),
    options: {
      style: (value) =>
        compact(value)
          .replaceAll("/", "\\/")
          .replaceAll("application\\/vnd.oci.image.layer", LAYER),
      extra: { subject: null, "x/y": ["/", { "/": "\\/" }] },
    },
  },
  {
    name: "unknown members everywhere",
    layers: () =>
      describedLayers(
        { artifactType: "a/b", platform: { os: "linux", architecture: "x" }, x: [1, { y: null }] },
        { annotations: { "": "", " ": " ", "\u0000": "\\", 'quote"': '"' }, "": 1e21, z: -0.5 },
        { "annotations ": {}, annotations2: [[]], "digest\t": "sha256:" },
      ),
    options: { extra: { annotations: {}, "x-y": [[], {}, [{}]], artifactType: "a/b" } },
  },
  {
    name: "members named like those of Object.prototype",
    layers: () =>
      describedLayers(
        { annotations: JSON.parse('{"__proto__":"a","constructor":"b","toString":"c"}') as never },
        JSON.parse('{"__proto__":{"annotations":{"a":"b"}},"constructor":1}') as never,
        { annotations: JSON.parse('{"__proto__":""}') as never },
      ),
    options: { extra: JSON.parse('{"__proto__":{"layers":[]}}') as never },
  },
  {
    name: "members in another order",
    layers: () =>
      describedLayers({}).then((layers) =>
        layers.map(({ descriptor: { mediaType, digest, size }, ...rest }) => ({
          ...rest,
          descriptor: { annotations: { a: "b" }, size, digest, mediaType },
        })),
      ),
  },
  {
    name: "annotations that are null",
    layers: () =>
      describedLayers(
        { annotations: { a: null } as never },
        { annotations: { a: "b", c: null } as never },
        { platform: { os: null, architecture: null } },
      ),
  },
  { name: "only empty annotations", layers: () => describedLayers({ annotations: {} }) },
  { name: "uncompressed layers", layers: async () => [await layer("a", { mediaType: TAR })] },
  { name: "zstd layers", layers: async () => [await layer("a", { mediaType: TAR_ZSTD })] },
  {
    name: "a layer of no bytes",
    layers: () => Promise.resolve([layerOf(Buffer.alloc(0), { mediaType: TAR })]),
  },
  {
    name: "a layer of many parts",
    layers: () => Promise.resolve([layerOf(Buffer.alloc(1_000_001, "tar"), { mediaType: TAR })]),
  },
  {
    name: "one layer twice",
    layers: async () => {
      const [once, other] = await some(2);
      return [once!, other!, once!, describedAs(once!, { annotations: { twin: "yes" } })];
    },
  },
  {
    name: "nondistributable layers",
    layers: () =>
      describedLayers({
        mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
      }),
  },
  {
    name: "an artifact with the empty config",
    layers: async () => [
      await layer("a", { mediaType: "application/vnd.example.model" }),
      layerOf(Buffer.from("{}"), { mediaType: EMPTY }),
    ],
    options: { config: emptyConfig, extra: { artifactType: "application/vnd.example" } },
  },
  {
    name: "an image config without rootfs",
    layers: () => some(1),
    options: { config: { mediaType: CONFIG, content: "{}" } },
  },
  { name: "more layers than work at once", layers: () => some(11) },
  ...ARTIFACTS.map(({ name, layers, options }) => ({
    name,
    layers: () => Promise.resolve([...layers]),
    options,
  })),
];

async function contents(path: string, image: Entry): Promise<string[]> {
  const { config, layers } = await readManifest(path, image);
  return Promise.all(
    [image, config, ...layers].map(async (entry) => digestOf(await readBlob(path, entry))),
  );
}

describe("encryption and decryption of an image", () => {
  it.each(IMAGES.map((image) => [image.name, image] as const))(
    "restores the same manifest: %s",
    async (_, { layers, options }) => {
      const [plain, encrypted, again] = [directory(), directory(), directory()];
      const { descriptor, text, ...stored } = await layoutOf(plain, await layers(), options);

      const there = await encrypt(plain, encrypted);
      expect(there.image.digest).not.toBe(descriptor.digest);
      const manifest = await readManifest(encrypted, there.image);
      expect(manifest.layers.map(({ mediaType }) => mediaType)).toEqual(
        stored.layers.map((each) => `${each.descriptor.mediaType}+encrypted`),
      );
      const secret = stored.layers.filter(({ blob }) => blob.byteLength > "{}".length);
      for (const { descriptor: before } of secret) {
        await expect(readBlob(encrypted, before)).rejects.toThrow("ENOENT");
      }

      const back = await decrypt(encrypted, again, LENIENT);
      expect(back.image).toEqual(descriptor);
      expect((await readBlob(again, back.image)).toString()).toBe(text);
      expect(await readEntries(again)).toEqual([descriptor]);
      const { config } = await readManifest(plain, descriptor);
      expect(await contents(again, descriptor)).toEqual([
        descriptor.digest,
        config.digest,
        ...stored.layers.map((each) => each.descriptor.digest),
      ]);
    },
  );

  it.each(STYLES)("restores the same index: %s", async (_, style) => {
    const [path, encrypted, again] = [directory(), directory(), directory()];
    const { index } = await multiPlatform(path, style);
    const there = await encrypt(path, encrypted);
    expect(there.image.digest).not.toBe(index.digest);
    const back = await decrypt(encrypted, again, LENIENT);
    expect(back.image).toEqual(index);
    expect(await readBlob(again, index)).toEqual(await readBlob(path, index));
    for (const entry of await readIndexEntries(path, index)) {
      expect(await contents(again, entry)).toEqual(await contents(path, entry));
    }
  });

  it("restores indexes in an index, and entries without a platform", async () => {
    const [path, encrypted, again] = [directory(), directory(), directory()];
    const { index, amd64 } = await multiPlatform(path);
    const bare = await putManifest(path, [await layer("bare")]);
    const inner = await putIndex(path, [bare.descriptor, index]);
    const entries = [bare.descriptor, { ...inner, annotations: {} }, amd64.descriptor];
    const outer = await putIndex(path, entries);
    await writeIndex(path, [outer]);

    const there = await encrypt(path, encrypted);
    expect(there.layers.map(({ platform }) => platform)).toEqual([
      ...["-", "-", "linux/amd64", "linux/amd64", "linux/arm64/v8", "linux/arm64/v8", "-", "-"],
    ]);
    expect(new Set(there.layers.map(({ after }) => after.digest)).size).toBe(4);
    const [first, middle, last] = await readIndexEntries(encrypted, there.image);
    const [innerFirst, innerIndex] = await readIndexEntries(encrypted, middle!);
    expect(innerFirst!.digest).toBe(first!.digest);
    const platforms = await readIndexEntries(encrypted, innerIndex!);
    expect(platforms[1]!.digest).toBe(last!.digest);
    for (const entry of [first, middle, innerIndex]) expect(entry).not.toHaveProperty("platform");

    const back = await decrypt(encrypted, again, LENIENT);
    expect(back.image).toEqual(outer);
    for (const entry of [outer, inner, index, bare.descriptor, amd64.descriptor]) {
      expect(await readBlob(again, entry)).toEqual(await readBlob(path, entry));
    }
  });

  it("works with sealed keys", async () => {
    const plain = directory();
    const { descriptor } = await layoutOf(plain, await some(2));
    const encrypted = directory();
    await encrypt(plain, encrypted, {
      recipients: [
        jwe.recipient(vectorFile("keys/ec-p256.pub.pem")),
        jwe.recipient(vectorFile("keys/rsa-2048.pub.jwk")),
      ],
    });
    for (const file of ["keys/ec-p256.jwk", "keys/rsa-2048.pem"]) {
      const keys = [jwe.key(vectorFile(file))];
      const back = await decrypt(encrypted, directory(), { keys, ...LENIENT });
      expect(back.image).toEqual(descriptor);
    }
  });

  it("converts Docker's layers to OCI layers", async () => {
    const docker = "application/vnd.docker.image.rootfs.diff.tar";
    const types = [docker, DOCKER_TAR_GZIP, `${docker}.zstd`];
    const layers = await Promise.all(types.map((mediaType) => layer("a", { mediaType })));
    const [plain, encrypted, again] = [directory(), directory(), directory()];
    await layoutOf(plain, layers);
    const there = await encrypt(plain, encrypted);
    const back = await decrypt(encrypted, again, LENIENT);
    const typesOf = async (path: string, image: Entry): Promise<string[]> =>
      (await readManifest(path, image)).layers.map(({ mediaType }) => mediaType);
    const oci = [TAR, TAR_GZIP, TAR_ZSTD];
    expect(await typesOf(encrypted, there.image as never)).toEqual(
      oci.map((type) => `${type}+encrypted`),
    );
    expect(await typesOf(again, back.image as never)).toEqual(oci);
    expect(back.layers.map(({ after }) => after.digest)).toEqual(
      layers.map(({ descriptor }) => descriptor.digest),
    );
  });

  // c/image writes these types into OCI manifests.
  it("restores Docker's types if a peer encrypted them under these types", async () => {
    const [plain, peers] = [directory(), directory()];
    await layoutOf(plain, [await layer("a")]);
    const there = await encrypt(plain, peers);
    const text = (await readBlob(peers, there.image)).toString();
    const types = text.replace(`${TAR_GZIP}+encrypted`, `${DOCKER_TAR_GZIP}+encrypted`);
    await writeIndex(peers, [await putText(peers, types)]);
    const back = await decrypt(peers, directory(), LENIENT);
    expect(back.layers.map(({ after, diffId }) => [after.mediaType, diffId])).toEqual([
      [DOCKER_TAR_GZIP, "verified"],
    ]);
  });

  it("supports media types that are written with escaped slashes", async () => {
    const [plain, encrypted, again] = [directory(), directory(), directory()];
    const style = (value: unknown): string => compact(value).replaceAll("/", "\\/");
    const { descriptor } = await layoutOf(plain, await some(2), { style });
    await encrypt(plain, encrypted);
    const back = await decrypt(encrypted, again, LENIENT);
    expect(await readManifest(again, back.image)).toEqual(await readManifest(plain, descriptor));
  });

  it("removes data and urls, which contain the plain layer or point to it", async () => {
    const [plain, encrypted, again] = [directory(), directory(), directory()];
    const [first, second] = await some(2);
    const layers = [
      describedAs(first!, { data: first!.blob.toString("base64"), urls: ["https://a.example/"] }),
      describedAs(second!, { urls: [], annotations: { a: "b" } }),
    ];
    await layoutOf(plain, layers);
    const there = await encrypt(plain, encrypted);
    const text = (await readBlob(encrypted, there.image)).toString();
    expect(text).not.toContain(first!.blob.toString("base64"));
    expect(text).not.toContain("a.example");
    const back = await decrypt(encrypted, again, LENIENT);
    expect((await readManifest(again, back.image)).layers).toEqual([
      first!.descriptor,
      { ...second!.descriptor, annotations: { a: "b" } },
    ]);
  });
});

/** Makes a layout with one image, and returns the descriptor of that. */
type Make = (path: string) => Promise<Entry>;

const of =
  (layers: () => Promise<readonly Layer[]> | readonly Layer[], options?: ManifestOptions): Make =>
  async (path) =>
    (await layoutOf(path, await layers(), options)).descriptor;

const EVERYWHERE: readonly (readonly [string, Make])[] = [
  ["platforms with attestations", async (path) => (await multiPlatform(path)).index],
  ["an uncompressed layer", of(async () => [await layer("a", { mediaType: TAR })])],
  ["a zstd layer", of(async () => [await layer("a", { mediaType: TAR_ZSTD })])],
  ["a platform without layers", oneWithoutLayers],
  ...ARTIFACTS.map(({ name, layers, options }) => [name, of(() => layers, options)] as const),
];

/** An index of two platforms; one has nothing to encrypt. */
async function oneWithoutLayers(path: string): Promise<Entry> {
  await createLayout(path);
  const bare = await putManifest(path, []);
  const full = await putManifest(path, [await layer("a")]);
  const index = await putIndex(path, [
    forPlatform(bare.descriptor, "linux/amd64"),
    forPlatform(full.descriptor, "linux/arm64"),
  ]);
  await writeIndex(path, [index]);
  return index;
}

const recipients = [plainRecipient()];
const keys = [openKey()];

interface Part {
  mediaType: string;
  digest: string;
}

/** All that an image consists of, read from a place, with true digests and in order. */
async function wholeOf(place: Place): Promise<Part[]> {
  const source = place.source();
  const found: Part[] = [];
  async function visit(descriptor: Descriptor): Promise<void> {
    const { mediaType } = descriptor;
    const bytes = await collect(source.read(descriptor));
    found.push({ mediaType, digest: digestOf(bytes) });
    for (const part of partsOf(mediaType, bytes)) await visit(part);
  }
  await visit(await source.resolve());
  return found;
}

describe.each(Object.entries(PLACES))("from %s to another and back", (_, kind) => {
  it.each(EVERYWHERE)("all digests are restored: %s", async (_, make) => {
    const layout = directory();
    const descriptor = await make(layout);
    const plain = await kind.of(layout, directory());
    const [encrypted, again] = [await kind.empty(directory()), await kind.empty(directory())];
    const there = await encryptImage(plain.source(), await encrypted.destination(), { recipients });
    expect(there.image.digest).not.toBe(descriptor.digest);
    const found = new Set((await wholeOf(encrypted)).map(({ digest }) => digest));
    for (const { before, after } of there.layers) {
      expect(found).not.toContain(before.digest);
      expect(found).toContain(after.digest);
    }
    const back = await decryptImage(encrypted.source(), await again.destination(), {
      keys,
      ...LENIENT,
    });
    expect(back.image.digest).toBe(descriptor.digest);
    expect(await wholeOf(again)).toEqual(await wholeOf(plain));
  });

  it("layers with the same digest are encrypted once and stay one blob", async () => {
    const layout = directory();
    const [once, other] = await some(2);
    const twice = describedAs(once!, { annotations: { twin: "yes" } });
    const { descriptor } = await layoutOf(layout, [once!, other!, twice]);
    const plain = await kind.of(layout, directory());
    const [encrypted, again] = [await kind.empty(directory()), await kind.empty(directory())];
    const there = await encryptImage(plain.source(), await encrypted.destination(), { recipients });
    const [first, second, third] = there.layers.map(({ after }) => after.digest);
    expect(third).toBe(first);
    expect(second).not.toBe(first);
    const back = await decryptImage(encrypted.source(), await again.destination(), {
      keys,
      ...LENIENT,
    });
    expect(back.image.digest).toBe(descriptor.digest);
  });

  // Docker's format cannot contain encrypted layers, so its digests cannot be restored.
  it("images of Docker's format are restored as OCI images with the same blobs", async () => {
    const layout = await createLayout(directory());
    const inDocker = { mediaType: DOCKER_TAR_GZIP };
    const base = await layer("base", inDocker);
    const entries: Entry[] = [];
    for (const name of ["amd64", "arm64"]) {
      const layers = [base, await layer(name, inDocker)];
      const diffs = { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) };
      const { descriptor } = await putManifest(layout, layers, {
        extra: { mediaType: DOCKER_MANIFEST },
        config: { mediaType: DOCKER_CONFIG, content: compact({ name, rootfs: diffs }) },
      });
      entries.push(forPlatform({ ...descriptor, mediaType: DOCKER_MANIFEST }, `linux/${name}`));
    }
    const list = { schemaVersion: 2, mediaType: DOCKER_LIST, manifests: entries };
    await writeIndex(layout, [await putText(layout, compact(list), DOCKER_LIST)]);

    const plain = await kind.of(layout, directory());
    const [encrypted, again] = [await kind.empty(directory()), await kind.empty(directory())];
    const there = await encryptImage(plain.source(), await encrypted.destination(), { recipients });
    expect(there.warnings.some((text) => text.startsWith("converted from Docker's format"))).toBe(
      true,
    );
    await decryptImage(encrypted.source(), await again.destination(), { keys, ...LENIENT });
    const [before, after] = [await wholeOf(plain), await wholeOf(again)];
    const oci: Record<string, string> = {
      ...{ [DOCKER_LIST]: INDEX, [DOCKER_MANIFEST]: MANIFEST },
      ...{ [DOCKER_CONFIG]: CONFIG, [DOCKER_TAR_GZIP]: TAR_GZIP },
    };
    expect(after.map(({ mediaType }) => mediaType)).toEqual(
      before.map(({ mediaType }) => oci[mediaType]),
    );
    const blobs = (parts: readonly Part[]): string[] =>
      parts.filter(({ mediaType }) => !isDocument(mediaType)).map(({ digest }) => digest);
    expect(blobs(before)).toHaveLength(6);
    expect(blobs(after)).toEqual(blobs(before));
  });
});
