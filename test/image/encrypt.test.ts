import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ImageProgress } from "../../src/image/engine/copy-blobs.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { pkcs11 } from "../../src/keywrap/pkcs11/index.js";
import type { Recipient } from "../../src/keywrap/types.js";
import { isEncryptedDescriptor } from "../../src/spec/descriptor.js";
import { expectCode } from "../support/codes.js";
import {
  blobFile,
  compact,
  createLayout,
  describedAs,
  digestOf,
  EMPTY,
  forPlatform,
  INDEX,
  layer,
  layoutOf,
  multiPlatform,
  putAttestation,
  putBlob,
  putIndex,
  putManifest,
  putText,
  readBlob,
  readEntries,
  readIndexEntries,
  readManifest,
  snapshot,
  stagesIn,
  tagged,
  TAR,
  TAR_GZIP,
  temporaryDirectories,
  writeIndex,
  type Entry,
  type Layer,
} from "../support/image.js";
import { plainRecipient } from "../support/layers.js";
import { decrypt, encrypt } from "../support/operations.js";
import { vectorFile } from "../support/vectors.js";

const directory = temporaryDirectories();

async function some(count: number): Promise<Layer[]> {
  return Promise.all(Array.from({ length: count }, (_, i) => layer(`file-${String(i)}`)));
}

/** A layout with one image of some layers. */
async function plainLayout(count: number): Promise<{ path: string; descriptor: Entry }> {
  const path = directory();
  const { descriptor } = await layoutOf(path, await some(count));
  return { path, descriptor };
}

/** Which layers of an image are encrypted. */
async function encryptedLayers(path: string, image: { digest: string }): Promise<number[]> {
  const { layers } = await readManifest(path, image);
  return layers.flatMap((each, i) => (isEncryptedDescriptor(each) ? [i] : []));
}

/** Which layers of the images in an index are encrypted; attestations are left out. */
async function encryptedByPlatform(path: string, index: { digest: string }) {
  const found: Record<string, number[]> = {};
  for (const entry of await readIndexEntries(path, index)) {
    const { os, architecture } = entry.platform as { os: string; architecture: string };
    if (os !== "unknown") found[`${os}/${architecture}`] = await encryptedLayers(path, entry);
  }
  return found;
}

