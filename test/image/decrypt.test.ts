import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Key } from "../../src/keywrap/types.js";
import type { ImageProgress } from "../../src/image/engine/copy-blobs.js";
import { expectCode } from "../support/codes.js";
import { isWebEngine } from "../support/engine.js";
import {
  blobFile,
  CONFIG,
  createLayout,
  describedAs,
  digestOf,
  DOCKER_TAR_GZIP,
  EMPTY,
  forPlatform,
  imageConfig,
  layer,
  layerOf,
  layoutOf,
  multiPlatform,
  putBlob,
  putIndex,
  putManifest,
  putText,
  readBlob,
  readEntries,
  readManifest,
  snapshot,
  TAR,
  TAR_GZIP,
  TAR_ZSTD,
  temporaryDirectories,
  writeIndex,
  type Entry,
  type Layer,
  type ManifestOptions,
} from "../support/image.js";
import { ENC, foreignKey, openKey } from "../support/layers.js";
import { decrypt, encrypt } from "../support/operations.js";
import { vectorFile } from "../support/vectors.js";
import { writeFile } from "node:fs/promises";

const directory = temporaryDirectories();

/** A layout with these layers, encrypted. */
async function encrypted(layers: readonly Layer[], options?: ManifestOptions): Promise<string> {
  const [plain, path] = [directory(), directory()];
  await layoutOf(plain, layers, options);
  await encrypt(plain, path);
  return path;
}

/** Expects a failure that leaves a new destination absent and the source untouched. */
async function expectRefusal(
  path: string,
  code: ErrorCode,
  keys: readonly Key[] = [openKey()],
): Promise<void> {
  const [parent, before] = [directory(), await snapshot(path)];
  await expectCode(decrypt(path, `${parent}/new`, { keys }), code);
  expect(await snapshot(parent)).toEqual({});
  await expectCode(decrypt(path, path, { keys }), code);
  expect(await snapshot(path)).toEqual(before);
}

/** Changes the layers in the manifest of a layout with one image. */
async function changeLayers(path: string, change: (layers: Entry[]) => unknown): Promise<void> {
  const [image] = await readEntries(path);
  const manifest = await readManifest(path, image!);
  await change(manifest.layers);
  await writeIndex(path, [await putText(path, JSON.stringify(manifest))]);
}

interface PublicOptions {
  cipher: string;
  hmac: string;
  cipheroptions: Record<string, string>;
}

function changePublicOptions(entry: Entry, change: (options: PublicOptions) => void): void {
  const name = `${ENC}pubopts`;
  const options = JSON.parse(
    Buffer.from(entry.annotations![name]!, "base64").toString(),
  ) as PublicOptions;
  change(options);
  entry.annotations![name] = Buffer.from(JSON.stringify(options)).toString("base64");
}

async function some(count: number): Promise<Layer[]> {
  return Promise.all(Array.from({ length: count }, (_, i) => layer(`file-${String(i)}`)));
}

