import { mkdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import { encryptImage } from "../../src/image/index.js";
import { expectCode } from "../support/codes.js";
import {
  blobFile,
  compact,
  CONFIG,
  createLayout,
  digestOf,
  DOCKER_MANIFEST,
  forPlatform,
  imageConfig,
  INDEX,
  layer,
  layerOf,
  layoutOf,
  MANIFEST,
  putBlob,
  putIndex,
  putManifest,
  putText,
  readEntries,
  readManifest,
  snapshot,
  tagged,
  TAR,
  temporaryDirectories,
  writeIndex,
  type Entry,
  type Layer,
  type ManifestContent,
} from "../support/image.js";
import { plainRecipient } from "../support/layers.js";
import { decrypt, encrypt } from "../support/operations.js";
import { PLACES } from "../support/places.js";

const directory = temporaryDirectories();

const LIMIT = 4 * 1024 * 1024;
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";

let layers: Layer[];
let destination: string;
let destinationBefore: Record<string, string>;

beforeAll(async () => {
  layers = [
    await layer("a"),
    await layer("b", { annotations: { "com.example": "x" } }),
    layerOf(Buffer.alloc(100_000, "c"), { mediaType: TAR }),
  ];
  destination = await createLayout(directory());
  const other = await putManifest(destination, [await layer("other")]);
  await writeIndex(destination, [tagged(other.descriptor, "other")]);
  destinationBefore = await snapshot(destination);
});

type Operation = (source: string, destination: string) => Promise<unknown>;

/** A layout with the layers, as it is to be for an operation to succeed. */
async function goodLayout(operation: Operation): Promise<string> {
  const path = directory();
  await layoutOf(path, layers);
  if (operation !== decrypt) return path;
  const encrypted = directory();
  await encrypt(path, encrypted);
  return encrypted;
}

/** Expects a failure that leaves a new destination absent and an old one untouched. */
async function expectRefusal(
  operation: Operation,
  source: string,
  code: ErrorCode,
): Promise<string> {
  const parent = directory();
  const { message } = await expectCode(operation(source, `${parent}/new`), code);
  expect(await snapshot(parent)).toEqual({});
  await expectCode(operation(source, `${destination}:new`), code);
  expect(await snapshot(destination)).toEqual(destinationBefore);
  return message;
}

async function imageOf(path: string): Promise<Entry> {
  return (await readEntries(path))[0]!;
}

/** Changes the text of the image's manifest; its descriptor fits the new text. */
async function changeText(
  path: string,
  change: (text: string) => string | Uint8Array,
): Promise<void> {
  const image = await imageOf(path);
  const text = await readFile(blobFile(path, image.digest), "utf8");
  await writeIndex(path, [await putText(path, change(text), image.mediaType)]);
}

async function changeManifest(
  path: string,
  change: (manifest: ManifestContent) => unknown,
): Promise<void> {
  await changeText(path, (text) => {
    const manifest = JSON.parse(text) as ManifestContent;
    return compact(change(manifest) ?? manifest);
  });
}

const OPERATIONS = [
  ["encrypt", encrypt],
  ["decrypt", decrypt],
] as const;

/** Defects in the file of a blob. */
const DAMAGES: readonly (readonly [string, (file: string) => Promise<void>, ErrorCode])[] = [
  ["truncated", async (file) => truncate(file, (await stat(file)).size - 1), "BLOB_SIZE_MISMATCH"],
  ["empty", (file) => truncate(file, 0), "BLOB_SIZE_MISMATCH"],
  ["extended", (file) => writeFile(file, "x", { flag: "a" }), "BLOB_SIZE_MISMATCH"],
  ["flipped", flip, "BLOB_DIGEST_MISMATCH"],
  ["missing", (file) => rm(file), "BLOB_NOT_FOUND"],
  [
    "a directory",
    (file) =>
      rm(file)
        .then(() => mkdir(file))
        .then(),
    "SOURCE_UNREADABLE",
  ],
];

async function flip(file: string): Promise<void> {
  const bytes = await readFile(file);
  bytes[bytes.byteLength >> 1]! ^= 0x20;
  await writeFile(file, bytes);
}

describe.each(OPERATIONS)("%s: a damaged blob", (_, operation) => {
  describe.each([
    ["of the first layer", (manifest: ManifestContent) => manifest.layers[0]!.digest],
    ["of the last layer", (manifest: ManifestContent) => manifest.layers.at(-1)!.digest],
    ["of the config", (manifest: ManifestContent) => manifest.config.digest],
  ])("%s", (_, choose) => {
    it.each(DAMAGES)("%s", async (_, damage, code) => {
      const path = await goodLayout(operation);
      const digest = choose(await readManifest(path, await imageOf(path)));
      await damage(blobFile(path, digest));
      const message = await expectRefusal(operation, path, code);
      if (code !== "BLOB_SIZE_MISMATCH") expect(message).toContain(digest);
    });
  });

  it.each(DAMAGES)("of the manifest: %s", async (_, damage, code) => {
    const path = await goodLayout(operation);
    await damage(blobFile(path, (await imageOf(path)).digest));
    await expectRefusal(operation, path, code);
  });

  it.each(DAMAGES)("of a layer that is only copied: %s", async (_, damage, code) => {
    const path = await goodLayout(encrypt);
    const source = operation === decrypt ? directory() : path;
    if (operation === decrypt) await encrypt(path, source, { layers: [0] });
    const image = await imageOf(source);
    await damage(blobFile(source, (await readManifest(source, image)).layers[2]!.digest));
    const first: Operation = (from, to) => operation(from, to, { layers: [0] });
    await expectRefusal(first, source, code);
  });

  it("in place leaves the layout as it was", async () => {
    const path = await goodLayout(operation);
    const { digest } = (await readManifest(path, await imageOf(path))).layers[1]!;
    await flip(blobFile(path, digest));
    const before = await snapshot(path);
    await expectCode(operation(path, path), "BLOB_DIGEST_MISMATCH");
    expect(await snapshot(path)).toEqual(before);
  });
});

const SOME = digestOf("some");

type Change = (manifest: ManifestContent) => unknown;

function inLayer(members: Readonly<Record<string, unknown>>): Change {
  return ({ layers }) => {
    Object.assign(layers[1]!, members);
  };
}

/** The manifest is well-formed and makes no sense. */
const WRONG_MEMBERS: readonly (readonly [string, Change, ErrorCode])[] = [
  ["an array", () => [], "MANIFEST_INVALID"],
  ["a string", () => "manifest", "MANIFEST_INVALID"],
  ["a number", () => 5, "MANIFEST_INVALID"],
  ["empty", () => ({}), "MANIFEST_INVALID"],
  ["layers and manifests", (m) => ({ ...m, manifests: [] }), "MANIFEST_INVALID"],
  ["layers and null manifests", (m) => ({ ...m, manifests: null }), "MANIFEST_INVALID"],
  ["another media type", (m) => ({ ...m, mediaType: INDEX }), "MANIFEST_INVALID"],
  ["Docker's media type inside", (m) => ({ ...m, mediaType: DOCKER_MANIFEST }), "MANIFEST_INVALID"],
  ["no string as media type", (m) => ({ ...m, mediaType: [MANIFEST] }), "MANIFEST_INVALID"],
  ["no config", (m) => ({ ...m, config: undefined }), "MANIFEST_INVALID"],
  ["null as config", (m) => ({ ...m, config: null }), "MANIFEST_INVALID"],
  ["an array as config", (m) => ({ ...m, config: [m.config] }), "MANIFEST_INVALID"],
  ["a config without size", (m) => ({ ...m, config: { ...m.config, size: undefined } }), "MANIFEST_INVALID"], // prettier-ignore
  ["no layers", (m) => ({ ...m, layers: undefined }), "MANIFEST_INVALID"],
  ["null as layers", (m) => ({ ...m, layers: null }), "MANIFEST_INVALID"],
  ["an object as layers", (m) => ({ ...m, layers: { 0: m.layers[0] } }), "MANIFEST_INVALID"],
  ["null as a layer", (m) => ({ ...m, layers: [...m.layers, null] }), "MANIFEST_INVALID"],
  ["a string as a layer", (m) => ({ ...m, layers: [...m.layers, SOME] }), "MANIFEST_INVALID"],
  ["an array as a layer", (m) => ({ ...m, layers: [[]] }), "MANIFEST_INVALID"],
  ["a layer without media type", inLayer({ mediaType: undefined }), "MANIFEST_INVALID"],
  ["a layer of empty media type", inLayer({ mediaType: "" }), "MANIFEST_INVALID"],
  ["a layer of numeric media type", inLayer({ mediaType: 5 }), "MANIFEST_INVALID"],
  ["a layer of object media type", inLayer({ mediaType: { endsWith: 1 } }), "MANIFEST_INVALID"],
  ["no digest", inLayer({ digest: undefined }), "MANIFEST_INVALID"],
  ["null as digest", inLayer({ digest: null }), "MANIFEST_INVALID"],
  ["a list as digest", inLayer({ digest: [SOME] }), "MANIFEST_INVALID"],
  ["no size", inLayer({ size: undefined }), "MANIFEST_INVALID"],
  ["null as size", inLayer({ size: null }), "MANIFEST_INVALID"],
  ["a negative size", inLayer({ size: -1 }), "MANIFEST_INVALID"],
  ["a fraction as size", inLayer({ size: 100.5 }), "MANIFEST_INVALID"],
  ["text as size", inLayer({ size: "100" }), "MANIFEST_INVALID"],
  ["a list as size", inLayer({ size: [100] }), "MANIFEST_INVALID"],
  ["a size that is not exact", inLayer({ size: 2 ** 53 }), "MANIFEST_INVALID"],
  ["a size that is too large", inLayer({ size: 2 ** 53 - 1 }), "BLOB_SIZE_MISMATCH"],
  ["a size that is too small", inLayer({ size: 1 }), "BLOB_SIZE_MISMATCH"],
  ["a size of nothing", inLayer({ size: 0 }), "BLOB_SIZE_MISMATCH"],
  ["a list as annotations", inLayer({ annotations: ["a", "b"] }), "MANIFEST_INVALID"],
  ["text as annotations", inLayer({ annotations: "a" }), "MANIFEST_INVALID"],
  ["a number in annotations", inLayer({ annotations: { a: 1 } }), "MANIFEST_INVALID"],
  ["a number in annotations", inLayer({ annotations: { a: 1 } }), "MANIFEST_INVALID"],
  ["a list in annotations", inLayer({ annotations: { a: ["b"] } }), "MANIFEST_INVALID"],
  ["an object in annotations", inLayer({ annotations: { a: { toString: 1 } } }), "MANIFEST_INVALID"], // prettier-ignore
  ["the digest of nothing there", inLayer({ digest: SOME }), "BLOB_NOT_FOUND"],
  ...[
    ...["", "sha256", "sha256:", ":", "sha256:../../x", "sha256:/etc/passwd", "../sha256:aa"],
    ...[`sha256:${"a".repeat(63)}`, `sha256:${"a".repeat(65)}`, `sha256:${"A".repeat(64)}`],
    ...[`sha256:${"g".repeat(64)}`, `sha256:${"a".repeat(61)}/..`, `sha256:..${"/x".repeat(31)}`],
    ...[`${SOME}\n`, ` ${SOME}`, `${SOME}/../x`, `${SOME}:x`, `\u0000${SOME}`, `SHA256:${"a".repeat(64)}`], // prettier-ignore
    ...[`sha512:${"a".repeat(64)}`, `sha256:${"a".repeat(128)}`, `md5:${"a".repeat(32)}`],
    ...[`sha1:${"a".repeat(40)}`, `__proto__:${"a".repeat(64)}`, `constructor:${"a".repeat(64)}`],
    `sha256+b64:${"a".repeat(64)}`,
  ].map((digest) => [`the digest ${JSON.stringify(digest)}`, inLayer({ digest }), "DESCRIPTOR_INVALID"] as const), // prettier-ignore
];

function replaced(what: string | RegExp, by: string): (text: string) => string {
  return (text) => {
    const changed = text.replace(what, by);
    if (changed === text) throw new Error("this changes nothing");
    return changed;
  };
}

/** Adds a member to the manifest. */
function withMember(member: string): (text: string) => string {
  return replaced(/}$/, `,${member}}`);
}

