import { beforeAll, describe, expect, it } from "vitest";
import {
  decryptImage,
  encryptImage,
  inspectImage,
  type EncryptImageResult,
} from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Recipient } from "../../src/keywrap/types.js";
import type { Descriptor } from "../../src/spec/descriptor.js";
import { layoutDestination } from "../../src/store/layout/destination.js";
import { layoutSource } from "../../src/store/layout/source.js";
import { expectCode } from "../support/codes.js";
import { run } from "../support/command.js";
import {
  compact,
  digestOf,
  imageConfig,
  layerOf,
  layoutOf,
  MANIFEST,
  readManifest,
  snapshot,
  tagged,
  TAR,
  temporaryDirectories,
  writeIndex,
  type Entry,
  type Layer,
} from "../support/image.js";
import { openKey } from "../support/layers.js";
import { memoryImage, type MemoryImage } from "../../src/store/memory.js";
import { vectorFile } from "../support/vectors.js";

const directory = temporaryDirectories();

const LIMIT = 4 * 1024 * 1024;
const recipient = jwe.recipient(vectorFile("keys/ec-p256.pub.jwk"));
const key = jwe.key(vectorFile("keys/ec-p256.pem"));

/** Layers of a few bytes, each another one. */
function small(count: number): Layer[] {
  const content = (i: number): Buffer => Buffer.from(`${String(i)}\n`);
  return Array.from({ length: count }, (_, i) => layerOf(content(i), { mediaType: TAR }));
}

describe("an image of 4,900 different layers", () => {
  const COUNT = 4900;
  const layers = [0, { from: 2000, to: 2098 }, -1];
  const places = [0, ...Array.from({ length: 99 }, (_, i) => 2000 + i), 4899];
  let path: string;
  let image: Entry;
  let secret: EncryptImageResult;

  beforeAll(async () => {
    path = directory();
    const made = await layoutOf(path, small(COUNT));
    image = tagged(made.descriptor, "plain");
    await writeIndex(path, [image]);
    const source = layoutSource({ path, tag: "plain" });
    const to = await layoutDestination({ path, tag: "secret" });
    secret = await encryptImage(source, to, { recipients: [recipient], layers });
  });

  it("has no room for a recipient of all layers, and nothing is written", async () => {
    expect(image.size).toBeLessThan(LIMIT);
    const parent = directory();
    const destination = await layoutDestination({ path: `${parent}/new` });
    const source = layoutSource({ path, tag: "plain" });
    const error = await expectCode(
      encryptImage(source, destination, { recipients: [recipient] }),
      "MANIFEST_TOO_LARGE",
    );
    expect(error.message).toContain("there is room for 0 of the 1 recipients");
    expect(await snapshot(parent)).toEqual({});
  });

  it("can be partly encrypted and decrypted again", async () => {
    expect(secret.layers.map(({ index }) => index)).toEqual(places);
    const { layers: after } = await readManifest(path, secret.image);
    expect(new Set(after.map(({ digest }) => digest)).size).toBe(COUNT);
    const to = await layoutDestination({ path, tag: "again" });
    const back = await decryptImage(layoutSource({ path, tag: "secret" }), to, { keys: [key] });
    expect(back.image.digest).toBe(image.digest);
    expect(back.layers.every(({ diffId }) => diffId === "verified")).toBe(true);
  });

  it("is inspected completely", async () => {
    const source = layoutSource({ path, tag: "secret" });
    const { manifests } = await inspectImage(source, { keys: [key] });
    const { layers: all } = manifests[0]!;
    expect(all).toHaveLength(COUNT);
    const encrypted = all.filter((each) => each.encrypted);
    expect(encrypted.map(({ index }) => index)).toEqual(places);
    expect(encrypted.every(({ keys }) => keys[0]!.opens)).toBe(true);
  });

  it("is shown completely by the command", async () => {
    const reference = `oci:${path}:secret`;
    const inspected = await run(["inspect", reference, "--json"]);
    expect([inspected.status, inspected.stderr]).toEqual([0, ""]);
    const { manifests } = JSON.parse(inspected.stdout) as { manifests: { layers: unknown[] }[] };
    expect(manifests[0]!.layers).toHaveLength(COUNT);

    const listed = await run(["recipients", "list", reference, "--json"]);
    expect([listed.status, listed.stderr]).toEqual([0, ""]);
    const list = JSON.parse(listed.stdout) as { layers: { index: number }[] };
    expect(list.layers.map(({ index }) => index)).toEqual(places);
  });
});

describe("an image of 2000 layers", () => {
  /** Wrapped keys as large as those of RSA, and quicker to make. */
  const padded: Recipient = {
    scheme: "test",
    wrap: (secret) => Promise.resolve(Buffer.concat([secret, Buffer.alloc(600, " ")])),
  };

  it("has room for one recipient of all layers but not for two, and the error says so", async () => {
    const source = memoryImage();
    const image = await fill(source, small(2000));
    const to = memoryImage();
    const error = await expectCode(
      encryptImage(source, to, { recipients: [padded, padded] }),
      "MANIFEST_TOO_LARGE",
    );
    expect(error.message).toContain("there is room for 1 of the 2 recipients");
    expect(to.blobs.size).toBe(0);

    const there = await encryptImage(source, to, { recipients: [padded] });
    expect(there.image.size).toBeLessThan(LIMIT);
    const back = await decryptImage(to, memoryImage(), { keys: [openKey()] });
    expect(back.image).toEqual(image);
  });

  async function fill(to: MemoryImage, layers: readonly Layer[]): Promise<Descriptor> {
    const put = (bytes: Buffer, mediaType: string): Entry => {
      const entry = { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
      to.blobs.set(entry.digest, bytes);
      return entry;
    };
    for (const { blob, descriptor } of layers) put(blob, descriptor.mediaType);
    const { content, mediaType } = imageConfig(layers.map(({ diffId }) => diffId));
    const manifest = {
      ...{ schemaVersion: 2, mediaType: MANIFEST, config: put(Buffer.from(content), mediaType) },
      layers: layers.map(({ descriptor }) => descriptor),
    };
    const image = put(Buffer.from(compact(manifest)), MANIFEST);
    await to.commit(image);
    return image;
  }
});
