import { randomBytes } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import {
  addImageRecipients,
  encryptImage,
  findEncrypted,
  findImageFor,
  findRotated,
  rotateImage,
  type EncryptImageOptions,
} from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { layoutDestination, layoutSource } from "../../src/store/index.js";
import type { ImageSource } from "../../src/store/types.js";
import {
  createLayout,
  DOCKER_MANIFEST,
  DOCKER_TAR_GZIP,
  forPlatform,
  layer,
  layerOf,
  layoutOf,
  multiPlatform,
  putIndex,
  putManifest,
  TAR,
  temporaryDirectories,
  writeIndex,
} from "../support/image.js";
import { vectorFile } from "../support/vectors.js";

const directory = temporaryDirectories();
const alice = jwe.recipient(vectorFile("keys/ec-p256.pub.pem"));
const bob = jwe.recipient(vectorFile("keys/ec-p384.pub.pem"));
const unnamed = jwe.recipient(vectorFile("keys/ec-p256.pub.pem"), { kid: "none" });
const keys = [jwe.key(vectorFile("keys/ec-p256.pem"))];

let plain: string;
let secret: string;
let from: ImageSource;
let there: ImageSource;
beforeEach(async () => {
  plain = directory();
  await multiPlatform(plain);
  secret = directory();
  from = layoutSource({ path: plain });
  there = layoutSource({ path: secret });
});

async function encrypt(options: Partial<EncryptImageOptions> = {}): Promise<string> {
  const to = await layoutDestination({ path: secret });
  const { image } = await encryptImage(from, to, { recipients: [alice], ...options });
  return image.digest;
}

const found = async (options: Partial<EncryptImageOptions> = {}): Promise<string | undefined> =>
  (await findEncrypted(from, there, { recipients: [alice], ...options }))?.digest;

describe("findEncrypted", () => {
  it("finds an image of several platforms, once it exists", async () => {
    expect(await found()).toBeUndefined();
    const digest = await encrypt();
    expect(await found()).toBe(digest);
  });

  it.each<[string, Partial<EncryptImageOptions>]>([
    ["some layers", { layers: [-1] }],
    ["one platform", { platforms: ["linux/amd64"] }],
    ["two recipients", { recipients: [bob, alice] }],
    ["a history that is redacted", { redactHistory: true }],
  ])("compares %s", async (_, options) => {
    const digest = await encrypt(options);
    expect(await found(options)).toBe(digest);
    expect(await found({ recipients: [bob] })).toBeUndefined();
    if (options.redactHistory !== true) expect(await found()).toBeUndefined();
  });

  it.each<[string, () => Promise<unknown>]>([
    ["another layer", async () => layoutOf(plain, [await layer("other")])],
    ["another platform", async () => multiPlatformWith("linux/arm64")],
    [
      "a new annotation of the manifest",
      () => multiPlatformWith("linux/amd64", { annotations: { a: "b" } }),
    ],
  ])("does not find the image of a source that got %s", async (_, change) => {
    await multiPlatformWith("linux/amd64");
    await encrypt();
    expect(await found()).toBeDefined();
    await change();
    expect(await found()).toBeUndefined();
  });

  async function multiPlatformWith(platform: string, extra = {}): Promise<void> {
    const { descriptor } = await putManifest(plain, [await layer("same")], { extra });
    await writeIndex(plain, [await putIndex(plain, [forPlatform(descriptor, platform)])]);
  }

  it("finds an image that was converted from Docker's format", async () => {
    const layers = [await layer("a", { mediaType: DOCKER_TAR_GZIP })];
    await createLayout(plain);
    const { descriptor } = await putManifest(plain, layers, {
      extra: { mediaType: DOCKER_MANIFEST },
    });
    await writeIndex(plain, [{ ...descriptor, mediaType: DOCKER_MANIFEST }]);
    const digest = await encrypt();
    expect(await found()).toBe(digest);
  });

  it("does not trust a config without diffIDs, because another layer may have the same size", async () => {
    const config = { mediaType: "application/vnd.example.config", content: "{}" };
    const other = (): Promise<unknown> =>
      layoutOf(plain, [layerOf(randomBytes(100), { mediaType: TAR })], { config });
    await other();
    await encrypt();
    await other();
    expect(await found()).toBeUndefined();
  });

  it("does not find an image that others can also open", async () => {
    await encrypt();
    const to = await layoutDestination({ path: secret });
    await addImageRecipients(there, to, { recipients: [bob], keys });
    expect(await found()).toBeUndefined();
    expect(await found({ recipients: [alice, bob] })).toBeDefined();
  });

  it("cannot compare recipients without an id", async () => {
    await encrypt({ recipients: [unnamed] });
    expect(await found({ recipients: [unnamed] })).toBeUndefined();
    expect(await found()).toBeUndefined();
  });

  it("finds an image that was encrypted in place", async () => {
    from = there;
    await multiPlatform(secret);
    expect(await found()).toBeUndefined();
    const digest = await encrypt();
    expect(await found()).toBe(digest);
    expect(await found({ recipients: [bob] })).toBeUndefined();
  });
});

it("findRotated finds new keys for the recipients elsewhere, not the old ones and not in place", async () => {
  await encrypt();
  const path = directory();
  const rotated = layoutSource({ path });
  const options = { recipients: [alice], keys };
  expect(await findRotated(there, rotated, options)).toBeUndefined();
  const { image } = await rotateImage(there, await layoutDestination({ path }), options);
  expect((await findRotated(there, rotated, options))?.digest).toBe(image.digest);
  expect(await findRotated(there, rotated, { ...options, recipients: [bob] })).toBeUndefined();
  expect(await findRotated(rotated, rotated, options)).toBeUndefined();
  // The same keys under another name.
  const copy = directory();
  const to = await layoutDestination({ path: copy });
  await addImageRecipients(there, to, options);
  expect(await findRotated(there, layoutSource({ path: copy }), options)).toBeUndefined();
});

it("findImageFor finds exactly these recipients on each selected layer", async () => {
  await encrypt({ layers: [-1] });
  const recipients = [alice];
  expect(await findImageFor(there, { recipients, layers: [-1] })).toBeDefined();
  expect(await findImageFor(there, { recipients })).toBeUndefined();
  expect(await findImageFor(there, { recipients: [alice, bob], layers: [-1] })).toBeUndefined();
  expect(await findImageFor(layoutSource({ path: directory() }), { recipients })).toBeUndefined();
});