function nested(depth: number, open: string, close: string): string {
  return `"x":${open.repeat(depth)}1${close.repeat(depth)}`;
}

const BROKEN_TEXTS: readonly (readonly [
  string,
  (text: string) => string | Uint8Array,
  ErrorCode,
])[] = [
  ["truncated", (text) => text.slice(0, -1), "MANIFEST_INVALID"],
  ["half", (text) => text.slice(0, text.length >> 1), "MANIFEST_INVALID"],
  ["empty", () => "", "MANIFEST_INVALID"],
  ["null", () => "null", "MANIFEST_INVALID"],
  ["not JSON", () => "<html>", "MANIFEST_INVALID"],
  ["binary", () => Buffer.from([0x1f, 0x8b, 0x08, 0x00]), "MANIFEST_INVALID"],
  ["followed by another", (text) => text + text, "MANIFEST_INVALID"],
  ["followed by NUL", (text) => `${text}\u0000`, "MANIFEST_INVALID"],
  ["behind a byte order mark", (text) => `\uFEFF${text}`, "MANIFEST_INVALID"],
  ["in UTF-16", (text) => Buffer.from(text, "utf16le"), "MANIFEST_INVALID"],
  ["not UTF-8", (text) => Buffer.from(withMember('"x":"\u00ff"')(text), "latin1"), "MANIFEST_INVALID"], // prettier-ignore
  ["with a surrogate in UTF-8", (text) => surrogate(text), "MANIFEST_INVALID"],
  ["with a comment", replaced("{", "{/* */"), "MANIFEST_INVALID"],
  ["with a comma too many", replaced("}]", "},]"), "MANIFEST_INVALID"],
  ["larger than 4 MiB", (text) => text + " ".repeat(LIMIT + 1 - text.length), "MANIFEST_TOO_LARGE"],
  ["with layers twice", withMember('"layers":[]'), "MANIFEST_INVALID"],
  ["with layers twice, once escaped", withMember('"l\\u0061yers":[]'), "MANIFEST_INVALID"],
  ["with config twice", withMember('"config":{}'), "MANIFEST_INVALID"],
  ["with a digest twice", replaced('"digest"', `"digest":"${SOME}","digest"`), "MANIFEST_INVALID"],
  ["with an annotation twice", replaced('"com.example":"x"', '"com.example":"y","com.example":"x"'), "MANIFEST_INVALID"], // prettier-ignore
  ["with an unknown member twice", withMember('"x":{"y":1,"y":1}'), "MANIFEST_INVALID"],
  ["with __proto__ twice", withMember('"__proto__":1,"__proto__":1'), "MANIFEST_INVALID"],
  ["nested 33 deep", withMember(nested(33, "[", "]")), "MANIFEST_INVALID"],
  ["nested 33 deep in objects", withMember(nested(33, '{"x":', "}")), "MANIFEST_INVALID"],
  ["nested 1,000,000 deep", withMember(nested(1_000_000, "[", "]")), "MANIFEST_INVALID"],
  ["nested 300,000 deep in objects", withMember(nested(300_000, '{"x":', "}")), "MANIFEST_INVALID"],
  ["with a size of 1e400", replaced(/"size":\d+/, '"size":1e400'), "MANIFEST_INVALID"],
  ["with a size of -0.1e1", replaced(/"size":\d+/, '"size":-0.1e1'), "MANIFEST_INVALID"],
];

