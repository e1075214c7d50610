import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import {
  addImageRecipients,
  rotateImage,
  type EncryptImageResult,
  type ImageProgress,
  type RotateImageOptions,
} from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Recipient } from "../../src/keywrap/types.js";
import { layoutSource } from "../../src/store/layout/source.js";
import { parseLayoutReference } from "../../src/store/reference.js";
import type { ImageDestination } from "../../src/store/types.js";
import { expectCode } from "../support/codes.js";
import {
  blobFile,
  layer,
  layerOf,
  layoutOf,
  multiPlatform,
  putText,
  readBlob,
  readEntries,
  readIndexEntries,
  readManifest,
  snapshot,
  TAR,
  TAR_GZIP,
  temporaryDirectories,
  writeIndex,
  type Entry,
} from "../support/image.js";
import { ENC, foreignKey, openKey, plainRecipient } from "../support/layers.js";
import { decrypt, encrypt } from "../support/operations.js";
import { vectorFile } from "../support/vectors.js";
import { watchedLayout } from "../support/watched-layout.js";

const directory = temporaryDirectories();
const PEERS = fileURLToPath(new URL("../../vectors/peers/", import.meta.url));

/** Wraps by not wrapping, so that the tests see the secret; the old ones are of `test`. */
const NEW = plainRecipient("new");

async function rotate(
  from: string,
  to: string,
  options: Partial<RotateImageOptions> = {},
): Promise<EncryptImageResult> {
  const { source } = await watchedLayout(from);
  const { destination } = await watchedLayout(to);
  return rotateImage(source, destination, { recipients: [NEW], keys: [openKey()], ...options });
}

/** A layout with a plain and an encrypted layer. */
async function partlyEncrypted(): Promise<string> {
  const [plain, path] = [directory(), directory()];
  await layoutOf(plain, [await layer("a"), await layer("b")]);
  await encrypt(plain, path, { layers: [1] });
  return path;
}

async function layersOf(path: string): Promise<Entry[]> {
  return (await readManifest(path, (await readEntries(path))[0]!)).layers;
}

interface Secret {
  symkey: string;
  digest: string;
  cipheroptions: { nonce: string };
}

function secretOf({ annotations }: Entry, scheme: string): Secret {
  const wrapped = annotations![`${ENC}keys.${scheme}`]!;
  return JSON.parse(Buffer.from(wrapped, "base64").toString()) as Secret;
}

