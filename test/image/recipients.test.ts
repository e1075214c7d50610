import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import {
  addImageRecipients,
  listImageRecipients,
  removeImageRecipients,
  replaceImageRecipients,
  type AddImageRecipientsOptions,
  type EditRecipientsResult,
  type RemoveImageRecipientsOptions,
} from "../../src/image/index.js";
import { editRecipients } from "../../src/image/edit-recipients.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Key, Recipient } from "../../src/keywrap/types.js";
import { archiveDestination } from "../../src/store/archive/destination.js";
import { archiveSource } from "../../src/store/archive/source.js";
import { layoutDestination } from "../../src/store/layout/destination.js";
import { layoutSource } from "../../src/store/layout/source.js";
import { parseLayoutReference } from "../../src/store/reference.js";
import { expectCode } from "../support/codes.js";
import {
  blobFile,
  CONFIG,
  describedAs,
  digestOf,
  INDEX,
  layer,
  layoutOf,
  MANIFEST,
  multiPlatform,
  readBlob,
  readEntries,
  readIndexEntries,
  readManifest,
  snapshot,
  STYLES,
  temporaryDirectories,
  type Entry,
} from "../support/image.js";
import { ENC, foreignKey, openKey, plainRecipient } from "../support/layers.js";
import { memoryImage } from "../../src/store/memory.js";
import { decrypt, encrypt } from "../support/operations.js";
import { vectorFile } from "../support/vectors.js";
import { removeBlobs, watchedLayout } from "../support/watched-layout.js";

const directory = temporaryDirectories();

const JWE = `${ENC}keys.jwe`;
const key = (name: string): Key => jwe.key(vectorFile(`keys/${name}.pem`), { label: name });
const recipient = (name: string): Recipient => jwe.recipient(vectorFile(`keys/${name}.pub.jwk`));

/** Alice is in the images from the start. */
const alice = { recipient: recipient("ec-p256"), key: key("ec-p256") };
const bob = { recipient: recipient("ec-p384"), key: key("ec-p384") };
const carol = { recipient: recipient("ec-p521"), key: key("ec-p521") };
const PROVIDER = plainRecipient("provider.unknown");

async function add(
  path: string,
  options: Partial<AddImageRecipientsOptions> = {},
): Promise<EditRecipientsResult> {
  const { source, destination } = await watchedLayout(path);
  const all = { recipients: [bob.recipient], keys: [alice.key], ...options };
  return addImageRecipients(source, destination, all);
}

async function remove(
  path: string,
  options: Partial<RemoveImageRecipientsOptions> = {},
): Promise<EditRecipientsResult> {
  const { source, destination } = await watchedLayout(path);
  return removeImageRecipients(source, destination, {
    recipients: [{ keyIds: ["ec-p384"] }],
    ...options,
  });
}

async function replace(
  path: string,
  options: Partial<AddImageRecipientsOptions> = {},
): Promise<EditRecipientsResult> {
  const { source, destination } = await watchedLayout(path);
  const all = { recipients: [bob.recipient], keys: [alice.key], ...options };
  return replaceImageRecipients(source, destination, all);
}

/** A layout with two platforms and attestations, all layers encrypted for Alice and a provider. */
async function twoPlatforms(): Promise<string> {
  const [plain, path] = [directory(), directory()];
  await multiPlatform(plain);
  await encrypt(plain, path, { recipients: [alice.recipient, PROVIDER] });
  return path;
}

/** The layers of a platform's manifest. */
async function layersOf(path: string, architecture?: string): Promise<Entry[]> {
  const [image] = await readEntries(path);
  if (architecture === undefined) return (await readManifest(path, image!)).layers;
  const entry = (await readIndexEntries(path, image!)).find(
    ({ platform }) => (platform as { architecture: string }).architecture === architecture,
  );
  return (await readManifest(path, entry!)).layers;
}

/** How many recipients each layer of a platform has, without those of key providers. */
async function counts(path: string, architecture: string): Promise<number[]> {
  const layers = await layersOf(path, architecture);
  return layers.map(({ annotations }) => annotations![JWE]!.split(",").length);
}

