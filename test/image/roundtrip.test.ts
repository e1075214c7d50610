import { describe, expect, it } from "vitest";
import { jwe } from "../../src/keywrap/jwe/index.js";
import {
  compact,
  CONFIG,
  describedAs,
  digestOf,
  DOCKER_TAR_GZIP,
  EMPTY,
  layer,
  layerOf,
  layoutOf,
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
import { decrypt, encrypt } from "../support/operations.js";
import { vectorFile } from "../support/vectors.js";

const directory = temporaryDirectories();

const LAYER = "application/vnd.oci.image.layer";

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
    name: "slashes escaped where PHP does, but for the types of layers",
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
];

async function contents(path: string, image: Entry): Promise<string[]> {
  const { config, layers } = await readManifest(path, image);
  return Promise.all(
    [image, config, ...layers].map(async (entry) => digestOf(await readBlob(path, entry))),
  );
}

describe("encryption and decryption of an image", () => {
  it.each(IMAGES.map((image) => [image.name, image] as const))(
    "gives back the very manifest: %s",
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

      const back = await decrypt(encrypted, again);
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

  it.each(STYLES)("gives back the very index: %s", async (_, style) => {
    const [path, encrypted, again] = [directory(), directory(), directory()];
    const { index } = await multiPlatform(path, style);
    const there = await encrypt(path, encrypted);
    expect(there.image.digest).not.toBe(index.digest);
    const back = await decrypt(encrypted, again);
    expect(back.image).toEqual(index);
    expect(await readBlob(again, index)).toEqual(await readBlob(path, index));
    for (const entry of await readIndexEntries(path, index)) {
      expect(await contents(again, entry)).toEqual(await contents(path, entry));
    }
  });

  it("gives back indexes in an index, and entries without a platform", async () => {
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

    const back = await decrypt(encrypted, again);
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
      const back = await decrypt(encrypted, directory(), { keys });
      expect(back.image).toEqual(descriptor);
    }
  });

  it("makes OCI layers of Docker's", async () => {
    const docker = "application/vnd.docker.image.rootfs.diff.tar";
    const types = [docker, DOCKER_TAR_GZIP, `${docker}.zstd`];
    const layers = await Promise.all(types.map((mediaType) => layer("a", { mediaType })));
    const [plain, encrypted, again] = [directory(), directory(), directory()];
    await layoutOf(plain, layers);
    const there = await encrypt(plain, encrypted);
    const back = await decrypt(encrypted, again);
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
  it("gives Docker's types back where a peer encrypted them under those", async () => {
    const [plain, peers] = [directory(), directory()];
    await layoutOf(plain, [await layer("a")]);
    const there = await encrypt(plain, peers);
    const text = (await readBlob(peers, there.image)).toString();
    const types = text.replace(`${TAR_GZIP}+encrypted`, `${DOCKER_TAR_GZIP}+encrypted`);
    await writeIndex(peers, [await putText(peers, types)]);
    const back = await decrypt(peers, directory());
    expect(back.layers.map(({ after, diffId }) => [after.mediaType, diffId])).toEqual([
      [DOCKER_TAR_GZIP, "verified"],
    ]);
  });

  it("keeps the meaning where the type of a layer is written with escaped slashes", async () => {
    const [plain, encrypted, again] = [directory(), directory(), directory()];
    const style = (value: unknown): string => compact(value).replaceAll("/", "\\/");
    const { descriptor } = await layoutOf(plain, await some(2), { style });
    await encrypt(plain, encrypted);
    const back = await decrypt(encrypted, again);
    expect(await readManifest(again, back.image)).toEqual(await readManifest(plain, descriptor));
  });

  it("drops data and urls, which hold or point to the plain layer", async () => {
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
    const back = await decrypt(encrypted, again);
    expect((await readManifest(again, back.image)).layers).toEqual([
      first!.descriptor,
      { ...second!.descriptor, annotations: { a: "b" } },
    ]);
  });
});