describe("which layers are encrypted", () => {
  // Both platforms have the same layer 0, which is encrypted in both.
  it.each([
    ["all, if none are named", undefined, [0, 1, 2, 3]],
    ["the first", [0], [0]],
    ["the last", [-1], [3]],
    ["the first, from behind", [-4], [0]],
    ["some of both", [-2, 0], [0, 2]],
    ["one named twice in two ways", [1, -3, 1], [1]],
  ])("%s", async (_, layers, expected) => {
    const { path, descriptor } = await plainLayout(4);
    const [destination, again] = [directory(), directory()];
    const { image, layers: results } = await encrypt(path, destination, { layers });
    expect(await encryptedLayers(destination, image)).toEqual(expected);
    expect(results.map(({ index }) => index)).toEqual(expected);
    expect((await decrypt(destination, again)).image).toEqual(descriptor);
  });

  // Both platforms have the same layer 0, which is encrypted in both.
  it.each([
    ["all, if none are named", undefined, { "linux/amd64": [0, 1], "linux/arm64": [0, 1] }],
    ["an architecture", ["linux/amd64"], { "linux/amd64": [0, 1], "linux/arm64": [0] }],
    ["one with a variant", ["linux/arm64/v8"], { "linux/amd64": [0], "linux/arm64": [0, 1] }],
    ["one of any variant", ["linux/arm64"], { "linux/amd64": [0], "linux/arm64": [0, 1] }],
    ["both", ["linux/arm64", "linux/amd64"], { "linux/amd64": [0, 1], "linux/arm64": [0, 1] }],
  ])("by platform: %s", async (_, platforms, expected) => {
    const [path, destination, again] = [directory(), directory(), directory()];
    const { index } = await multiPlatform(path);
    const { image } = await encrypt(path, destination, { platforms });
    expect(await encryptedByPlatform(destination, image)).toEqual(expected);
    expect((await decrypt(destination, again)).image).toEqual(index);
  });

  it("by platform and layer", async () => {
    const [path, destination] = [directory(), directory()];
    await multiPlatform(path);
    const { image } = await encrypt(path, destination, {
      platforms: ["linux/amd64"],
      layers: [-1],
    });
    const expected = { "linux/amd64": [1], "linux/arm64": [] };
    expect(await encryptedByPlatform(destination, image)).toEqual(expected);
  });

  it.each([
    ["a layer behind the last", { layers: [0, 4] }],
    ["a layer before the first", { layers: [-5] }],
    ["half a layer", { layers: [0.5] }],
    ["no number", { layers: [NaN] }],
    ["a platform that the image is not for", { platforms: ["linux/riscv64"] }],
  ])("rejects %s", async (_, selection) => {
    const { path } = await plainLayout(4);
    const parent = directory();
    await expectCode(encrypt(path, `${parent}/new`, selection), "NOTHING_SELECTED");
    await expectCode(decrypt(path, `${parent}/new`, selection), "NOTHING_SELECTED");
    expect(await snapshot(parent)).toEqual({});
  });

  it.each([
    ["a platform that is not there", { platforms: ["linux/amd64", "linux/riscv64"] }, "linux/riscv64"], // prettier-ignore
    ["a variant that is not there", { platforms: ["linux/arm64/v9"] }, "linux/arm64/v8"],
    ["no platform", { platforms: [""] }, "linux/amd64"],
    ["an attestation's platform", { platforms: ["unknown/unknown"] }, "linux/amd64"],
    ["a layer that the platform has not", { platforms: ["linux/amd64"], layers: [2] }, "layer"],
  ])("rejects %s", async (_, selection, said) => {
    const [path, parent] = [directory(), directory()];
    await multiPlatform(path);
    const error = await expectCode(encrypt(path, `${parent}/new`, selection), "NOTHING_SELECTED");
    expect(error.message).toContain(said);
    expect(await snapshot(parent)).toEqual({});
  });

  it("a layer that only some platforms have", async () => {
    const [path, destination] = [await createLayout(directory()), directory()];
    const [a, b, c] = await some(3);
    const small = await putManifest(path, [a!]);
    const large = await putManifest(path, [a!, b!, c!]);
    const entries = [
      forPlatform(small.descriptor, "linux/s390x"),
      forPlatform(large.descriptor, "linux/amd64"),
    ];
    await writeIndex(path, [await putIndex(path, entries)]);
    const { image } = await encrypt(path, destination, { layers: [2] });
    const expected = { "linux/s390x": [], "linux/amd64": [2] };
    expect(await encryptedByPlatform(destination, image)).toEqual(expected);
  });
});