describe("an edit in place", () => {
  const withoutAlice = { recipients: [{ keys: [alice.key] }] };

  it.each(["add", "remove", "replace"] as const)(
    "(%s) reads and writes manifests and indexes only",
    async (name) => {
      const path = await twoPlatforms();
      await removeBlobs(path);
      const calls: string[] = [];
      const { source, destination } = await watchedLayout(path, calls);
      const options = { recipients: [bob.recipient], keys: [alice.key] };
      if (name === "add") await addImageRecipients(source, destination, options);
      else if (name === "replace") await replaceImageRecipients(source, destination, options);
      else await removeImageRecipients(source, destination, withoutAlice);
      expect(calls).toEqual([
        `read ${INDEX}`,
        ...Array<string>(4).fill(`read ${MANIFEST}`),
        ...Array<string>(4).fill(`writeManifest ${MANIFEST}`),
        `writeManifest ${INDEX}`,
        "commit",
      ]);
    },
  );

  it("updates the digests in attestations", async () => {
    const path = await twoPlatforms();
    const { image } = await add(path);
    expect((await readEntries(path))[0]!.digest).toBe(image.digest);
    const entries = await readIndexEntries(path, image);
    const about = entries.map(({ annotations }) => annotations?.["vnd.docker.reference.digest"]);
    expect(about).toEqual([entries[2]!.digest, undefined, undefined, entries[1]!.digest]);
  });

  it("keeps shared layers shared", async () => {
    const path = await twoPlatforms();
    await add(path);
    const [amd64, arm64] = [await layersOf(path, "amd64"), await layersOf(path, "arm64")];
    expect(amd64[0]).toEqual(arm64[0]);
    expect(amd64[1]).not.toEqual(arm64[1]);
  });

  it("keeps the other annotations of layers that share their recipients", async () => {
    const [plain, path] = [directory(), directory()];
    const once = await layer("a");
    const twin = describedAs(once, { annotations: { twin: "yes" } });
    const other = describedAs(once, { annotations: { other: "yes" } });
    await layoutOf(plain, [twin, once, other]);
    await encrypt(plain, path, { recipients: [alice.recipient] });
    await add(path);
    const layers = await layersOf(path);
    const lists = new Set(layers.map(({ annotations }) => annotations![JWE]));
    expect(lists.size).toBe(1);
    const own = layers.map(({ annotations }) =>
      Object.keys(annotations!).filter((name) => !name.startsWith(ENC)),
    );
    expect(own).toEqual([["twin"], [], ["other"]]);
  });

  it("keeps the annotations of providers byte for byte", async () => {
    const path = await twoPlatforms();
    const provider = async (): Promise<(string | undefined)[]> =>
      (await layersOf(path, "amd64")).map(
        (each) => each.annotations![`${ENC}keys.provider.unknown`],
      );
    const before = await provider();
    await add(path);
    await remove(path, { recipients: [{ keys: [alice.key] }] });
    await replace(path, { recipients: [carol.recipient], keys: [bob.key] });
    expect(await provider()).toEqual(before);
  });

  it.each(STYLES)("changes no other byte of a manifest %s", async (_, style) => {
    const [plain, path] = [directory(), directory()];
    const layers = [
      await layer("a"),
      describedAs(await layer("b"), { annotations: { "com.example/a": "b" }, x: [1] }),
      describedAs(await layer("c"), {
        annotations: {},
        platform: { os: "linux", architecture: "x" },
      }),
    ];
    const { descriptor } = await layoutOf(plain, layers, { style, extra: { annotations: {} } });
    await encrypt(plain, path, { recipients: [alice.recipient] });
    const [encrypted] = await readEntries(path);
    const before = (await readBlob(path, encrypted!)).toString();

    const { image: added } = await add(path);
    let text = (await readBlob(path, added)).toString();
    const [old, now] = [await readManifest(path, encrypted!), await readManifest(path, added)];
    for (const [i, { annotations }] of now.layers.entries()) {
      text = text.replace(annotations![JWE]!, old.layers[i]!.annotations![JWE]!);
    }
    expect(text).toBe(before);

    const { image: removed } = await remove(path);
    expect(removed.digest).toBe(encrypted!.digest);
    await replace(path, { recipients: [plainRecipient(), carol.recipient], keys: [alice.key] });
    await remove(path, { recipients: [{ scheme: "jwe" }] });
    const { image } = await decrypt(path, path);
    expect(image.digest).toBe(descriptor.digest);
  });

  it("keeps data and urls of a layer, whose content stays", async () => {
    const [plain, path] = [directory(), directory()];
    await layoutOf(plain, [await layer("a")]);
    await encrypt(plain, path, { recipients: [alice.recipient] });
    const [{ mediaType, digest, size, annotations }] = (await layersOf(path)) as [Entry];
    const data = (await readBlob(path, { digest })).toString("base64");
    const members = { mediaType, digest, size, annotations, data, urls: ["https://example.com/"] };
    const encrypted = {
      descriptor: members as Entry,
      blob: await readBlob(path, { digest }),
      diffId: "",
    };
    const other = directory();
    await layoutOf(other, [encrypted]);
    await add(other);
    expect((await layersOf(other))[0]).toMatchObject({ data, urls: members.urls });
  });
});