function surrogate(text: string): Uint8Array {
  const [before, after] = withMember('"x":"@"')(text).split("@");
  return Buffer.concat([
    Buffer.from(before!),
    Buffer.from([0xed, 0xa0, 0x80]),
    Buffer.from(after!),
  ]);
}

describe.each(OPERATIONS)("%s: a manifest", (_, operation) => {
  let path: string;
  let image: Entry;

  beforeAll(async () => {
    path = await goodLayout(operation);
    image = await imageOf(path);
  });

  // Each defect is placed next to correct entries.
  beforeEach(() => writeIndex(path, [image]));

  it.each(WRONG_MEMBERS)("with %s", async (_, change, code) => {
    await changeManifest(path, change);
    await expectRefusal(operation, path, code);
  });

  it.each(BROKEN_TEXTS)("%s", async (_, change, code) => {
    await changeText(path, change);
    await expectRefusal(operation, path, code);
  });

  it.each([
    ["larger than 4 MiB", LIMIT + 1, "MANIFEST_TOO_LARGE"],
    ["larger than its file", 1_000_000, "BLOB_SIZE_MISMATCH"],
    ["smaller than its file", 10, "BLOB_SIZE_MISMATCH"],
  ] as const)("%s, says its descriptor", async (_, size, code) => {
    await writeIndex(path, [{ ...image, size }]);
    await expectRefusal(operation, path, code);
  });

  it("under the digest of another", async () => {
    const text = await readFile(blobFile(path, image.digest));
    await writeIndex(path, [{ ...image, ...(await putBlob(path, text, SOME)) }]);
    await expectRefusal(operation, path, "BLOB_DIGEST_MISMATCH");
  });

  it.each([
    [DOCKER_MANIFEST, "MANIFEST_INVALID"],
    [DOCKER_LIST, "MANIFEST_INVALID"],
    ["application/vnd.docker.distribution.manifest.v1+prettyjws", "MANIFEST_UNSUPPORTED"],
    [CONFIG, "MANIFEST_UNSUPPORTED"],
    ["application/vnd.oci.artifact.manifest.v1+json", "MANIFEST_UNSUPPORTED"],
    ["__proto__", "MANIFEST_UNSUPPORTED"],
    [INDEX, "MANIFEST_INVALID"],
    [`${MANIFEST} `, "MANIFEST_UNSUPPORTED"],
  ] as const)("of the type %s", async (mediaType, code) => {
    await writeIndex(path, [{ ...image, mediaType }]);
    await expectRefusal(operation, path, code);
  });
});