describe("decryption without success", () => {
  it("of an image that is not encrypted", async () => {
    const path = directory();
    await layoutOf(path, await some(2));
    await expectRefusal(path, "NOT_ENCRYPTED");
  });

  it("of the part of an image that is not encrypted", async () => {
    const [plain, path, parent] = [directory(), directory(), directory()];
    await layoutOf(plain, await some(2));
    await encrypt(plain, path, { layers: [0] });
    await expectCode(decrypt(path, `${parent}/new`, { layers: [1] }), "NOT_ENCRYPTED");
    expect(await snapshot(parent)).toEqual({});
  });

  it("without keys", async () => {
    await expectRefusal(await encrypted(await some(1)), "NO_KEYS", []);
  });

  it.each([
    ["another key of the scheme", [foreignKey()]],
    ["a key of another scheme", [openKey("other"), jwe.key(vectorFile("keys/ec-p256.pem"))]],
  ])("with %s", async (_, keys) => {
    await expectRefusal(await encrypted(await some(5)), "NO_MATCHING_KEY", keys);
  });

  it("with a key for some of the layers", async () => {
    const [plain, path] = [directory(), directory()];
    await layoutOf(plain, await some(3));
    await encrypt(plain, path, { layers: [0, 2] });
    const recipients = [jwe.recipient(vectorFile("keys/ec-p256.pub.pem"))];
    await encrypt(path, path, { layers: [1], recipients });
    await expectRefusal(path, "NO_MATCHING_KEY");
    const keys = [openKey(), jwe.key(vectorFile("keys/ec-p256.pem"))];
    expect((await decrypt(path, directory(), { keys })).layers).toHaveLength(3);
  });

  const small = ["in one part", 1000] as const;
  const large = ["in many parts", 700_000] as const;

  it.each([small, large])("of changed ciphertext under its right digest, %s", async (_, size) => {
    const path = await encrypted([layerOf(randomBytes(size), { mediaType: TAR })]);
    await changeLayers(path, async ([entry]) => {
      const blob = await readBlob(path, entry!);
      blob[size >> 1]! ^= 1;
      Object.assign(entry!, await putBlob(path, blob));
    });
    await expectRefusal(path, "HMAC_MISMATCH");
  });

  it.each([small, large])("of shortened ciphertext under its right digest, %s", async (_, size) => {
    const path = await encrypted([layerOf(randomBytes(size), { mediaType: TAR })]);
    await changeLayers(path, async ([entry]) => {
      const blob = await readBlob(path, entry!);
      Object.assign(entry!, await putBlob(path, blob.subarray(0, -1)));
    });
    await expectRefusal(path, "HMAC_MISMATCH");
  });

  it.each<[string, (options: PublicOptions) => void, ErrorCode]>([
    ["another HMAC", (o) => (o.hmac = Buffer.alloc(32).toString("base64")), "HMAC_MISMATCH"],
    ["a short HMAC", (o) => (o.hmac = Buffer.alloc(31).toString("base64")), "HMAC_INVALID"],
    ["no HMAC", (o) => (o.hmac = undefined as never), "HMAC_MISSING"],
    ["another cipher", (o) => (o.cipher = "AES_128_CTR"), "CIPHER_UNSUPPORTED"],
    ["a nonce", (o) => (o.cipheroptions.nonce = "AAAAAAAAAAAAAAAAAAAAAA=="), "NONCE_OVERRIDDEN"],
  ])("of public options with %s", async (_, change, code) => {
    const path = await encrypted(await some(2));
    await changeLayers(path, (layers) => {
      changePublicOptions(layers[1]!, change);
    });
    await expectRefusal(path, code);
  });

  it("of layers whose blobs were swapped", async () => {
    const path = await encrypted(await some(2));
    await changeLayers(path, ([a, b]) => {
      const [{ digest, size }] = [a!];
      Object.assign(a!, { digest: b!.digest, size: b!.size });
      Object.assign(b!, { digest, size });
    });
    await expectRefusal(path, "HMAC_MISMATCH");
  });

  // Each layer verifies by itself; only the config knows their order.
  it.each<[string, (layers: Entry[]) => void]>([
    ["exchanged", (layers) => layers.reverse()],
    ["replaced by another", (layers) => (layers[1] = layers[0]!)],
  ])("of layers that were %s", async (_, change) => {
    const [plain, bound, unbound] = [directory(), directory(), directory()];
    await layoutOf(plain, await some(2));
    await encrypt(plain, bound);
    await changeLayers(bound, change);
    await expectRefusal(bound, "BINDING_MISMATCH");
    await encrypt(plain, unbound, { bind: false });
    await changeLayers(unbound, change);
    await expectRefusal(unbound, "DIFF_ID_MISMATCH");
  });

  it("of a layer that was removed", async () => {
    const path = await encrypted(await some(2));
    await changeLayers(path, (layers) => layers.pop());
    await expectRefusal(path, "DIFF_ID_MISMATCH");
  });

  it.each<[string, (blob: Buffer) => Buffer]>([
    ["truncated", (blob) => blob.subarray(0, -1)],
    ["without its trailer", (blob) => blob.subarray(0, -8)],
    ["with a wrong checksum", (blob) => changed(blob, -6)],
    ["with a wrong header", (blob) => changed(blob, 0)],
    ["damaged inside", (blob) => changed(blob, blob.byteLength >> 1)],
    ["followed by garbage", (blob) => Buffer.concat([blob, Buffer.from("garbage")])],
    ["followed by another", (blob) => Buffer.concat([blob, gzipSync("more")])],
    ["not compressed at all", () => Buffer.from("plain text")],
    ["empty", () => Buffer.alloc(0)],
  ])("of a layer whose gzip was %s before it was encrypted", async (_, damage) => {
    const good = layerOf(randomBytes(700_000), { mediaType: TAR_GZIP });
    const blob = damage(good.blob);
    const bad = { ...good, ...layerOf(blob, { mediaType: TAR }), diffId: good.diffId };
    const path = await encrypted([describedAs(bad, { mediaType: TAR_GZIP })]);
    await expectRefusal(path, "DIFF_ID_MISMATCH");
  });

  it("of a shared layer about which two configs differ", async () => {
    const [path, there] = [await createLayout(directory()), directory()];
    const shared = await layer("shared");
    const right = await putManifest(path, [shared]);
    const wrong = await putManifest(path, [{ ...shared, diffId: digestOf("another") }]);
    const entries = [
      forPlatform(right.descriptor, "linux/amd64"),
      forPlatform(wrong.descriptor, "linux/arm64"),
    ];
    await writeIndex(path, [await putIndex(path, entries)]);
    await encrypt(path, there);
    await expectRefusal(there, "DIFF_ID_MISMATCH");
    const part = await decrypt(there, directory(), { platforms: ["linux/amd64"] });
    expect(part.layers.map(({ diffId }) => diffId)).toEqual(["verified"]);
  });
});