describe("addImageRecipients", () => {
  it("adds the new recipients and keeps the old ones", async () => {
    const path = await twoPlatforms();
    const result = await add(path, { recipients: [bob.recipient, carol.recipient] });
    expect(result).toMatchObject({ changed: true, warnings: [] });
    expect(result.layers.map(({ platform, index }) => `${platform} ${String(index)}`)).toEqual([
      "linux/amd64 0",
      "linux/amd64 1",
      "linux/arm64/v8 0",
      "linux/arm64/v8 1",
    ]);
    for (const { added, present, removed, kept } of result.layers) {
      expect({ added, present, removed, kept }).toEqual({
        added: [
          { scheme: "jwe", index: 1, algorithm: "ECDH-ES+A192KW", keyId: "ec-p384" },
          { scheme: "jwe", index: 2, algorithm: "ECDH-ES+A256KW", keyId: "ec-p521" },
        ],
        present: [],
        removed: [],
        kept: [],
      });
    }
    for (const { key } of [alice, bob, carol]) {
      const { layers } = await decrypt(path, directory(), { keys: [key] });
      expect(layers.map(({ diffId }) => diffId)).toEqual(Array(4).fill("verified"));
    }
  });

  it("adds to the layers and platforms that are selected", async () => {
    const path = await twoPlatforms();
    await add(path, { platforms: ["linux/arm64"] });
    expect([await counts(path, "amd64"), await counts(path, "arm64")]).toEqual([
      [1, 1],
      [2, 2],
    ]);
    await add(path, { layers: [-1], recipients: [carol.recipient] });
    expect([await counts(path, "amd64"), await counts(path, "arm64")]).toEqual([
      [1, 2],
      [2, 3],
    ]);
  });

  it("writes nothing and says so if all recipients are present", async () => {
    const path = await twoPlatforms();
    await add(path);
    const before = await snapshot(path);
    const [image] = await readEntries(path);
    const calls: string[] = [];
    const { source, destination } = await watchedLayout(path, calls);
    const options = { recipients: [bob.recipient, alice.recipient], keys: [alice.key] };
    const result = await addImageRecipients(source, destination, options);
    expect(result.changed).toBe(false);
    expect(result.image.digest).toBe(image!.digest);
    for (const { added, present } of result.layers) {
      expect(added).toEqual([]);
      expect(present.map(({ keyId }) => keyId)).toEqual(["ec-p384", "ec-p256"]);
    }
    expect(calls.filter((call) => !call.startsWith("read "))).toEqual([]);
    expect(await snapshot(path)).toEqual(before);
  });

  it("adds a recipient only where it is missing", async () => {
    const path = await twoPlatforms();
    await add(path, { platforms: ["linux/amd64"] });
    const { layers, changed } = await add(path);
    expect(changed).toBe(true);
    expect(layers.map(({ added, present }) => [added.length, present.length])).toEqual([
      [0, 1],
      [0, 1],
      [1, 0],
      [1, 0],
    ]);
    expect([await counts(path, "amd64"), await counts(path, "arm64")]).toEqual([
      [2, 2],
      [2, 2],
    ]);
  });

  it("does not change plain layers", async () => {
    const [plain, path] = [directory(), directory()];
    await layoutOf(plain, [await layer("a"), await layer("b")]);
    await encrypt(plain, path, { recipients: [alice.recipient], layers: [1] });
    const [before] = await layersOf(path);
    const { layers } = await add(path);
    expect(layers.map(({ index }) => index)).toEqual([1]);
    expect((await layersOf(path))[0]).toEqual(before);
  });

  it("distinguishes layers that are not encrypted from layers that are not selected", async () => {
    const [plain, path] = [directory(), directory()];
    await layoutOf(plain, [await layer("a"), await layer("b")]);
    const none = await expectCode(add(plain), "NOT_ENCRYPTED");
    expect(none.message).toBe("no layer of the image is encrypted");
    await encrypt(plain, path, { recipients: [alice.recipient], layers: [0] });
    const selection = { layers: [1], keys: [alice.key] };
    for (const operation of [
      () => add(path, selection),
      () => decrypt(path, directory(), selection),
    ]) {
      const { message } = await expectCode(operation, "NOT_ENCRYPTED");
      expect(message).toBe("none of the selected layers is encrypted");
    }
  });

  it("rejects a manifest that would be too large, and says how many recipients fit", async () => {
    const path = await twoPlatforms();
    const before = await snapshot(path);
    // 933 334 characters in base64, four of them in the lists of one layer keep below 4 MiB.
    const large = (i: number): Recipient => ({
      scheme: `provider.p${String(i)}`,
      wrap: () => Promise.resolve(Buffer.alloc(700_000, i)),
    });
    const recipients = Array.from({ length: 10 }, (_, i) => large(i));
    const selection = { layers: [0], platforms: ["linux/amd64"] };
    const error = await expectCode(add(path, { recipients, ...selection }), "MANIFEST_TOO_LARGE");
    expect(error.message).toContain("there is room for 4 of the 10 recipients");
    expect(await snapshot(path)).toEqual(before);
    const five = recipients.slice(0, 5);
    await expectCode(add(path, { recipients: five, ...selection }), "MANIFEST_TOO_LARGE");
    await add(path, { recipients: recipients.slice(0, 4), ...selection });
    const none = await expectCode(
      add(path, { recipients: recipients.slice(4, 5), ...selection }),
      "MANIFEST_TOO_LARGE",
    );
    expect(none.message).toContain("there is room for 0 of the 1 recipients");
  });

  it.each<[string, Partial<AddImageRecipientsOptions>, ErrorCode]>([
    ["no recipients", { recipients: [] }, "NO_RECIPIENTS"],
    ["no keys", { keys: [] }, "NO_KEYS"],
    ["a foreign key", { keys: [bob.key, foreignKey("jwe")] }, "NO_MATCHING_KEY"],
    ["a layer that is not there", { layers: [2] }, "NOTHING_SELECTED"],
    [
      "a recipient that fails",
      { recipients: [{ scheme: "x", wrap: () => Promise.reject(new Error("no")) }] },
      "WRAP_FAILED",
    ],
  ])("rejects %s and changes nothing", async (_, options, code) => {
    const path = await twoPlatforms();
    const before = await snapshot(path);
    await expectCode(add(path, options), code);
    expect(await snapshot(path)).toEqual(before);
  });

  it("rejects an image if a key opens only some of its layers", async () => {
    const path = await twoPlatforms();
    await add(path, { layers: [0] });
    const before = await snapshot(path);
    const options = { recipients: [carol.recipient], keys: [bob.key] };
    await expectCode(add(path, options), "NO_MATCHING_KEY");
    expect(await snapshot(path)).toEqual(before);
  });

  it("rejects a plain image", async () => {
    const path = directory();
    await layoutOf(path, [await layer("a")]);
    await expectCode(add(path), "NOT_ENCRYPTED");
  });

  it("rejects with the reason of an aborted signal", async () => {
    const path = await twoPlatforms();
    const before = await snapshot(path);
    const controller = new AbortController();
    const aborting: Recipient = {
      scheme: "test",
      wrap: (secret) => {
        controller.abort(new Error("enough"));
        return Promise.resolve(Uint8Array.from(secret));
      },
    };
    const options = { recipients: [aborting], signal: controller.signal };
    await expect(add(path, options)).rejects.toThrow("enough");
    expect(await snapshot(path)).toEqual(before);
  });
});