describe("a layer that is described twice, once wrongly", () => {
  async function expectRefusalOf(wrong: number): Promise<void> {
    const path = directory();
    const both = [layers[0]!, layers[0]!].map((each, i) =>
      i === wrong ? { ...each, descriptor: { ...each.descriptor, size: 1 } } : each,
    );
    await layoutOf(path, both);
    await expectRefusal(encrypt, path, "BLOB_SIZE_MISMATCH");
  }

  it("at last", () => expectRefusalOf(1));

  it("at first", () => expectRefusalOf(0));
});

describe("an index", () => {
  async function indexOf(
    make: (path: string, manifest: Entry) => Promise<readonly Entry[]> | readonly Entry[],
  ): Promise<string> {
    const path = await createLayout(directory());
    const { descriptor } = await putManifest(path, layers);
    await writeIndex(path, [await putIndex(path, await make(path, descriptor))]);
    return path;
  }

  it("with one entry 2000 times", async () => {
    const path = await indexOf((_, manifest) => Array.from({ length: 2000 }, () => manifest));
    await expectRefusal(encrypt, path, "MANIFEST_INVALID");
  });

  it("of indexes of indexes, each with many", async () => {
    const path = await indexOf(async (at, manifest) => {
      let entry = manifest;
      for (let i = 0; i < 4; i++) {
        const [before] = [entry];
        entry = await putIndex(
          at,
          Array.from({ length: 40 }, () => before),
        );
      }
      return [entry];
    });
    await expectRefusal(encrypt, path, "MANIFEST_INVALID");
  });

  it("with a missing manifest", async () => {
    const path = await indexOf((_, manifest) => [manifest, { ...manifest, digest: SOME }]);
    await expectRefusal(encrypt, path, "BLOB_NOT_FOUND");
  });

  it("with a manifest that it describes as Docker's format", async () => {
    const path = await indexOf((_, manifest) => [{ ...manifest, mediaType: DOCKER_MANIFEST }]);
    await expectRefusal(encrypt, path, "MANIFEST_INVALID");
  });

  it.each([
    ["no array", { manifests: {} }],
    ["nothing", {}],
    ["layers too", { manifests: [], layers: [] }],
    ["a manifest's type", { manifests: [], mediaType: MANIFEST }],
    ["null", { manifests: [null] }],
    ["no descriptor", { manifests: [{}] }],
  ])("with %s", async (_, content) => {
    const path = await createLayout(directory());
    await writeIndex(path, [await putText(path, compact(content), INDEX)]);
    await expectRefusal(encrypt, path, "MANIFEST_INVALID");
  });

  it.each([
    ["linux/amd64"],
    [5],
    [[]],
    [{ os: 5, architecture: "amd64" }],
    [{ os: "linux", architecture: ["amd64"] }],
    [{ os: "linux", architecture: "arm", variant: 7 }],
    [{ os: { toString: 1, valueOf: 1 }, architecture: "amd64" }],
  ])("with %j as platform", async (platform) => {
    const path = await indexOf((_, manifest) => [{ ...manifest, platform }]);
    await expectRefusal(encrypt, path, "MANIFEST_INVALID");
  });

  it("with one damaged layer in one manifest", async () => {
    const path = await indexOf(async (at, manifest) => {
      const more = await putManifest(at, [await layer("damaged")]);
      await flip(blobFile(at, more.layers[0]!.descriptor.digest));
      return [forPlatform(manifest, "linux/amd64"), forPlatform(more.descriptor, "linux/arm64")];
    });
    await expectRefusal(encrypt, path, "BLOB_DIGEST_MISMATCH");
  });
});