function changed(blob: Buffer, at: number): Buffer {
  const copy = Buffer.from(blob);
  copy[at < 0 ? copy.byteLength + at : at]! ^= 0x55;
  return copy;
}

describe("the check of diffIDs", () => {
  const members = gzipSync("one ");
  const more = gzipSync("two");

  it.each<[string, Buffer]>([
    ["of several members", Buffer.concat([members, more])],
    ["padded with zeros", Buffer.concat([members, more, Buffer.alloc(512)])],
    ["padded with many zeros", Buffer.concat([members, more, Buffer.alloc(600_000)])],
  ])("recognises gzip %s", async (_, blob) => {
    const entry = { mediaType: TAR_GZIP, digest: digestOf(blob), size: blob.byteLength };
    const path = await encrypted([{ descriptor: entry, blob, diffId: digestOf("one two") }]);
    const { layers } = await decrypt(path, directory());
    expect(layers.map(({ diffId }) => diffId)).toEqual(["verified"]);
  });

  it.each<[string, string, ManifestOptions, string]>([
    ["an uncompressed layer", TAR, {}, "verified"],
    ["a gzip layer", TAR_GZIP, {}, "verified"],
    ["a nondistributable layer", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", {}, "verified"], // prettier-ignore
    ["a layer of no tar type", "application/vnd.example", {}, "verified"],
    ["a config without rootfs", TAR, { config: { mediaType: CONFIG, content: "{}" } }, "skipped: the config has no diffIDs"], // prettier-ignore
    ["a rootfs without diffIDs", TAR, { config: { mediaType: CONFIG, content: '{"rootfs":{}}' } }, "skipped: the config has no diffIDs"], // prettier-ignore
    ["no rootfs", TAR, { config: { mediaType: CONFIG, content: '{"rootfs":null}' } }, "skipped: the config has no diffIDs"], // prettier-ignore
    ["an artifact", TAR, { config: { mediaType: EMPTY, content: "{}" } }, "skipped: the config has no diffIDs"], // prettier-ignore
    ["a config that is no JSON and of another type", TAR, { config: { mediaType: "text/plain", content: "x" } }, "skipped: the config has no diffIDs"], // prettier-ignore
  ])("reports the result for %s", async (_, mediaType, options, expected) => {
    const path = await encrypted([await layer("a", { mediaType })], options);
    const { layers } = await decrypt(path, directory());
    expect(layers.map(({ diffId }) => diffId)).toEqual([expected]);
  });

  it("of zstd is made if Node.js supports zstd, and otherwise needs allowUnverified", async () => {
    const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
    const isLate = (major === 22 && minor >= 15) || (major === 23 && minor >= 8) || major > 23;
    const isThere = isLate && !isWebEngine;
    const path = await encrypted([await layer("a", { mediaType: TAR_ZSTD })]);
    if (!isThere) await expectRefusal(path, "DIFF_ID_UNCHECKED");
    const { layers, warnings } = await decrypt(path, directory(), { allowUnverified: true });
    const reason =
      "unverified: the diffID of a zstd layer can be checked only by Node.js 22.15 and later";
    expect(layers.map(({ diffId }) => diffId)).toEqual([isThere ? "verified" : reason]);
    expect(warnings).toEqual(isThere ? [] : [`layer 0 is ${reason}`]);
  });

  it("depends on the content and not on the media type", async () => {
    const wanted = await layer("a", { mediaType: TAR_GZIP });
    for (const mediaType of [TAR, TAR_ZSTD, DOCKER_TAR_GZIP, "application/vnd.example"]) {
      const good = await encrypted([describedAs(wanted, { mediaType })]);
      const { layers } = await decrypt(good, directory());
      expect(layers.map(({ diffId }) => diffId)).toEqual(["verified"]);
      const other = { ...wanted, diffId: digestOf("another") };
      const bad = await encrypted([describedAs(other, { mediaType })]);
      await expectRefusal(bad, "DIFF_ID_MISMATCH");
    }
  });

  it("depends on the content of the config and not on its media type", async () => {
    const { content } = imageConfig([digestOf("another")]);
    const path = await encrypted([await layer("a")], { config: { mediaType: EMPTY, content } });
    await expectRefusal(path, "DIFF_ID_MISMATCH");
  });

  it.each<[string, string, string]>([
    ["other diffIDs", imageConfig([digestOf("another")]).content, "the config says"],
    ["no diffID", imageConfig([]).content, "0 diffIDs for 1 layers"],
    ["malformed diffIDs", imageConfig(["a"]).content, "malformed"],
    ["no JSON", "", "is not JSON"],
  ])("accepts a layer with allowUnverified: a config with %s", async (_, content, reason) => {
    const plain = directory();
    const { descriptor } = await layoutOf(plain, [await layer("a")], {
      config: { mediaType: CONFIG, content },
    });
    const path = directory();
    const there = await encrypt(plain, path);
    expect(there.warnings.join("\n")).toContain("decryption will reject it unless");
    await expect(decrypt(path, directory())).rejects.toThrow(reason);
    const { image, layers, warnings } = await decrypt(path, directory(), { allowUnverified: true });
    expect(image.digest).toBe(descriptor.digest);
    expect(layers[0]!.diffId).toContain(reason);
    expect(warnings).toEqual([`layer 0 is ${layers[0]!.diffId}`]);
  });

  it("gives no warning if the config is right", async () => {
    const plain = directory();
    await layoutOf(plain, [await layer("a"), await layer("b", { mediaType: TAR })]);
    expect((await encrypt(plain, directory())).warnings).toEqual([]);
  });

  it("of zstd finds damage", async (context) => {
    if (!("createZstdDecompress" in (await import("node:zlib")))) {
      context.skip("Node.js has no zstd before 22.15");
    }
    const good = await layer("a", { mediaType: TAR_ZSTD });
    const blob = changed(good.blob, -3);
    const descriptor = { ...good.descriptor, digest: digestOf(blob) };
    await expectRefusal(await encrypted([{ ...good, descriptor, blob }]), "DIFF_ID_MISMATCH");
  });

  it("compares each layer in its position", async () => {
    const [plain, path] = [directory(), directory()];
    await layoutOf(plain, await some(4));
    await encrypt(plain, path, { layers: [1, 3] });
    const { layers } = await decrypt(path, directory());
    expect(layers.map(({ index, diffId }) => [index, diffId])).toEqual([
      [1, "verified"],
      [3, "verified"],
    ]);
  });

  it("supports Docker's types", async () => {
    const path = await encrypted([await layer("a")]);
    await changeLayers(path, ([entry]) =>
      Object.assign(entry!, { mediaType: `${DOCKER_TAR_GZIP}+encrypted` }),
    );
    const { layers } = await decrypt(path, directory());
    expect(layers.map(({ diffId }) => diffId)).toEqual(["verified"]);
  });

  // https://github.com/opencontainers/image-spec/blob/main/descriptor.md#registered-algorithms
  it("supports sha512", async () => {
    const one = await layer("a", { mediaType: TAR });
    const { content } = imageConfig([digestOf(one.blob, "sha512")]);
    const path = await encrypted([one], { config: { mediaType: CONFIG, content } });
    const { layers } = await decrypt(path, directory());
    expect(layers.map(({ diffId }) => diffId)).toEqual(["verified"]);
  });
});

describe("decryption of a part", () => {
  it("leaves the other layers encrypted", async () => {
    const path = await encrypted(await some(3));
    const there = directory();
    const { image, layers } = await decrypt(path, there, { layers: [-1] });
    expect(layers.map(({ index }) => index)).toEqual([2]);
    const manifest = await readManifest(there, image);
    expect(manifest.layers.map(({ mediaType }) => mediaType)).toEqual([
      ...[`${TAR_GZIP}+encrypted`, `${TAR_GZIP}+encrypted`, TAR_GZIP],
    ]);
    const [before] = await readEntries(path);
    const { layers: all } = await readManifest(path, before!);
    expect(manifest.layers.slice(0, 2)).toEqual(all.slice(0, 2));
  });

  it("leaves the other platforms encrypted", async () => {
    const [plain, path, there] = [directory(), directory(), directory()];
    const { arm64 } = await multiPlatform(plain);
    await encrypt(plain, path);
    const { layers } = await decrypt(path, there, { platforms: ["linux/arm64/v8"] });
    expect(layers.map(({ platform }) => platform)).toEqual(["linux/arm64/v8", "linux/arm64/v8"]);
    expect(await readBlob(there, arm64.descriptor)).toEqual(Buffer.from(arm64.text));
  });
});

describe("decryption", () => {
  it("does not read blobs that the destination holds", async () => {
    const path = await encrypted([await layer("a"), await layer("b")]);
    const { config } = await readManifest(path, (await readEntries(path))[0]!);
    const there = await createLayout(directory());
    const content = await readBlob(path, config);
    await putBlob(there, content);
    await decrypt(path, there);
    expect(await readBlob(there, config)).toEqual(content);
  });

  it("reports the progress of decrypted and copied blobs", async () => {
    const [plain, path] = [directory(), directory()];
    const layers = await some(2);
    await layoutOf(plain, layers);
    await encrypt(plain, path, { layers: [0] });
    const seen: ImageProgress[] = [];
    const { layers: done } = await decrypt(path, directory(), {
      onProgress: (each) => seen.push(each),
    });
    const actions = new Map(seen.map(({ digest, action }) => [digest, action]));
    expect(actions.get(done[0]!.before.digest)).toBe("decrypt");
    expect(actions.get(layers[1]!.descriptor.digest)).toBe("copy");
    expect(seen.at(-1)!.bytes).toBe(seen.at(-1)!.size);
  });

  it("publishes nothing when it is aborted at its end", async () => {
    const path = await encrypted([layerOf(randomBytes(700_000), { mediaType: TAR })]);
    const [parent, abort] = [directory(), new AbortController()];
    const onProgress = ({ bytes, size }: ImageProgress): void => {
      if (bytes === size) abort.abort(new Error("too late"));
    };
    const { signal } = abort;
    const aborted = decrypt(path, `${parent}/new`, { signal, onProgress });
    await expect(aborted).rejects.toThrow("too late");
    expect(await snapshot(parent)).toEqual({});
  });

  it("is stopped by the first failure", async () => {
    const layers = await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        layer(`file-${String(i)}`, { mediaType: TAR, content: randomBytes(300_000) }),
      ),
    );
    const path = await encrypted(layers);
    const { layers: entries } = await readManifest(path, (await readEntries(path))[0]!);
    await writeFile(blobFile(path, entries[0]!.digest), "short");
    const seen = new Set<string>();
    const parent = directory();
    const failing = decrypt(path, `${parent}/new`, {
      concurrency: 1,
      onProgress: ({ digest }) => seen.add(digest),
    });
    await expectCode(failing, "BLOB_SIZE_MISMATCH");
    expect([...seen].filter((digest) => digest !== entries[0]!.digest)).toEqual([]);
    expect(await snapshot(parent)).toEqual({});
  });
});
