import { createCipheriv, randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { OcicryptError, type ErrorCode } from "../../../src/errors.js";
import { encryptImage, type EncryptImageResult } from "../../../src/image/encrypt.js";
import type { ImageProgress } from "../../../src/image/engine/copy-blobs.js";
import type { Reuse } from "../../../src/image/features/reuse.js";
import type { Key, Recipient } from "../../../src/keywrap/types.js";
import { layoutDestination } from "../../../src/store/layout/destination.js";
import { layoutSource } from "../../../src/store/layout/source.js";
import type { ImageDestination, ImageSource } from "../../../src/store/types.js";
import { collect } from "../../support/bytes.js";
import { expectCode } from "../../support/codes.js";
import {
  blobFile,
  digestOf,
  DOCKER_TAR_GZIP,
  describedAs,
  imageConfig,
  layer,
  layerOf,
  layoutOf,
  multiPlatform,
  putText,
  readBlob,
  readEntries,
  readManifest,
  snapshot,
  TAR,
  temporaryDirectories,
  writeIndex,
  type Entry,
  type Layer,
} from "../../support/image.js";
import {
  base64,
  ENC,
  foreignKey,
  NONCE,
  openKey,
  plainRecipient,
  SYMKEY,
} from "../../support/layers.js";
import { decrypt } from "../../support/operations.js";

const directory = temporaryDirectories();

function bytes(length: number): Layer {
  return layerOf(randomBytes(length), { mediaType: TAR });
}

async function image(layers: readonly Layer[]): Promise<string> {
  const path = directory();
  await layoutOf(path, layers);
  return path;
}

interface Written {
  chunks: Buffer[];
  digest?: string;
}

interface Run {
  source?: ImageSource;
  destination?: string;
  earlier?: string | ImageSource;
  keys?: readonly Key[];
  recipients?: readonly Recipient[];
  signal?: AbortSignal;
}

/** Encrypts with an earlier image, and watches what is written. */
async function encryptAgain(
  path: string,
  run: Run,
): Promise<EncryptImageResult & { written: Written[]; path: string }> {
  const destination = run.destination ?? directory();
  const written: Written[] = [];
  const to = watch(await layoutDestination({ path: destination }), written);
  const { earlier, keys = [openKey()], recipients = [plainRecipient()], signal } = run;
  const from = typeof earlier === "string" ? layoutSource({ path: earlier }) : earlier;
  const reuse: Reuse | undefined = from && { image: from, keys };
  const source = run.source ?? layoutSource({ path });
  const options = { recipients, ...(reuse && { reuse }), ...(signal && { signal }) };
  try {
    return { ...(await encryptImage(source, to, options)), written, path: destination };
  } catch (error) {
    if (error instanceof Error) Object.assign(error, { written });
    throw error;
  }
}

function watch(inner: ImageDestination, written: Written[]): ImageDestination {
  return {
    ...inner,
    async write(content, describe) {
      const one: Written = { chunks: [] };
      written.push(one);
      async function* seen(): AsyncGenerator<Uint8Array> {
        for await (const chunk of content) {
          one.chunks.push(Buffer.from(chunk));
          yield chunk;
        }
      }
      await inner.write(seen(), async () => {
        const found = await describe();
        one.digest = found.digest;
        return found;
      });
    },
  };
}

/** An image that was encrypted before. */
async function encrypted(
  layers: readonly Layer[],
  recipients?: readonly Recipient[],
): Promise<{ path: string; layers: Entry[] }> {
  const { path, image: entry } = await encryptAgain(await image(layers), {
    ...(recipients && { recipients }),
  });
  return { path, layers: (await readManifest(path, entry)).layers };
}

/** Changes the layers in the manifest of the only image of a layout. */
async function changeLayers(path: string, change: (layers: Entry[]) => void): Promise<void> {
  const [entry] = await readEntries(path);
  const manifest = await readManifest(path, entry!);
  change(manifest.layers);
  await writeIndex(path, [await putText(path, JSON.stringify(manifest))]);
}

interface Secret {
  symkey: string;
  digest: string;
  cipheroptions: { nonce: string };
}

function secretOf({ annotations }: Entry): Secret {
  return JSON.parse(Buffer.from(annotations![`${ENC}keys.test`]!, "base64").toString()) as Secret;
}

/** Encrypts a plaintext with a layer's secret. */
function under({ symkey, cipheroptions }: Secret, plain: Buffer): Buffer {
  const [key, nonce] = [symkey, cipheroptions.nonce].map((text) => Buffer.from(text, "base64"));
  return createCipheriv("aes-256-ctr", key!, nonce!).update(plain);
}

const allOf = (written: readonly Written[]): Buffer =>
  Buffer.concat(written.flatMap(({ chunks }) => chunks));

describe("a layer that has not changed", () => {
  it("keeps its blob, which is not written again in the same place", async () => {
    const [a, b, c] = [await layer("a"), bytes(3_000_000), await layer("c")];
    const before = await encrypted([a, b]);
    const path = await image([a, c, b]);
    const result = await encryptAgain(path, { earlier: before.path, destination: before.path });
    expect(result.layers.map(({ index, reused }) => [index, reused])).toEqual([[0, true], [1, undefined], [2, true]]);
    const { layers } = await readManifest(before.path, result.image);
    expect([layers[0], layers[2]]).toMatchObject(before.layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })));
    expect(result.written.map(({ digest }) => digest)).toEqual([
      layers[1]!.digest,
      (await readManifest(path, (await readEntries(path))[0]!)).config.digest,
    ]);
    const again = directory();
    expect((await decrypt(before.path, again)).image.digest).toBe((await readEntries(path))[0]!.digest);
  }); // prettier-ignore

  it("is written with the same digest in another place", async () => {
    const sizes = [0, 1, 1024 * 1024, 1024 * 1024 + 1, 2_500_000];
    const layers = sizes.map(bytes);
    const before = await encrypted(layers);
    const path = await image(layers);
    const result = await encryptAgain(path, { earlier: before.path });
    expect(result.layers.every(({ reused }) => reused)).toBe(true);
    expect(result.layers.map(({ after }) => after.digest)).toEqual(before.layers.map(({ digest }) => digest));
    expect((await decrypt(result.path, directory())).image.digest).toBe((await readEntries(path))[0]!.digest);
  }); // prettier-ignore

  it("is reported as compared, and a changed layer as encrypted", async () => {
    const [same, before, now] = [bytes(5000), bytes(6000), bytes(6000)];
    const first = await encryptAgain(await image([same, before]), {});
    const path = await image([same, now]);
    const reports: ImageProgress[] = [];
    await encryptImage(layoutSource({ path }), await layoutDestination({ path: first.path }), {
      recipients: [plainRecipient()],
      reuse: { image: layoutSource({ path: first.path }), keys: [openKey()] },
      onProgress: (report) => reports.push(report),
    });
    const layers = reports.filter(({ blobSize }) => blobSize >= 5000);
    const seen = layers.map(({ action, blobBytes, digest }) => [action, blobBytes, digest]);
    expect(new Set(seen.map(String))).toEqual(
      new Set(
        [
          ["compare", 5000, same.descriptor.digest],
          ["compare", 6000, now.descriptor.digest],
          ["encrypt", 6000, now.descriptor.digest],
        ].map(String),
      ),
    );
    expect(reports.every(({ bytes: done, size }) => done <= size)).toBe(true);
  });

  it("needs no blob of the earlier image", async () => {
    const a = await layer("a");
    const before = await encrypted([a]);
    const [entry] = await readEntries(before.path);
    const { config, layers } = await readManifest(before.path, entry!);
    for (const { digest } of [config, ...layers]) await rm(blobFile(before.path, digest));
    const { layers: results } = await encryptAgain(await image([a]), { earlier: before.path });
    expect(results).toMatchObject([{ reused: true, after: { digest: layers[0]!.digest } }]);
  });

  it("is wrapped for exactly the recipients that are given", async () => {
    const a = await layer("a", { annotations: { own: "kept" } });
    const before = await encrypted([a], [plainRecipient(), plainRecipient("alice")]);
    const recipients = [plainRecipient("bob"), plainRecipient("bob")];
    const result = await encryptAgain(await image([a]), { earlier: before.path, recipients });
    const [after] = (await readManifest(result.path, result.image)).layers;
    const names = ["own", `${ENC}keys.bob`, `${ENC}pubopts`];
    expect(Object.keys(after!.annotations!)).toEqual(names);
    expect(after!.annotations![`${ENC}keys.bob`]!.split(",")).toHaveLength(2);
    expect(after!.annotations![`${ENC}pubopts`]).toBe(before.layers[0]!.annotations![`${ENC}pubopts`]);
    await expectCode(decrypt(result.path, directory()), "NO_MATCHING_KEY");
    await decrypt(result.path, directory(), { keys: [openKey("bob")] });
  }); // prettier-ignore

  it("is found among others of its size", async () => {
    const layers = Array.from({ length: 12 }, () => bytes(1000));
    const before = await encrypted(layers);
    const result = await encryptAgain(await image([...layers].reverse()), { earlier: before.path });
    expect(result.layers.map(({ after }) => after.digest)).toEqual(before.layers.map(({ digest }) => digest).reverse());
  }); // prettier-ignore

  it("is found even if another digest or no digest was recorded", async () => {
    const [a, b] = [await layer("a"), bytes(100)];
    const before = await encrypted([a, b]);
    await changeLayers(before.path, (layers) => {
      for (const [i, each] of layers.entries()) {
        const secret = { ...secretOf(each), digest: i === 0 ? "" : digestOf("before compression") };
        each.annotations![`${ENC}keys.test`] = base64(JSON.stringify(secret));
      }
    });
    const result = await encryptAgain(await image([a, b]), { earlier: before.path });
    expect(result.layers.map(({ reused }) => reused)).toEqual([true, true]);
    const { layers } = await readManifest(result.path, result.image);
    expect(layers.map((each) => secretOf(each).digest)).toEqual([a, b].map(({ descriptor }) => descriptor.digest));
  }); // prettier-ignore

  it("is found by the OCI type that Docker's type becomes", async () => {
    const docker = describedAs(await layer("a"), { mediaType: DOCKER_TAR_GZIP });
    const before = await encrypted([docker]);
    const { layers } = await encryptAgain(await image([docker]), { earlier: before.path });
    expect(layers).toMatchObject([{ reused: true }]);
    // As containers/image writes it.
    await changeLayers(before.path, ([each]) => (each!.mediaType = `${DOCKER_TAR_GZIP}+encrypted`));
    const again = await encryptAgain(await image([docker]), { earlier: before.path });
    expect(again.layers).toMatchObject([{ reused: true, after: { mediaType: layers[0]!.after.mediaType } }]);
  }); // prettier-ignore

  it("is still shared by platforms", async () => {
    const [plain, destination] = [directory(), directory()];
    await multiPlatform(plain);
    const first = await encryptAgain(plain, { destination });
    const again = await encryptAgain(plain, { destination, earlier: destination });
    expect(again.layers.map(({ after }) => after)).toEqual(first.layers.map(({ after }) => after));
    expect(again.layers.map(({ reused }) => reused)).toEqual([true, true, true, true]);
  });
});