describe("an image in an index", () => {
  it("shares encrypted layers as it shared the plain layers", async () => {
    const [path, destination] = [directory(), directory()];
    const { amd64 } = await multiPlatform(path);
    let wrapped = 0;
    const counting: Recipient = {
      scheme: "test",
      wrap: (secret) => {
        wrapped++;
        return Promise.resolve(Uint8Array.from(secret));
      },
    };
    const { image, layers } = await encrypt(path, destination, { recipients: [counting] });
    expect(wrapped).toBe(3);
    expect(layers.map(({ platform, index }) => [platform, index])).toEqual([
      ...[["linux/amd64", 0], ["linux/amd64", 1]], // prettier-ignore
      ...[["linux/arm64/v8", 0], ["linux/arm64/v8", 1]], // prettier-ignore
    ]);
    const entries = await readIndexEntries(destination, image);
    const manifests = await Promise.all(entries.map((each) => readManifest(destination, each)));
    const [, first, second] = manifests.map((manifest) => manifest.layers);
    expect(first![0]).toEqual(second![0]);
    expect(first![0]!.digest).not.toBe(amd64.layers[0]!.descriptor.digest);
    expect(first![1]!.digest).not.toBe(second![1]!.digest);
  });

  it("keeps attestations, and updates the digests that they refer to", async () => {
    const [path, destination] = [directory(), directory()];
    const { index } = await multiPlatform(path);
    const { image } = await encrypt(path, destination);
    const before = await readIndexEntries(path, index);
    const after = await readIndexEntries(destination, image);
    const about = (entries: Entry[], i: number): unknown =>
      entries[i]!.annotations!["vnd.docker.reference.digest"];
    expect([about(before, 0), about(before, 3)]).toEqual([before[2]!.digest, before[1]!.digest]);
    expect([about(after, 0), about(after, 3)]).toEqual([after[2]!.digest, after[1]!.digest]);
    for (const i of [0, 3]) {
      expect(after[i]!.digest).toBe(before[i]!.digest);
      expect(await readBlob(destination, after[i]!)).toEqual(await readBlob(path, before[i]!));
      const { config, layers } = await readManifest(destination, after[i]!);
      for (const each of [config, ...layers]) await readBlob(destination, each);
    }
    expect(after.map(({ platform }) => platform)).toEqual(before.map(({ platform }) => platform));
  });

  it("may be in an index in an index", async () => {
    const [path, destination, again] = [await createLayout(directory()), directory(), directory()];
    const { descriptor } = await putManifest(path, await some(2));
    const inner = await putIndex(path, [forPlatform(descriptor, "linux/amd64")]);
    const outer = await putIndex(path, [inner, inner]);
    await writeIndex(path, [outer]);
    const { layers } = await encrypt(path, destination);
    expect(layers.map(({ platform, index }) => [platform, index])).toEqual([
      ...[["linux/amd64", 0], ["linux/amd64", 1]], // prettier-ignore
      ...[["linux/amd64", 0], ["linux/amd64", 1]], // prettier-ignore
    ]);
    expect((await decrypt(destination, again)).image).toEqual(outer);
  });

  it("keeps entries of unknown types", async () => {
    const [path, destination, again] = [await createLayout(directory()), directory(), directory()];
    const { descriptor } = await putManifest(path, await some(1));
    const unknown = await putText(path, "anything", "application/vnd.example");
    const index = await putIndex(path, [unknown, descriptor]);
    await writeIndex(path, [index]);
    const { image } = await encrypt(path, destination);
    expect((await readIndexEntries(destination, image))[0]).toEqual(unknown);
    expect((await readBlob(destination, unknown)).toString()).toBe("anything");
    expect((await decrypt(destination, again)).image).toEqual(index);
  });

  it("is found by its own digest", async () => {
    const [path, destination] = [directory(), directory()];
    const { arm64 } = await multiPlatform(path);
    const { image } = await encrypt(`${path}@${arm64.descriptor.digest}`, destination);
    expect(image.mediaType).toBe(arm64.descriptor.mediaType);
    expect(await encryptedLayers(destination, image)).toEqual([0, 1]);
  });
});