describe("rotateImage", () => {
  it("gives each layer a new key, and keeps the recorded digest", async () => {
    const [path, other] = [await partlyEncrypted(), directory()];
    const result = await rotate(path, other);
    expect(result.warnings).toEqual([]);
    const [before, after] = [await layersOf(path), await layersOf(other)];
    const [old, fresh] = [secretOf(before[1]!, "test"), secretOf(after[1]!, "new")];
    expect(fresh.symkey).not.toBe(old.symkey);
    expect(fresh.cipheroptions.nonce).not.toBe(old.cipheroptions.nonce);
    expect(fresh.digest).toBe(old.digest);
    expect(fresh.digest).toMatch(/^sha256:/);
    expect(after[1]!.mediaType).toBe(before[1]!.mediaType);
    expect(after[1]!.size).toBe(before[1]!.size);
    expect(after[1]!.digest).not.toBe(before[1]!.digest);
    expect(Object.keys(after[1]!.annotations!).sort()).toEqual([`${ENC}keys.new`, `${ENC}pubopts`]);
    expect(result.layers).toMatchObject([
      {
        platform: "-",
        index: 1,
        before: { digest: before[1]!.digest },
        after: { digest: after[1]!.digest },
      },
    ]);
  });

  it("copies plain layers and the config", async () => {
    const [path, other] = [await partlyEncrypted(), directory()];
    await rotate(path, other);
    const [before, after] = [await layersOf(path), await layersOf(other)];
    expect(after[0]).toEqual(before[0]);
    expect(await readBlob(other, after[0]!)).toEqual(await readBlob(path, before[0]!));
  });

  it("opens only for the new recipients", async () => {
    const [plain, path, other] = [directory(), directory(), directory()];
    const { descriptor } = await layoutOf(plain, [await layer("a"), await layer("b")]);
    const jwk = (name: string): Recipient => jwe.recipient(vectorFile(`keys/${name}.pub.jwk`));
    const key = (name: string): ReturnType<typeof jwe.key> =>
      jwe.key(vectorFile(`keys/${name}.jwk`));
    await encrypt(plain, path, { recipients: [jwk("ec-p256"), plainRecipient("provider.kms")] });
    const options = { recipients: [jwk("ec-p384"), jwk("ec-p521")], keys: [key("ec-p256")] };
    await rotate(path, other, options);
    for (const name of ["ec-p384", "ec-p521"]) {
      const { image, layers } = await decrypt(other, directory(), { keys: [key(name)] });
      expect(image.digest).toBe(descriptor.digest);
      expect(layers.map(({ diffId }) => diffId)).toEqual(["verified", "verified"]);
    }
    const old = [key("ec-p256"), openKey("provider.kms")];
    await expectCode(decrypt(other, directory(), { keys: old }), "NO_MATCHING_KEY");
  });

  it("keeps shared layers shared, for whichever recipients", async () => {
    const [plain, path, other] = [directory(), directory(), directory()];
    const { index } = await multiPlatform(plain);
    await encrypt(plain, path);
    const { source, destination } = await watchedLayout(path);
    await addImageRecipients(source, destination, {
      ...{ recipients: [plainRecipient("more")], keys: [openKey()], platforms: ["linux/arm64"] },
    });
    const { image } = await rotate(path, other);
    const entries = await readIndexEntries(other, image);
    const [amd64, arm64] = await Promise.all(
      entries.slice(1, 3).map(async (entry) => (await readManifest(other, entry)).layers),
    );
    expect(amd64![0]).toEqual(arm64![0]);
    expect(amd64![1]!.digest).not.toBe(arm64![1]!.digest);
    expect(entries[0]!.annotations!["vnd.docker.reference.digest"]).toBe(entries[2]!.digest);
    const back = await decrypt(other, directory(), { keys: [openKey("new")] });
    expect(back.image.digest).toBe(index.digest);
  });

  it("keeps the recorded digest, even if it is not the digest of the layer", async () => {
    const path = join(PEERS, "layouts", "skopeo-1.9.3", "jwe-rsa2048-pem");
    const keys = [jwe.key(vectorFile("peers/keys/rsa2048.pkcs8.pem"))];
    const [other, back] = [directory(), directory()];
    await rotate(path, other, { keys });
    const recorded = (await layersOf(other)).map((each) => secretOf(each, "new").digest);
    const { image } = await decrypt(other, back, { keys: [openKey("new")] });
    const actual = (await readManifest(back, image)).layers.map(({ digest }) => digest);
    expect(recorded).toHaveLength(4);
    // skopeo compressed the third layer after it had taken its digest.
    expect(recorded.map((digest, i) => digest === actual[i])).toEqual([true, true, false, true]);
  });

  it("rotates in place, and warns about the old blobs", async () => {
    const path = await partlyEncrypted();
    const { image, warnings } = await rotate(path, path);
    expect((await readEntries(path)).map(({ digest }) => digest)).toEqual([image.digest]);
    expect(warnings).toEqual([
      expect.stringMatching(/still holds the blobs of 1 layer under the old keys/),
    ]);
    await decrypt(path, directory(), { keys: [openKey("new")] });
  });

  it("rotates the selected layers, and warns about equal layers that are not selected", async () => {
    const [plain, path, other] = [directory(), directory(), directory()];
    const once = await layer("a");
    await layoutOf(plain, [once, await layer("b"), once]);
    await encrypt(plain, path);
    const { layers, warnings } = await rotate(path, other, { layers: [0] });
    expect(layers.map(({ index }) => index)).toEqual([0]);
    const [before, after] = [await layersOf(path), await layersOf(other)];
    expect(after.slice(1)).toEqual(before.slice(1));
    expect(warnings[0]).toContain(`${before[2]!.digest} has a new key in one place`);
    const keys = [openKey(), openKey("new")];
    expect((await decrypt(other, directory(), { keys })).layers).toHaveLength(3);
  });

  it.each<[string, string]>([
    ["that readers could understand differently", '{"rootf\u017f":{},"rootfs":{"diff_ids":[]}}'],
    ["with another number of diffIDs", '{"rootfs":{"diff_ids":[]}}'],
  ])("warns that it cannot bind layers to a config %s", async (_, content) => {
    const [plain, path] = [directory(), directory()];
    const mediaType = "application/vnd.oci.image.config.v1+json";
    await layoutOf(plain, [await layer("a")], { config: { mediaType, content } });
    await encrypt(plain, path);
    const warning = expect.stringContaining("are not bound to it: the image's config") as string;
    expect((await rotate(path, directory())).warnings).toEqual([warning]);
    expect((await rotate(path, directory(), { bind: false })).warnings).toEqual([]);
  });

  it("reports progress", async () => {
    const [path, reports] = [await partlyEncrypted(), [] as ImageProgress[]];
    await rotate(path, directory(), { onProgress: (progress) => reports.push(progress) });
    expect(new Set(reports.map(({ action }) => action))).toEqual(new Set(["copy", "encrypt"]));
    expect(reports.at(-1)!.bytes).toBe(reports.at(-1)!.size);
  });

  it("streams layers and keeps little of them in memory", async () => {
    const SIZE = 32 * 1024 * 1024;
    const [plain, path] = [directory(), directory()];
    await layoutOf(plain, [layerOf(randomBytes(SIZE), { mediaType: TAR })]);
    await encrypt(plain, path);
    let [read, written, most] = [0, 0, 0];
    const inner = layoutSource(parseLayoutReference(`oci:${path}`));
    const destination: ImageDestination = {
      contains: () => Promise.resolve(false),
      async write(content, describe) {
        for await (const chunk of content) {
          written += chunk.byteLength;
          most = Math.max(most, read - written);
        }
        await describe();
      },
      writeManifest: () => Promise.resolve(),
      commit: () => Promise.resolve(),
      discard: () => Promise.resolve(),
    };
    const source = {
      resolve: () => inner.resolve(),
      async *read(descriptor: Parameters<typeof inner.read>[0]) {
        for await (const chunk of inner.read(descriptor)) {
          if (descriptor.size === SIZE) read += chunk.byteLength;
          yield chunk;
        }
      },
    };
    await rotateImage(source, destination, { recipients: [NEW], keys: [openKey()] });
    expect(read).toBe(SIZE);
    expect(written).toBeGreaterThanOrEqual(SIZE);
    expect(most).toBeLessThan(1024 * 1024);
  });
});