describe("an earlier image that lies", () => {
  /** Encrypts the layer with an earlier image whose only layer was changed. */
  async function withChanged(
    plain: Layer,
    earlier: Layer,
    change: (layers: Entry[]) => void = () => undefined,
  ): Promise<{ result: EncryptImageResult & { written: Written[] }; before: Entry; after: Entry }> {
    const { path } = await encrypted([earlier]);
    await changeLayers(path, change);
    const [before] = (await readManifest(path, (await readEntries(path))[0]!)).layers;
    const result = await encryptAgain(await image([plain]), { earlier: path });
    const [after] = (await readManifest(result.path, result.image)).layers;
    await decrypt(result.path, directory());
    return { result, before: before!, after: after! };
  }

  /** With a key and nonce used before, the XOR of two plaintexts would be there for all to see. */
  function expectNewKey(
    { result, before, after }: Awaited<ReturnType<typeof withChanged>>,
    plain: Layer,
  ): void {
    expect(result.layers[0]!.reused).toBeUndefined();
    expect(secretOf(after).symkey).not.toBe(secretOf(before).symkey);
    const leak = under(secretOf(before), plain.blob);
    expect(leak.byteLength).toBeGreaterThan(64);
    expect(allOf(result.written).includes(leak.subarray(0, 64))).toBe(false);
  }

  it("with another layer of the same size does not get its key reused", async () => {
    const plain = bytes(5000);
    expectNewKey(await withChanged(plain, bytes(5000)), plain);
  });

  it("with another layer that claims to be the same does not get its key reused", async () => {
    const plain = bytes(5000);
    const found = await withChanged(plain, bytes(5000), ([each]) => {
      const secret = { ...secretOf(each!), digest: plain.descriptor.digest };
      each!.annotations![`${ENC}keys.test`] = base64(JSON.stringify(secret));
    });
    expectNewKey(found, plain);
  });

  it("has a key that an attacker chose", async () => {
    const plain = bytes(5000);
    const found = await withChanged(plain, plain, ([each]) => {
      const secret = { symkey: base64(SYMKEY), digest: plain.descriptor.digest, cipheroptions: { nonce: base64(NONCE) } };
      each!.annotations![`${ENC}keys.test`] = base64(JSON.stringify(secret));
    });
    expectNewKey(found, plain);
  }); // prettier-ignore

  it.each<[string, (entry: Entry) => void, boolean]>([
    ["another digest", (entry) => (entry.digest = digestOf("x")), false],
    ["a digest of another algorithm", (entry) => (entry.digest = digestOf("x", "sha512")), false],
    ["another size", (entry) => entry.size++, false],
    ["another type", (entry) => (entry.mediaType = "text/plain+encrypted"), false],
    ["no public options", (entry) => Reflect.deleteProperty(entry.annotations!, `${ENC}pubopts`), true],
    ["another HMAC", changeOptions((options) => ({ ...options, hmac: base64(Buffer.alloc(32)) })), false],
    ["another cipher", changeOptions((options) => ({ ...options, cipher: "NONE" })), true],
    ["a public nonce", changeOptions((options) => ({ ...options, cipheroptions: { nonce: base64(NONCE) } })), true],
    ["wrapped keys that are none", (entry) => (entry.annotations![`${ENC}keys.test`] = "*"), true],
    ["private options that are none", (entry) => (entry.annotations![`${ENC}keys.test`] = base64("{}")), true],
    ["no wrapped keys", (entry) => Reflect.deleteProperty(entry.annotations!, `${ENC}keys.test`), true],
  ])("has %s", async (_, change, isWarned) => {
    const plain = bytes(5000);
    const { path } = await encrypted([plain]);
    await changeLayers(path, ([each]) => {
      change(each!);
    });
    const result = await encryptAgain(await image([plain]), { earlier: path });
    expect(result.layers[0]!.reused).toBeUndefined();
    expect(result.warnings).toEqual(isWarned ? [expect.stringContaining("was not reused")] : []);
    await decrypt(result.path, directory());
  }); // prettier-ignore

  function changeOptions(change: (options: Record<string, unknown>) => unknown) {
    return (entry: Entry): void => {
      const name = `${ENC}pubopts`;
      const text = Buffer.from(entry.annotations![name]!, "base64").toString();
      entry.annotations![name] = base64(JSON.stringify(change(JSON.parse(text) as Record<string, unknown>)));
    };
  } // prettier-ignore

  it("has many layers of the same size and examines only a few", async () => {
    const plain = bytes(100);
    const { path, layers } = await encrypted([plain]);
    await changeLayers(path, (all) => {
      all.pop();
      for (let i = 0; i < 300; i++) {
        const secret = { ...secretOf(layers[0]!), symkey: base64(randomBytes(32)) };
        const annotations = { ...layers[0]!.annotations, [`${ENC}keys.test`]: base64(JSON.stringify(secret)) };
        all.push({ ...layers[0]!, annotations });
      }
    });
    let unwrapped = 0;
    const key: Key = {
      scheme: "test",
      unwrap: (wrapped) => {
        unwrapped++;
        return openKey().unwrap(wrapped);
      },
    };
    const result = await encryptAgain(await image([plain]), { earlier: path, keys: [key] });
    expect(result.layers[0]!.reused).toBeUndefined();
    expect(unwrapped).toBe(16);
  }); // prettier-ignore

  it("is plain", async () => {
    const a = await layer("a");
    const result = await encryptAgain(await image([a]), { earlier: await image([a]) });
    expect(result.warnings).toEqual(["no layer of the earlier image is encrypted"]);
  });
});

