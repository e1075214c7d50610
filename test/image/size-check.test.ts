import { createCipheriv, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { encryptImage, rotateImage, type EncryptImageOptions } from "../../src/image/index.js";
import type { Recipient } from "../../src/keywrap/types.js";
import { layoutDestination } from "../../src/store/layout/destination.js";
import { layoutSource } from "../../src/store/layout/source.js";
import { expectCode } from "../support/codes.js";
import {
  CONFIG,
  createLayout,
  describedAs,
  digestOf,
  DOCKER_MANIFEST,
  DOCKER_TAR_GZIP,
  layer,
  layerOf,
  layoutOf,
  MANIFEST,
  putBlob,
  putText,
  readBlob,
  readManifest,
  snapshot,
  TAR,
  temporaryDirectories,
  writeIndex,
  type Layer,
} from "../support/image.js";
import { openKey, plainRecipient } from "../support/layers.js";
import { memoryImage, type MemoryImage } from "../../src/store/memory.js";
import { encrypt } from "../support/operations.js";
import { watchedLayout } from "../support/watched-layout.js";

const directory = temporaryDirectories();

/** Of a key provider: wrapped keys that take up `size` bytes each. */
function large(name: string, size: number, calls: string[] = []): Recipient {
  return {
    scheme: `provider.${name}`,
    wrap(secret) {
      calls.push(Buffer.from(secret).toString("base64"));
      return Promise.resolve(Buffer.concat([secret, randomBytes(size - secret.byteLength)]));
    },
  };
}

async function twoLayers(): Promise<string> {
  const path = directory();
  await layoutOf(path, [await layer("a"), await layer("b")]);
  return path;
}

describe("recipients that do not fit are rejected before any layer is read", () => {
  /** In base64, one takes up 9868 characters and a comma in each of two layers. */
  const FIT = 212;
  const recipients = Array.from({ length: 250 }, (_, i) => large(`p${String(i % 4)}`, 7400));

  it("by encryption, with the number of recipients that fit", async () => {
    const path = await twoLayers();
    const before = await snapshot(path);
    const { source, destination, calls } = await watchedLayout(path);
    const error = await expectCode(
      encryptImage(source, destination, { recipients }),
      "MANIFEST_TOO_LARGE",
    );
    expect(error.message).toContain("there is room for 212 of the 250 recipients");
    expect(calls).toEqual([`read ${MANIFEST}`, `read ${CONFIG}`]);
    expect(await snapshot(path)).toEqual(before);
    await encrypt(path, directory(), { recipients: recipients.slice(0, FIT) });
    const more = encrypt(path, directory(), { recipients: recipients.slice(0, FIT + 1) });
    await expectCode(more, "MANIFEST_TOO_LARGE");
  });

  it("by rotation", async () => {
    const [plain, path, to] = [await twoLayers(), directory(), directory()];
    await encrypt(plain, path);
    const { source, calls } = await watchedLayout(path);
    const { destination, calls: written } = await watchedLayout(to);
    const error = await expectCode(
      rotateImage(source, destination, { keys: [openKey()], recipients }),
      "MANIFEST_TOO_LARGE",
    );
    expect(error.message).toContain("there is room for 212 of the 250 recipients");
    expect(calls).toEqual([`read ${MANIFEST}`, `read ${CONFIG}`]);
    expect(written).toEqual([]);
  });

  it("because one list would become too long", async () => {
    const path = await twoLayers();
    const { source, destination, calls } = await watchedLayout(path);
    const many = Array.from({ length: 1025 }, () => plainRecipient());
    const result = encryptImage(source, destination, { recipients: many });
    await expectCode(result, "ANNOTATION_TOO_LARGE");
    expect(calls).toEqual([`read ${MANIFEST}`, `read ${CONFIG}`]);
  });
});

describe("wrapping a key to measure its size", () => {
  it("is not needed if there is room in any case", async () => {
    const path = await twoLayers();
    const calls: string[] = [];
    await encrypt(path, directory(), { recipients: [large("counted", 1000, calls)] });
    expect(calls).toHaveLength(2);
  });

  it("does not contain the key of a layer", async () => {
    const [path, to] = [await twoLayers(), directory()];
    const calls: string[] = [];
    const small = Array.from({ length: 250 }, (_, i) =>
      i === 0 ? large("counted", 1000, calls) : plainRecipient(`provider.p${String(i)}`),
    );
    const { image } = await encrypt(path, to, { recipients: small });
    expect(calls).toHaveLength(3);
    const [rehearsed, ...used] = calls.map((call) => {
      const json = Buffer.from(call, "base64").toString();
      return JSON.parse(json) as { symkey: string; cipheroptions: { nonce: string } };
    });
    const { layers } = await readManifest(to, image);
    for (const { digest } of layers) {
      const ciphertext = await readBlob(to, { digest });
      const opens = ({ symkey, cipheroptions: { nonce } }: (typeof used)[number]): boolean => {
        const [k, n] = [Buffer.from(symkey, "base64"), Buffer.from(nonce, "base64")];
        const plain = createCipheriv("aes-256-ctr", k, n).update(ciphertext);
        return plain.subarray(0, 2).toString("hex") === "1f8b";
      };
      expect(used.some(opens)).toBe(true);
      expect(opens(rehearsed!)).toBe(false);
    }
  });
});

/** A manifest that names small layers many times, in memory. */
async function manyLayers(count: number, distinct: number): Promise<MemoryImage> {
  const image = memoryImage();
  const put = (text: string): { digest: string; size: number } => {
    image.blobs.set(digestOf(text), Buffer.from(text));
    return { digest: digestOf(text), size: text.length };
  };
  const layers = Array.from({ length: count }, (_, i) => ({
    mediaType: TAR,
    ...put(String(i % distinct)),
  }));
  const config = { mediaType: CONFIG, ...put("{}") };
  const manifest = JSON.stringify({ schemaVersion: 2, config, layers });
  await image.commit({ mediaType: MANIFEST, ...put(manifest) });
  return image;
}

/** As large as a usual JWE, of a scheme whose sizes are known. */
function usual(count: number, onWrap: () => void = () => undefined): Recipient[] {
  return Array.from({ length: count }, () => ({
    scheme: "jwe",
    wrap: () => {
      onWrap();
      return Promise.resolve(randomBytes(700));
    },
  }));
}

describe("the check whether recipients fit", () => {
  it("handles more wrapped keys than a string can hold", async () => {
    const image = await manyLayers(4900, 1);
    const error = await expectCode(
      encryptImage(image, image, { recipients: usual(200) }),
      "MANIFEST_TOO_LARGE",
    );
    expect(error.message).toContain("there is room for 0 of the 200 recipients");
  });

  it("is fast for many layers and recipients, and can be aborted", async () => {
    const image = await manyLayers(100, 100);
    const abort = new AbortController();
    const recipients = usual(1000, () => setImmediate(() => { abort.abort(new Error("enough")); })); // prettier-ignore
    const start = performance.now();
    const error = await expectCode(
      encryptImage(image, image, { recipients: usual(1000) }),
      "MANIFEST_TOO_LARGE",
    );
    expect(error.message).toContain("there is room for 44 of the 1000 recipients");
    expect(performance.now() - start).toBeLessThan(5000);
    const { signal } = abort;
    await expect(encryptImage(image, image, { recipients, signal })).rejects.toThrow("enough");
  });

  it.each<[string, Recipient[], "ANNOTATION_TOO_LARGE" | "MANIFEST_TOO_LARGE"]>([
    [
      "long wrapped keys of one list",
      Array.from({ length: 200 }, () => ({ ...large("x", 6000), scheme: "jwe" })),
      "ANNOTATION_TOO_LARGE",
    ],
    [
      "a few wrapped keys of schemes that are not known",
      Array.from({ length: 17 }, (_, i) => large(`p${String(i)}`, 200_000)),
      "MANIFEST_TOO_LARGE",
    ],
  ])("counts %s", async (_, recipients, code) => {
    const path = directory();
    await layoutOf(path, [await layer("a")]);
    const { source, destination, calls } = await watchedLayout(path);
    await expectCode(encryptImage(source, destination, { recipients }), code);
    expect(calls).toEqual([`read ${MANIFEST}`, `read ${CONFIG}`]);
    calls.length = 0;
    const [encrypted, keys] = [directory(), [openKey()]];
    await encrypt(path, encrypted);
    const from = await watchedLayout(encrypted);
    await expectCode(rotateImage(from.source, destination, { recipients, keys }), code);
    expect([calls, from.calls]).toEqual([[], [`read ${MANIFEST}`, `read ${CONFIG}`]]);
  });
});

describe("a manifest of exactly the largest size", () => {
  const LIMIT = 4 * 1024 * 1024;
  const recipients = Array.from({ length: 40 }, (_, i) => plainRecipient(`provider.p${String(i)}`));

  type Write = (path: string, filler: string) => Promise<void>;

  async function writeDocker(path: string, filler: string): Promise<void> {
    const { descriptor, blob } = await layer("a", { mediaType: DOCKER_TAR_GZIP });
    await putBlob(path, blob);
    const config = { mediaType: CONFIG, ...(await putBlob(path, "{}")) };
    const layers = Array.from({ length: 100 }, () => descriptor);
    const annotations = { filler };
    const text = JSON.stringify({ mediaType: DOCKER_MANIFEST, config, layers, annotations });
    await writeIndex(path, [await putText(path, text, DOCKER_MANIFEST)]);
  }

  async function writeHistory(path: string, filler: string): Promise<void> {
    const { descriptor, blob } = await layer("a");
    await putBlob(path, blob);
    const json = JSON.stringify({ history: [{ created_by: "x".repeat(3000) }] });
    const data = Buffer.from(json).toString("base64");
    const config = { mediaType: CONFIG, ...(await putBlob(path, json)), data };
    const text = JSON.stringify({ config, layers: [descriptor], annotations: { filler } });
    await writeIndex(path, [await putText(path, text)]);
  }

  it.each<[string, Write, Partial<EncryptImageOptions>]>([
    ["of Docker's format", writeDocker, { layers: [0] }],
    ["with its config's history", writeHistory, { redactHistory: true }],
  ])("is accepted although it was larger before, %s", async (_, write, options) => {
    const path = await createLayout(directory());
    await write(path, "");
    const { image } = await encrypt(path, directory(), { recipients, ...options });
    await write(path, "x".repeat(LIMIT - image.size));
    expect((await encrypt(path, directory(), { recipients, ...options })).image.size).toBe(LIMIT);
    await write(path, "x".repeat(LIMIT - image.size + 1));
    const { source, destination, calls } = await watchedLayout(path);
    const error = await expectCode(
      encryptImage(source, destination, { recipients, ...options }),
      "MANIFEST_TOO_LARGE",
    );
    expect(error.message).toContain("there is room for 39 of the 40 recipients");
    expect(calls.slice(1)).toEqual([`read ${CONFIG}`]);
  });
});

describe("the digest in a key that is wrapped to measure its size", () => {
  /** Of a key provider, with the digests that it is to wrap. */
  function watching(): { recipients: Recipient[]; digests: string[]; refused: Set<string> } {
    const [digests, refused]: [string[], Set<string>] = [[], new Set()];
    const wrap = (secret: Uint8Array): Promise<Uint8Array> => {
      const { digest } = JSON.parse(Buffer.from(secret).toString()) as { digest: string };
      digests.push(digest);
      if (refused.has(digest)) return Promise.reject(new Error("no such digest"));
      return Promise.resolve(Uint8Array.from(secret));
    };
    const recipients = Array.from({ length: 40 }, () => ({ scheme: "provider.watching", wrap }));
    return { recipients, digests, refused };
  }

  const sha512 = (of: Layer): Layer => describedAs(of, { digest: digestOf(of.blob, "sha512") });

  it("is the longest of the layers", async () => {
    const layers = [await layer("a"), sha512(await layer("b")), await layer("c")];
    const path = directory();
    await layoutOf(path, layers);
    const { recipients, digests } = watching();
    await encrypt(path, directory(), { recipients });
    expect(digests).toHaveLength(160);
    expect(new Set(digests.slice(0, 40))).toEqual(new Set([layers[1]!.descriptor.digest]));
  });

  it("has the usual length in a rotation, in which recipients may reject it", async () => {
    const usual = `sha256:${"0".repeat(64)}`;
    const [plain, path, to] = [directory(), directory(), directory()];
    const secret = layerOf(randomBytes(1000));
    await layoutOf(plain, [secret]);
    await encrypt(plain, path);
    const { recipients, digests, refused } = watching();
    refused.add(usual);
    const source = layoutSource({ path });
    await rotateImage(source, await layoutDestination({ path: to }), {
      ...{ recipients, keys: [openKey()] },
    });
    expect(digests.slice(0, 40)).toEqual(Array.from({ length: 40 }, () => usual));
    expect(new Set(digests.slice(40))).toEqual(new Set([secret.descriptor.digest]));
  });
});