describe("an image that cannot be encrypted", () => {
  it("is without recipients", async () => {
    const { path } = await plainLayout(1);
    const parent = directory();
    await expectCode(encrypt(path, `${parent}/new`, { recipients: [] }), "NO_RECIPIENTS");
    expect(await snapshot(parent)).toEqual({});
  });

  it("is already encrypted", async () => {
    const { path } = await plainLayout(2);
    const [encrypted, parent] = [directory(), directory()];
    await encrypt(path, encrypted);
    const error = await expectCode(encrypt(encrypted, `${parent}/new`), "ALREADY_ENCRYPTED");
    expect(error.message).not.toContain("part");
    expect(await snapshot(parent)).toEqual({});
  });

  it("is partly encrypted, unless only plain layers are selected", async () => {
    const { path, descriptor } = await plainLayout(3);
    const [part, whole, again, parent] = [directory(), directory(), directory(), directory()];
    await encrypt(path, part, { layers: [1] });
    const error = await expectCode(encrypt(part, `${parent}/new`), "ALREADY_ENCRYPTED");
    expect(error.message).toContain("part of the image");
    expect(error.message).toContain("layer 1");
    expect(await snapshot(parent)).toEqual({});
    const { image } = await encrypt(part, whole, { layers: [0, 2] });
    expect(await encryptedLayers(whole, image)).toEqual([0, 1, 2]);
    expect((await decrypt(whole, again)).image).toEqual(descriptor);
  });

  // The type alone does not tell, and a second encryption would lose the first key.
  it("has wrapped keys under a plain type", async () => {
    const path = directory();
    const annotations = { "org.opencontainers.image.enc.keys.unknown": "e30=" };
    await layoutOf(path, [await layer("a", { annotations })]);
    await expectCode(encrypt(path, `${directory()}/new`), "ALREADY_ENCRYPTED");
  });

  it.each([
    ["an image", {}],
    ["an artifact", { config: { mediaType: EMPTY, content: "{}" } }],
  ])("has no layers: %s", async (_, options) => {
    const [path, parent] = [directory(), directory()];
    await layoutOf(path, [], options);
    await expectCode(encrypt(path, `${parent}/new`), "NOTHING_TO_ENCRYPT");
    expect(await snapshot(parent)).toEqual({});
  });

  it("is an empty index", async () => {
    const path = await createLayout(directory());
    await writeIndex(path, [await putIndex(path, [])]);
    await expectCode(encrypt(path, `${directory()}/new`), "NOTHING_TO_ENCRYPT");
  });

  it("is nothing but attestations", async () => {
    const path = await createLayout(directory());
    const { descriptor } = await putManifest(path, await some(1));
    await writeIndex(path, [await putIndex(path, [await putAttestation(path, descriptor)])]);
    await expectCode(encrypt(path, `${directory()}/new`), "NOTHING_TO_ENCRYPT");
  });

  it("would have a manifest that is too large", async () => {
    const [path, parent] = [directory(), directory()];
    const layers = await some(1);
    const { text } = await layoutOf(path, layers, { extra: { x: "" } });
    const limit = 4 * 1024 * 1024;
    const { descriptor } = await putManifest(path, layers, {
      extra: { x: "x".repeat(limit - text.length) },
    });
    expect(descriptor.size).toBe(limit);
    await writeIndex(path, [descriptor]);
    await expectCode(encrypt(path, `${parent}/new`), "MANIFEST_TOO_LARGE");
    expect(await snapshot(parent)).toEqual({});
  });

  it("has a recipient that fails", async () => {
    const { path } = await plainLayout(6);
    const parent = directory();
    const failing: Recipient = {
      scheme: "test",
      wrap: () => Promise.reject(new Error("the key server is on fire")),
    };
    const recipients = [plainRecipient(), failing];
    const error = await expectCode(encrypt(path, `${parent}/new`, { recipients }), "WRAP_FAILED");
    expect(error.message).toContain("on fire");
    expect(await snapshot(parent)).toEqual({});
  });
});

describe("warnings", () => {
  it("are absent if nothing stays plain", async () => {
    const { path } = await plainLayout(2);
    expect((await encrypt(path, directory())).warnings).toEqual([]);
  });

  it("name a layer that is also in another platform, where it is encrypted too", async () => {
    const [path, destination] = [directory(), directory()];
    const { amd64 } = await multiPlatform(path);
    const { warnings } = await encrypt(path, destination, { platforms: ["linux/arm64"] });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(amd64.layers[0]!.descriptor.digest);
  });

  it("name each other place of a layer in the same manifest, where it is encrypted too", async () => {
    const [path, destination] = [directory(), directory()];
    const [once] = await some(1);
    await layoutOf(path, [once!, once!, once!]);
    const { image, warnings } = await encrypt(path, destination, { layers: [1] });
    expect(await encryptedLayers(destination, image)).toEqual([0, 1, 2]);
    expect(warnings.map((warning) => /^layer \d/.exec(warning)?.[0])).toEqual([
      "layer 0",
      "layer 2",
    ]);
    for (const warning of warnings) expect(warning).toContain(once!.descriptor.digest);
  });

  it.each([
    [1, "1 plain layer;"],
    [3, "3 plain layers;"],
  ])("count the plain blobs that encryption in place leaves: %i", async (count, said) => {
    const { path } = await plainLayout(count);
    const { warnings } = await encrypt(path, path);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(said);
  });

  it("are absent for a second encryption into the same place", async () => {
    const { path } = await plainLayout(2);
    const destination = directory();
    await encrypt(path, destination);
    expect((await encrypt(path, destination)).warnings).toEqual([]);
  });
});