describe("a source that changes between two readings", () => {
  const BLOCK = 1024 * 1024;
  const size = 2 * BLOCK + 1000;

  it.each<[string, (blob: Buffer) => Buffer, number]>([
    ["in its first block", (blob) => flipped(blob, 0), 0],
    ["in its second block", (blob) => flipped(blob, BLOCK + 5), BLOCK],
    ["in its last byte", (blob) => flipped(blob, size - 1), 2 * BLOCK],
    ["to less", (blob) => blob.subarray(0, 2 * BLOCK), 2 * BLOCK],
    ["to less than a block", (blob) => blob.subarray(0, BLOCK - 1), 0],
    ["to more", (blob) => Buffer.concat([blob, Buffer.alloc(BLOCK)]), 2 * BLOCK],
    ["to nothing", () => Buffer.alloc(0), 0],
  ])("%s emits nothing that was not emitted before", async (_, change, safe) => {
    const plain = bytes(size);
    const before = await encrypted([plain]);
    const earlier = await readBlob(before.path, before.layers[0]!);
    const path = await image([plain]);
    const inner = layoutSource({ path });
    let readings = 0;
    const source: ImageSource = {
      resolve: () => inner.resolve(),
      async *read(descriptor) {
        const blob = await collect(inner.read(descriptor));
        const isSecond = descriptor.digest === plain.descriptor.digest && ++readings === 2;
        yield isSecond ? change(blob) : blob;
      },
    };
    const parent = directory();
    const error = await expectCode(
      encryptAgain(path, { source, earlier: before.path, destination: `${parent}/new` }),
      "BLOB_DIGEST_MISMATCH",
    );
    expect(readings).toBe(2);
    const { written } = error as OcicryptError & { written: Written[] };
    // The other one that is written is the config.
    const isConfig = (bytes: Buffer): boolean => bytes.includes('"rootfs"');
    const ciphertext = written.map((each) => allOf([each])).filter((each) => !isConfig(each));
    const out = Buffer.concat(ciphertext);
    expect(out.byteLength).toBe(safe);
    expect(out.equals(earlier.subarray(0, safe))).toBe(true);
    expect(await snapshot(parent)).toEqual({});
  });

  function flipped(blob: Buffer, at: number): Buffer {
    const changed = Buffer.from(blob);
    changed[at]! ^= 1;
    return changed;
  }
});