/** Creates the root of an image in a layout. */
type Root = (path: string) => Promise<Entry>;

/** A manifest of 5 MB, well-formed as far as its size lets one see. */
async function largeManifest(path: string): Promise<Entry> {
  const { text } = await putManifest(path, layers);
  return putText(path, text.padEnd(5_000_000), MANIFEST);
}

/** An index that names its own bytes by a digest that cannot be theirs. */
async function indexOfItself(path: string): Promise<Entry> {
  const size = (await indexNaming(500)).byteLength;
  const text = await indexNaming(size);
  expect(text.byteLength).toBe(size);
  await putBlob(path, text, SOME);
  return putText(path, text, INDEX);

  async function indexNaming(own: number): Promise<Buffer> {
    const entry = await putIndex(path, [{ mediaType: INDEX, digest: SOME, size: own }]);
    return readFile(blobFile(path, entry.digest));
  }
}

async function nestedIndexes(path: string, depth: number): Promise<Entry> {
  let entry = (await putManifest(path, layers)).descriptor;
  for (let i = 0; i < depth; i++) entry = await putIndex(path, [entry]);
  return entry;
}

/** A manifest that names one layer many times. */
async function manyLayers(path: string, count: number): Promise<Entry> {
  const { text } = await putManifest(path, [layers[0]!]);
  const one = JSON.stringify(layers[0]!.descriptor);
  return putText(path, text.replace(one, Array(count).fill(one).join()));
}