describe("removeImageRecipients", () => {
  it("removes the recipients from the manifests", async () => {
    const path = await twoPlatforms();
    await add(path);
    const result = await remove(path);
    expect(result.changed).toBe(true);
    expect(result.warnings).toEqual([expect.stringMatching(/former manifest.*rotate/)]);
    for (const { removed } of result.layers) {
      expect(removed).toEqual([
        { scheme: "jwe", index: 1, algorithm: "ECDH-ES+A192KW", keyId: "ec-p384" },
      ]);
    }
    await decrypt(path, directory(), { keys: [alice.key] });
    await expectCode(decrypt(path, directory(), { keys: [bob.key] }), "NO_MATCHING_KEY");
  });

  it("removes the annotation of a provider, and lists that become empty", async () => {
    const path = await twoPlatforms();
    await add(path, { recipients: [plainRecipient()] });
    await remove(path, { recipients: [{ scheme: "provider.unknown" }, { keys: [alice.key] }] });
    for (const { annotations } of await layersOf(path, "amd64")) {
      expect(Object.keys(annotations!).sort()).toEqual([`${ENC}keys.test`, `${ENC}pubopts`]);
    }
  });

  it("requires each recipient in at least one layer", async () => {
    const path = await twoPlatforms();
    await add(path, { platforms: ["linux/arm64"], layers: [1] });
    const before = await layersOf(path, "amd64");
    const { layers } = await remove(path);
    expect(layers.map(({ removed }) => removed.length)).toEqual([0, 0, 0, 1]);
    expect(await layersOf(path, "amd64")).toEqual(before);
  });

  it("warns about keys that could not be tried", async () => {
    const path = await twoPlatforms();
    const moody: Key = {
      scheme: "provider.unknown",
      label: "kms",
      unwrap: () => Promise.reject(new Error("no answer")),
    };
    const { warnings } = await remove(path, { recipients: [{ keys: [alice.key, moody] }] });
    expect(warnings[0]).toBe(
      "kms could not be tried on provider.unknown:0, which was kept: no answer",
    );
    expect(warnings).toHaveLength(2);
  });

  it.each<[string, RemoveImageRecipientsOptions["recipients"], ErrorCode]>([
    ["nobody", [], "NO_RECIPIENTS"],
    [
      "a recipient that does not exist",
      [{ keyIds: ["ec-p256"] }, { keyIds: ["x"] }],
      "RECIPIENT_NOT_FOUND",
    ],
    ["a key that opens nothing", [{ keys: [bob.key] }], "RECIPIENT_NOT_FOUND"],
    ["all", [{ scheme: "jwe", index: 0 }, { scheme: "provider.unknown" }], "LAST_RECIPIENT"],
  ])("refuses to remove %s and changes nothing", async (_, recipients, code) => {
    const path = await twoPlatforms();
    const before = await snapshot(path);
    await expectCode(remove(path, { recipients }), code);
    expect(await snapshot(path)).toEqual(before);
  });
});