describe("rotateImage publishes nothing", () => {
  /** Changes one byte of the encrypted blob, in the manifest too, so that only the HMAC tells. */
  async function tampered(size: number): Promise<string> {
    const [plain, path, other] = [directory(), directory(), directory()];
    await layoutOf(plain, [await layer("a"), layerOf(randomBytes(size), { mediaType: TAR_GZIP })]);
    await encrypt(plain, path, { bind: false });
    const [first, second] = await layersOf(path);
    const blob = await readBlob(path, second!);
    blob[0]! ^= 1;
    const { mediaType, annotations } = second!;
    const changed = layerOf(blob, { mediaType: TAR });
    await layoutOf(other, [
      { descriptor: first!, blob: await readBlob(path, first!), diffId: "" },
      { ...changed, descriptor: { ...changed.descriptor, mediaType, annotations: annotations! } },
    ]);
    return other;
  }

  async function expectRefusal(
    path: string,
    code: ErrorCode,
    options: Partial<RotateImageOptions> = {},
  ): Promise<void> {
    const [parent, before] = [directory(), await snapshot(path)];
    await expectCode(rotate(path, join(parent, "new"), options), code);
    expect(await snapshot(parent)).toEqual({});
    await expectCode(rotate(path, path, options), code);
    expect(await snapshot(path)).toEqual(before);
  }

  it.each([1000, 1_000_000])("when the HMAC over %i bytes is wrong", async (size) => {
    await expectRefusal(await tampered(size), "HMAC_MISMATCH");
  });

  it("when a blob is damaged", async () => {
    const path = await partlyEncrypted();
    const [, second] = await layersOf(path);
    await writeFile(blobFile(path, second!.digest), Buffer.alloc(second!.size));
    await expectRefusal(path, "BLOB_DIGEST_MISMATCH");
  });

  it.each<[string, Partial<RotateImageOptions>, ErrorCode]>([
    ["for nobody", { recipients: [] }, "NO_RECIPIENTS"],
    ["without a key", { keys: [] }, "NO_KEYS"],
    ["with a foreign key", { keys: [foreignKey()] }, "NO_MATCHING_KEY"],
    ["of a plain layer", { layers: [0] }, "NOT_ENCRYPTED"],
    ["of a layer that is not there", { layers: [2] }, "NOTHING_SELECTED"],
    [
      "for a recipient that fails",
      { recipients: [NEW, { scheme: "x", wrap: () => Promise.reject(new Error("no")) }] },
      "WRAP_FAILED",
    ],
  ])("%s", async (_, options, code) => {
    await expectRefusal(await partlyEncrypted(), code, options);
  });

  it("of a layer whose type says that it is encrypted twice", async () => {
    const path = await partlyEncrypted();
    const manifest = await readManifest(path, (await readEntries(path))[0]!);
    manifest.layers[1]!.mediaType += "+encrypted";
    await writeIndex(path, [await putText(path, JSON.stringify(manifest))]);
    const before = await snapshot(path);
    const { source, destination, calls } = await watchedLayout(path);
    const error = await expectCode(
      rotateImage(source, destination, { recipients: [NEW], keys: [openKey()] }),
      "MANIFEST_INVALID",
    );
    expect(error.message).toContain(`"${TAR_GZIP}+encrypted+encrypted"`);
    expect(calls).toHaveLength(1);
    expect(await snapshot(path)).toEqual(before);
  });

  it("when it is aborted", async () => {
    const path = await partlyEncrypted();
    const [parent, controller] = [directory(), new AbortController()];
    const onProgress = (): void => {
      controller.abort(new Error("enough"));
    };
    const options = { signal: controller.signal, onProgress };
    await expect(rotate(path, join(parent, "new"), options)).rejects.toThrow("enough");
    expect(await snapshot(parent)).toEqual({});
  });
});

describe("a recipient that is named twice", () => {
  it("is in the rotated layers once", async () => {
    const [path, to] = [await partlyEncrypted(), directory()];
    const recipients = ["pem", "jwk"].map((form) =>
      jwe.recipient(vectorFile(`keys/rsa-3072.pub.${form}`)),
    );
    await rotate(path, to, { recipients });
    const [, after] = await layersOf(to);
    expect(after!.annotations![`${ENC}keys.jwe`]!.split(",")).toHaveLength(1);
  });
});