describe("a layer that cannot be reused", () => {
  it("has no keys", async () => {
    const a = await layer("a");
    const { path } = await encrypted([a]);
    const parent = directory();
    const run = encryptAgain(await image([a]), { earlier: path, keys: [], destination: `${parent}/new` });
    await expectCode(run, "NO_KEYS");
    expect(await snapshot(parent)).toEqual({});
  }); // prettier-ignore

  it("is for other keys", async () => {
    const [a, b] = [bytes(100), bytes(200)];
    const { path } = await encrypted([a, b]);
    const result = await encryptAgain(await image([a, b]), { earlier: path, keys: [foreignKey()] });
    expect(result.layers.map(({ reused }) => reused)).toEqual([undefined, undefined]);
    expect(result.warnings).toHaveLength(2);
    for (const warning of result.warnings) expect(warning).toContain("does not open the layer");
  });

  it.each<[string, ErrorCode, (path: string) => Promise<string>]>([
    ["not there", "IMAGE_NOT_FOUND", (path) => Promise.resolve(`${path}-other`)],
    ["without its manifest", "BLOB_NOT_FOUND", async (path) => {
      await rm(blobFile(path, (await readEntries(path))[0]!.digest));
      return path;
    }],
  ])("is %s", async (_, code, change) => {
    const a = await layer("a");
    const { path } = await encrypted([a]);
    await expectCode(encryptAgain(await image([a]), { earlier: await change(path) }), code);
  }); // prettier-ignore

  it("is a plain layer that is damaged", async () => {
    const a = bytes(1000);
    const { path } = await encrypted([a]);
    const damaged = { ...a, blob: Buffer.alloc(1000) };
    await expectCode(encryptAgain(await image([damaged]), { earlier: path }), "BLOB_DIGEST_MISMATCH");
  }); // prettier-ignore

  it("has a recipient that fails, before anything is written", async () => {
    const a = bytes(1000);
    const { path } = await encrypted([a]);
    const failing: Recipient = { scheme: "test", wrap: () => Promise.reject(new Error("no")) };
    const error = await expectCode(encryptAgain(await image([a]), { earlier: path, recipients: [failing] }), "WRAP_FAILED");
    const { written } = error as OcicryptError & { written: Written[] };
    expect(allOf(written).includes((await readBlob(path, (await readManifest(path, (await readEntries(path))[0]!)).layers[0]!)).subarray(0, 64))).toBe(false);
  }); // prettier-ignore

  it("stops when it is aborted", async () => {
    const a = bytes(1000);
    const { path } = await encrypted([a]);
    const abort = new AbortController();
    const key: Key = {
      scheme: "test",
      unwrap: () => {
        abort.abort(new Error("enough"));
        return new Promise(() => undefined);
      },
    };
    const parent = directory();
    const run = { earlier: path, keys: [key], signal: abort.signal, destination: `${parent}/new` };
    await expect(encryptAgain(await image([a]), run)).rejects.toThrow("enough");
    expect(await snapshot(parent)).toEqual({});
  });
});

it("a reused layer is also compared with the config's diffID", async () => {
  const plain = directory();
  await layoutOf(plain, [await layer("a")], { config: imageConfig([digestOf("another")]) });
  const first = await encryptAgain(plain, {});
  const again = await encryptAgain(plain, { earlier: first.path });
  expect(again.layers.map(({ reused }) => reused)).toEqual([true]);
  expect(again.warnings).toEqual(first.warnings);
  expect(again.warnings.join()).toContain("the config says");
});