describe("replaceImageRecipients", () => {
  it("leaves only the given recipients and unknown ones", async () => {
    const path = await twoPlatforms();
    const result = await replace(path);
    expect(result.warnings).toEqual([
      expect.stringMatching(/^recipients of provider.unknown were kept/),
      expect.stringMatching(/former manifest/),
    ]);
    for (const { added, removed, kept } of result.layers) {
      expect(added).toMatchObject([{ index: 0, keyId: "ec-p384" }]);
      expect(removed).toMatchObject([{ index: 0, keyId: "ec-p256" }]);
      expect(kept).toMatchObject([{ scheme: "provider.unknown", index: 0 }]);
    }
    await decrypt(path, directory(), { keys: [bob.key] });
    await decrypt(path, directory(), { keys: [openKey("provider.unknown")] });
    await expectCode(decrypt(path, directory(), { keys: [alice.key] }), "NO_MATCHING_KEY");
  });

  it.each<[string, Partial<AddImageRecipientsOptions>, ErrorCode]>([
    ["no recipients", { recipients: [] }, "NO_RECIPIENTS"],
    ["no keys", { keys: [] }, "NO_KEYS"],
    ["a foreign key", { keys: [bob.key] }, "NO_MATCHING_KEY"],
  ])("rejects %s and changes nothing", async (_, options, code) => {
    const path = await twoPlatforms();
    const before = await snapshot(path);
    await expectCode(replace(path, options), code);
    expect(await snapshot(path)).toEqual(before);
  });
});