describe("the destination", () => {
  it("may be the source, there and back", async () => {
    const { path, descriptor } = await plainLayout(3);
    const { image } = await encrypt(path, path);
    expect(await readEntries(path)).toEqual([image]);
    expect(await encryptedLayers(path, image)).toEqual([0, 1, 2]);
    const back = await decrypt(path, path);
    expect(back.image).toEqual(descriptor);
    expect(await readEntries(path)).toEqual([descriptor]);
    expect(await stagesIn(path)).toEqual([]);
  });

  it("may be another tag of the source", async () => {
    const path = directory();
    const { descriptor } = await layoutOf(path, await some(2));
    await writeIndex(path, [tagged(descriptor, "plain")]);
    const { image } = await encrypt(`${path}:plain`, `${path}:encrypted`);
    const { mediaType, digest, size } = image;
    expect(await readEntries(path)).toEqual([
      tagged(descriptor, "plain"),
      tagged({ mediaType, digest, size }, "encrypted"),
    ]);
  });

  it("keeps its other images byte for byte", async () => {
    const { path } = await plainLayout(1);
    const destination = await createLayout(directory());
    const others = [1, 2, 3].map(
      (i) =>
        `{ "size" :${String(i)}, "x\\/y": "\\u0041",\r\n\t"digest":"${digestOf(String(i))}" , "mediaType" : "${INDEX}", "annotations": {"org.opencontainers.image.ref.name":"tag${String(i)}"}}`,
    );
    const before = `{ "manifests" : [ ${others.join(" ,\n")} ], "schemaVersion": 2 ,"x":{ } }\n`;
    await writeFile(join(destination, "index.json"), before);
    await encrypt(path, `${destination}:new`);
    const text = await readFile(join(destination, "index.json"), "utf8");
    for (const other of others) expect(text).toContain(other);
    expect(text.startsWith('{ "manifests" : [')).toBe(true);
    expect(text.endsWith('], "schemaVersion": 2 ,"x":{ } }\n')).toBe(true);

    const { image } = await encrypt(path, `${destination}:tag2`);
    const replaced = await readFile(join(destination, "index.json"), "utf8");
    expect(replaced).toContain(others[0]);
    expect(replaced).not.toContain(others[1]);
    expect(replaced).toContain(others[2]);
    const entries = await readEntries(destination);
    expect(entries.map((each) => each.annotations!["org.opencontainers.image.ref.name"])).toEqual([
      ...["tag1", "tag2", "tag3", "new"],
    ]);
    expect(entries[1]!.digest).toBe(image.digest);
  });

  it("uses the name of the source if it has none", async () => {
    const path = directory();
    const { descriptor } = await layoutOf(path, await some(1));
    await writeIndex(path, [tagged(descriptor, "one"), tagged(descriptor, "two")]);
    const destination = directory();
    await encrypt(`${path}:two`, destination);
    const [entry, ...more] = await readEntries(destination);
    expect(entry!.annotations).toEqual({ "org.opencontainers.image.ref.name": "two" });
    expect(more).toEqual([]);
  });

  it("replaces the only image without a name", async () => {
    const { path } = await plainLayout(1);
    const destination = directory();
    await encrypt(path, destination);
    const { image } = await encrypt(path, destination);
    expect(await readEntries(destination)).toEqual([image]);
  });

  it("replaces none of several images without a name", async () => {
    const { path } = await plainLayout(1);
    const destination = directory();
    const first = await layoutOf(destination, [await layer("first")]);
    const second = await putManifest(destination, [await layer("second")]);
    const before = [first.descriptor, second.descriptor];
    await writeIndex(destination, before);
    const { image } = await encrypt(path, destination);
    expect(await readEntries(destination)).toEqual([...before, image]);
  });

  it("gets every blob that it needs, and no other", async () => {
    const { path, descriptor } = await plainLayout(3);
    await putBlob(path, "of another image");
    const destination = directory();
    const { image } = await encrypt(path, destination, { layers: [1] });
    const { config, layers } = await readManifest(destination, image);
    const wanted = [image, config, ...layers].map(
      ({ digest }) => `blobs/${digest.replace(":", "/")}`,
    );
    const { layers: before } = await readManifest(path, descriptor);
    expect(layers[0]).toEqual(before[0]);
    const files = Object.entries(await snapshot(destination)).flatMap(([name, content]) =>
      name.startsWith("blobs/") && content !== "-" ? [name] : [],
    );
    expect(files.sort()).toEqual(wanted.sort());
  });

  it("gets a blob again if its own copy is damaged", async () => {
    const { path, descriptor } = await plainLayout(2);
    const { config } = await readManifest(path, descriptor);
    const destination = await createLayout(directory());
    await putBlob(destination, "x".repeat(config.size), config.digest);
    await encrypt(path, destination);
    expect(await readBlob(destination, config)).toEqual(await readBlob(path, config));
  });

  it("does not rewrite blobs that it holds", async () => {
    const { path, descriptor } = await plainLayout(1);
    const { config } = await readManifest(path, descriptor);
    const destination = await createLayout(directory());
    await putBlob(destination, await readBlob(path, config));
    const { ino } = await (
      await import("node:fs/promises")
    ).stat(blobFile(destination, config.digest));
    await encrypt(path, destination);
    expect((await stat(blobFile(destination, config.digest))).ino).toBe(ino);
  });
});