const HOSTILE: readonly (readonly [string, Root, ErrorCode])[] = [
  ["a manifest of 5 MB", largeManifest, "MANIFEST_TOO_LARGE"],
  [
    "a manifest of 5 MB in an index",
    async (path) => putIndex(path, [await largeManifest(path)]),
    "MANIFEST_TOO_LARGE",
  ],
  [
    "an index of 5 MB",
    async (path) => {
      const { descriptor } = await putManifest(path, layers);
      const padded = (value: unknown): string => compact(value).padEnd(5_000_000);
      return putIndex(path, [descriptor], padded);
    },
    "MANIFEST_TOO_LARGE",
  ],
  ["an index that refers to itself", indexOfItself, "BLOB_DIGEST_MISMATCH"],
  ["indexes nested 9 deep", (path) => nestedIndexes(path, 9), "MANIFEST_INVALID"],
  ["a manifest of 5001 layers", (path) => manyLayers(path, 5001), "MANIFEST_INVALID"],
  [
    "two manifests of 5000 layers together",
    async (path) => putIndex(path, [await manyLayers(path, 2499), await manyLayers(path, 2501)]),
    "MANIFEST_INVALID",
  ],
  ["indexes nested 1000 deep", (path) => nestedIndexes(path, 1000), "MANIFEST_INVALID"],
  [
    "platforms without layers",
    async (path) => {
      const { descriptor } = await putManifest(path, []);
      const platforms = ["linux/amd64", "linux/arm64"];
      return putIndex(
        path,
        platforms.map((name) => forPlatform(descriptor, name)),
      );
    },
    "NOTHING_TO_ENCRYPT",
  ],
];