describe("listImageRecipients", () => {
  it("returns the recipients of the encrypted layers without reading a blob", async () => {
    const path = await twoPlatforms();
    await removeBlobs(path);
    const { digest, layers } = await listImageRecipients(
      layoutSource(parseLayoutReference(`oci:${path}`)),
      {
        platforms: ["linux/amd64"],
      },
    );
    expect(digest).toBe((await readEntries(path))[0]!.digest);
    const entries = await layersOf(path, "amd64");
    expect(layers).toEqual(
      entries.map((entry, index) => ({
        platform: "linux/amd64",
        index,
        digest: entry.digest,
        recipients: [
          { scheme: "jwe", index: 0, algorithm: "ECDH-ES+A128KW", keyId: "ec-p256" },
          { scheme: "provider.unknown", index: 0, algorithm: "provider" },
        ],
      })),
    );
  });

  it("returns nothing for a plain image", async () => {
    const path = directory();
    const { descriptor } = await layoutOf(path, [await layer("a")]);
    const source = layoutSource(parseLayoutReference(`oci:${path}`));
    expect(await listImageRecipients(source)).toEqual({ digest: descriptor.digest, layers: [] });
  });
});

describe("an edit into another place", () => {
  let path: string;
  beforeAll(async () => {
    path = await twoPlatforms();
  });

  it("makes another layout complete, without the old manifests", async () => {
    const other = join(directory(), "new");
    const before = await snapshot(path);
    const options = { recipients: [bob.recipient], keys: [alice.key] };
    const { source } = await watchedLayout(path);
    const { destination } = await watchedLayout(other);
    const { image } = await replaceImageRecipients(source, destination, options);
    expect(await snapshot(path)).toEqual(before);
    await decrypt(other, directory(), { keys: [bob.key] });
    for (const entry of [(await readEntries(path))[0]!, ...(await manifestsOf(path))]) {
      await expect(readFile(blobFile(other, entry.digest))).rejects.toThrow("ENOENT");
    }
    expect((await readEntries(other))[0]!.digest).toBe(image.digest);
  });

  async function manifestsOf(layout: string): Promise<Entry[]> {
    const entries = await readIndexEntries(layout, (await readEntries(layout))[0]!);
    return entries.filter(({ annotations }) => annotations === undefined);
  }

  it("writes an archive as a whole", async () => {
    const archive = join(directory(), "image.tar");
    const reference = parseLayoutReference(`oci:${archive}`);
    const options = { recipients: [bob.recipient], keys: [alice.key] };
    const { source } = await watchedLayout(path);
    await addImageRecipients(source, await archiveDestination(reference), options);
    const removal = { recipients: [{ keyIds: ["ec-p256"] }] };
    const result = await removeImageRecipients(
      archiveSource(reference),
      await archiveDestination(reference),
      removal,
    );
    expect(result.warnings).toEqual([]);
    const back = directory();
    const to = await layoutDestination(parseLayoutReference(`oci:${back}`));
    const all = { recipients: [bob.recipient], keys: [bob.key] };
    expect((await addImageRecipients(archiveSource(reference), to, all)).changed).toBe(false);
    const { layers } = await decrypt(back, directory(), { keys: [bob.key] });
    expect(layers).toHaveLength(4);
    await expectCode(decrypt(back, directory(), { keys: [alice.key] }), "NO_MATCHING_KEY");
  });

  it("verifies the blobs and writes nothing when one is damaged", async () => {
    const broken = await twoPlatforms();
    const [damaged] = await layersOf(broken, "amd64");
    await writeFile(blobFile(broken, damaged!.digest), Buffer.alloc(damaged!.size));
    const parent = directory();
    const { source } = await watchedLayout(broken);
    const { destination } = await watchedLayout(join(parent, "new"));
    const options = { recipients: [bob.recipient], keys: [alice.key] };
    await expectCode(addImageRecipients(source, destination, options), "BLOB_DIGEST_MISMATCH");
    expect(await snapshot(parent)).toEqual({});
  });
});

describe("an image of 4,950 layers in five manifests", () => {
  it("is edited", async () => {
    const image = memoryImage();
    const put = (mediaType: string, text: string): Entry => {
      image.blobs.set(digestOf(text), Buffer.from(text));
      return { mediaType, digest: digestOf(text), size: text.length };
    };
    const config = put(CONFIG, "{}");
    const manifests = Array.from({ length: 5 }, (_, i) => {
      const encrypted = put("a+encrypted", String(i));
      const layers = Array.from({ length: 990 }, () => encrypted);
      return put(MANIFEST, JSON.stringify({ config, layers }));
    });
    await image.commit(put(INDEX, JSON.stringify({ manifests })));
    const change = { annotations: {}, wrapped: [], added: [], present: [], removed: [], kept: [] };
    const edit = { change: () => Promise.resolve(change) };
    expect((await editRecipients(image, image, edit)).layers).toHaveLength(4950);
  });
});