describe("sha512", () => {
  it("is read as digest of layers and manifests", async () => {
    const path = await createLayout(directory());
    const [a, b] = await some(2);
    const layers = [a!, b!].map((each) =>
      describedAs(each, { digest: digestOf(each.blob, "sha512") }),
    );
    const { descriptor } = await putManifest(path, layers, { algorithm: "sha512" });
    await writeIndex(path, [descriptor]);
    const [encrypted, again] = [directory(), directory()];
    const there = await encrypt(path, encrypted, { layers: [0] });
    expect((await readManifest(encrypted, there.image)).layers[1]).toEqual(layers[1]!.descriptor);
    const back = await decrypt(encrypted, again);
    expect(back.layers.map(({ after, diffId }) => [after.digest, diffId])).toEqual([
      [a!.descriptor.digest, "verified"],
    ]);
    expect(await readBlob(again, layers[1]!.descriptor)).toEqual(b!.blob);
  });
});

describe("progress", () => {
  it("counts every blob once and ends at the total size", async () => {
    const [path, destination] = [directory(), directory()];
    const content = Buffer.alloc(700_000, "x");
    const layers = [await layer("a", { mediaType: TAR, content }), await layer("b")];
    const { descriptor } = await layoutOf(path, layers);
    const { config } = await readManifest(path, descriptor);
    const seen: ImageProgress[] = [];
    await encrypt(path, destination, { layers: [0], onProgress: (each) => seen.push(each) });
    const blobs = new Map(seen.map((each) => [each.digest, each]));
    const expected = [
      ["encrypt", layers[0]!.descriptor],
      ["copy", layers[1]!.descriptor],
      ["copy", config],
    ] as const;
    expect(blobs.size).toBe(3);
    for (const [action, { digest, size }] of expected) {
      expect(blobs.get(digest)).toMatchObject({ action, blobBytes: size, blobSize: size });
    }
    const total = expected.reduce((sum, [, { size }]) => sum + size, 0);
    expect(seen.at(-1)).toMatchObject({ bytes: total, size: total });
    const bytes = seen.map((each) => each.bytes);
    expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
  });

  it("fails the operation when its observer throws", async () => {
    const { path } = await plainLayout(3);
    const parent = directory();
    const observed = encrypt(path, `${parent}/new`, {
      onProgress: () => {
        throw new Error("broken observer");
      },
    });
    await expect(observed).rejects.toThrow("broken observer");
    expect(await snapshot(parent)).toEqual({});
  });
});

describe("an aborted operation", () => {
  it("does nothing if it was aborted before", async () => {
    const { path } = await plainLayout(2);
    const parent = directory();
    const reason = new Error("changed my mind");
    const signal = AbortSignal.abort(reason);
    await expect(encrypt(path, `${parent}/new`, { signal })).rejects.toBe(reason);
    await expect(decrypt(path, `${parent}/new`, { signal })).rejects.toBe(reason);
    expect(await snapshot(parent)).toEqual({});
  });

  it("rejects with the reason, and leaves no files", async () => {
    const [path, parent] = [directory(), directory()];
    const content = Buffer.alloc(3_000_000, "x");
    await layoutOf(path, [await layer("a", { mediaType: TAR, content }), ...(await some(3))]);
    const abort = new AbortController();
    const reason = { any: "value" };
    const onProgress = ({ blobBytes }: ImageProgress): void => {
      if (blobBytes > 1_000_000) abort.abort(reason);
    };
    const { signal } = abort;
    await expect(encrypt(path, `${parent}/new`, { signal, onProgress })).rejects.toBe(reason);
    expect(await snapshot(parent)).toEqual({});
  });

  it("stops while a recipient does not answer", async () => {
    const { path } = await plainLayout(2);
    const before = await snapshot(path);
    const abort = new AbortController();
    const stalling: Recipient = {
      scheme: "test",
      wrap: (_, options) =>
        new Promise((_resolve, reject) => {
          options!.signal!.addEventListener("abort", () => {
            reject(options!.signal!.reason as Error);
          });
          setImmediate(() => {
            abort.abort(new Error("enough"));
          });
        }),
    };
    const { signal } = abort;
    await expect(encrypt(path, path, { recipients: [stalling], signal })).rejects.toThrow("enough");
    expect(await snapshot(path)).toEqual(before);
  });
});