describe.each(Object.entries(PLACES))("from %s", (_, kind) => {
  it.each(HOSTILE)("%s is rejected before anything is written", async (_, make, code) => {
    const layout = await createLayout(directory());
    await writeIndex(layout, [await make(layout)]);
    const source = (await kind.of(layout, directory())).source();
    const place = await kind.empty(directory());
    const to = await place.destination();
    await expectCode(encryptImage(source, to, { recipients: [plainRecipient()] }), code);
    expect(await place.names()).toEqual([]);
  });

  it("indexes nested 8 deep are accepted", async () => {
    const layout = await createLayout(directory());
    await writeIndex(layout, [await nestedIndexes(layout, 8)]);
    const source = (await kind.of(layout, directory())).source();
    const to = await (await kind.empty(directory())).destination();
    const result = await encryptImage(source, to, { recipients: [plainRecipient()] });
    expect(result.layers).toHaveLength(layers.length);
  });
});

describe("a layout", () => {
  const write =
    (name: string, content: string | Uint8Array) =>
    (path: string): Promise<void> =>
      writeFile(join(path, name), content);
  const remove =
    (name: string) =>
    (path: string): Promise<void> =>
      rm(join(path, name));
  const entries =
    (change: (image: Entry) => unknown) =>
    async (path: string): Promise<void> =>
      writeIndex(path, [change(await imageOf(path)) as Entry]);

  it.each([
    ["without oci-layout", remove("oci-layout"), "IMAGE_NOT_FOUND"],
    ["of another version", write("oci-layout", '{"imageLayoutVersion":"2.0.0"}'), "LAYOUT_INVALID"],
    ["of no version", write("oci-layout", "{}"), "LAYOUT_INVALID"],
    ["of a numeric version", write("oci-layout", '{"imageLayoutVersion":1}'), "LAYOUT_INVALID"],
    ["whose version is not JSON", write("oci-layout", "1.0.0"), "LAYOUT_INVALID"],
    ["whose version is large", write("oci-layout", " ".repeat(5000)), "LAYOUT_INVALID"],
    ["without index.json", remove("index.json"), "LAYOUT_INVALID"],
    ["whose index.json is large", write("index.json", " ".repeat(LIMIT + 1)), "LAYOUT_INVALID"],
    ["whose index.json is empty", write("index.json", ""), "MANIFEST_INVALID"],
    ["whose index.json is null", write("index.json", "null"), "MANIFEST_INVALID"],
    ["whose index.json has no manifests", write("index.json", '{"schemaVersion":2}'), "MANIFEST_INVALID"], // prettier-ignore
    ["whose index.json is of another type", write("index.json", `{"manifests":[],"mediaType":"${MANIFEST}"}`), "MANIFEST_INVALID"], // prettier-ignore
    ["whose index.json names manifests twice", write("index.json", '{"manifests":[],"manifests":[]}'), "MANIFEST_INVALID"], // prettier-ignore
    ["without images", write("index.json", '{"schemaVersion":2,"manifests":[]}'), "IMAGE_NOT_FOUND"], // prettier-ignore
    ["whose image is null", entries(() => null), "MANIFEST_INVALID"],
    ["whose image is anywhere", entries((image) => ({ ...image, digest: "sha256:../../../etc/passwd" })), "DESCRIPTOR_INVALID"], // prettier-ignore
    ["whose image has no size", entries((image) => ({ ...image, size: "1" })), "MANIFEST_INVALID"],
    ["without blobs", (path) => rm(join(path, "blobs"), { recursive: true }), "BLOB_NOT_FOUND"],
    ["that is a file", (path) => rm(path, { recursive: true }).then(() => writeFile(path, "x")), "IMAGE_NOT_FOUND"], // prettier-ignore
    ["that is not there", (path) => rm(path, { recursive: true }), "IMAGE_NOT_FOUND"],
  ] satisfies [string, (path: string) => Promise<void>, ErrorCode][])(
    "%s",
    async (_, damage, code) => {
      const path = await goodLayout(encrypt);
      await damage(path);
      await expectRefusal(encrypt, path, code);
    },
  );
});