describe("the number of layers at once", () => {
  it.each([1, 2, undefined])("%s", async (concurrency) => {
    const { path } = await plainLayout(8);
    let running = 0;
    let most = 0;
    const recipient: Recipient = {
      scheme: "test",
      wrap: async (secret) => {
        const copy = Uint8Array.from(secret);
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 5));
        running--;
        return copy;
      },
    };
    await encrypt(path, directory(), { recipients: [recipient], concurrency });
    expect(most).toBe(concurrency ?? 4);
  });
});

describe("manifests", () => {
  it("keep their other members and their order", async () => {
    const [path, destination] = [directory(), directory()];
    const annotations = { a: "b" };
    const extra = { annotations, subject: null, "x/y": 1.0 };
    const { text } = await layoutOf(path, await some(1), { extra });
    const { image } = await encrypt(path, destination);
    const after = (await readBlob(destination, image)).toString();
    expect(Object.keys(JSON.parse(after) as object)).toEqual(
      Object.keys(JSON.parse(text) as object),
    );
    expect(after.slice(0, after.indexOf('"layers"'))).toBe(text.slice(0, text.indexOf('"layers"')));
    expect(after.endsWith(compact(extra).slice(1))).toBe(true);
    const [encrypted] = (await readManifest(destination, image)).layers;
    expect(Object.keys(encrypted!.annotations!).sort()).toEqual([
      "org.opencontainers.image.enc.keys.test",
      "org.opencontainers.image.enc.pubopts",
    ]);
    expect(encrypted!.mediaType).toBe(`${TAR_GZIP}+encrypted`);
  });
});

describe("recipients that are named twice", async () => {
  const ENC_KEYS = "org.opencontainers.image.enc.keys.";
  const forms = ["pem", "jwk"].map((form) => vectorFile(`keys/rsa-3072.pub.${form}`));
  const oaep256 = { ...(JSON.parse(forms[1]!.toString()) as object), alg: "RSA-OAEP-256" };

  it.each<[string, Recipient[], Record<string, number>]>([
    ["one key in two forms", forms.map((form) => jwe.recipient(form)), { jwe: 1 }],
    [
      "two algorithms",
      [forms[0]!, Buffer.from(JSON.stringify(oaep256))].map((key) => jwe.recipient(key)),
      { jwe: 2 },
    ],
    [
      "two schemes",
      ["a", "b", "a"].map((scheme) => ({ ...plainRecipient(scheme), thumbprint: "x" })),
      { a: 1, b: 1 },
    ],
    [
      "two hashes for PKCS #11",
      await Promise.all(
        (["sha1", "sha256", "sha1"] as const).map((hash) => pkcs11.recipient(forms[0]!, { hash })),
      ),
      { pkcs11: 2 },
    ],
    ["nothing that tells", [plainRecipient("a"), plainRecipient("a")], { a: 2 }],
  ])("are one recipient if key and algorithm are equal: %s", async (_, recipients, expected) => {
    const [{ path }, to] = [await plainLayout(1), directory()];
    const { image } = await encrypt(path, to, { recipients });
    const [encrypted] = (await readManifest(to, image)).layers;
    const lists = Object.entries(encrypted!.annotations!).flatMap(([name, list]) =>
      name.startsWith(ENC_KEYS) ? [[name.slice(ENC_KEYS.length), list.split(",").length]] : [],
    );
    expect(Object.fromEntries(lists)).toEqual(expected);
  });
});