describe("decrypt: a config", () => {
  async function withConfig(content: string, mediaType = CONFIG): Promise<string> {
    const [plain, encrypted] = [directory(), directory()];
    await layoutOf(plain, layers, { config: { mediaType, content } });
    await encrypt(plain, encrypted);
    return encrypted;
  }

  it.each([
    ["not JSON", "garbage", "MANIFEST_INVALID"],
    ["empty", "", "MANIFEST_INVALID"],
    ["an array", "[]", "MANIFEST_INVALID"],
    ["with one diffID for all", imageConfig(digestOf("a")).content, "MANIFEST_INVALID"],
    ["with diffIDs that are numbers", imageConfig([1, 2, 3]).content, "MANIFEST_INVALID"],
    ["with an object of diffIDs", imageConfig({ length: 3 }).content, "MANIFEST_INVALID"],
    ["with no diffID", imageConfig([]).content, "DIFF_ID_MISMATCH"],
    ["with too few", imageConfig([SOME, SOME]).content, "DIFF_ID_MISMATCH"],
    ["with too many", imageConfig([SOME, SOME, SOME, SOME]).content, "DIFF_ID_MISMATCH"],
    ["with others", imageConfig([SOME, SOME, SOME]).content, "DIFF_ID_MISMATCH"],
    ["with no digests", imageConfig(["", "", ""]).content, "MANIFEST_INVALID"],
  ] as const)("%s", async (_, content, code) => {
    await expectRefusal(decrypt, await withConfig(content), code);
  });

  it("with the diffIDs in another order", async () => {
    const diffIds = layers.map(({ diffId }) => diffId).reverse();
    const path = await withConfig(imageConfig(diffIds).content);
    await expectRefusal(decrypt, path, "DIFF_ID_MISMATCH");
  });

  it("larger than 4 MiB", async () => {
    const path = await withConfig(" ".repeat(LIMIT + 1));
    await expectRefusal(decrypt, path, "MANIFEST_TOO_LARGE");
  });

  it("is also checked with Docker's type", async () => {
    const type = "application/vnd.docker.container.image.v1+json";
    const path = await withConfig(imageConfig([SOME, SOME, SOME]).content, type);
    await expectRefusal(decrypt, path, "DIFF_ID_MISMATCH");
  });
});
