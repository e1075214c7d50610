import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../../src/errors.js";
import {
  addImageRecipients,
  decryptImage,
  inspectImage,
  replaceImageRecipients,
  rotateImage,
} from "../../../src/image/index.js";
import type { Recipient } from "../../../src/keywrap/types.js";
import { layoutDestination } from "../../../src/store/layout/destination.js";
import { layoutSource } from "../../../src/store/layout/source.js";
import { expectCode } from "../../support/codes.js";
import {
  CONFIG,
  layer,
  layoutOf,
  multiPlatform,
  putBlob,
  putText,
  readBlob,
  readEntries,
  readManifest,
  snapshot,
  temporaryDirectories,
  writeIndex,
  type Entry,
  type Layer,
  type ManifestContent,
} from "../../support/image.js";
import { base64, ENC, openKey, plainRecipient } from "../../support/layers.js";
import { decrypt, encrypt } from "../../support/operations.js";

const directory = temporaryDirectories();
const LIST = `${ENC}keys.test`;
const keys = [openKey()];
const BINDING = "image-binding";

async function manifestOf(path: string): Promise<ManifestContent> {
  return readManifest(path, (await readEntries(path))[0]!);
}

/** The private options in a descriptor, which the scheme of the tests does not hide. */
function secretsOf({ annotations }: Entry, name = LIST) {
  return annotations![name]!.split(",").map(
    (element) =>
      JSON.parse(Buffer.from(element, "base64").toString()) as {
        cipheroptions: Record<string, string>;
      },
  );
}

function bindingsOf(entry: Entry, name = LIST): (string | undefined)[] {
  return secretsOf(entry, name).map(({ cipheroptions }) => cipheroptions[BINDING]);
}

/** The hash of a place, from the format in docs/format.md and nothing of the library. */
function hashOf(config: Buffer, index: number): Buffer {
  const { os, architecture, rootfs } = JSON.parse(config.toString()) as {
    os: string;
    architecture: string;
    rootfs: { diff_ids: string[] };
  };
  const digest = createHash("sha256").update(config).digest("hex");
  const lines = [
    ...["image-binding 1", `sha256:${digest}`, String(rootfs.diff_ids.length)],
    ...[...rootfs.diff_ids, `${os}/${architecture}`, String(index)],
  ];
  return createHash("sha256").update(lines.join("\n")).digest();
}

async function twoLayers(): Promise<{ plain: string; path: string; layers: Layer[] }> {
  const [plain, path] = [directory(), directory()];
  const layers = [await layer("a"), await layer("b")];
  await layoutOf(plain, layers);
  await encrypt(plain, path);
  return { plain, path, layers };
}

async function rewrite(path: string, change: (manifest: ManifestContent) => void): Promise<void> {
  const manifest = await manifestOf(path);
  change(manifest);
  await writeIndex(path, [await putText(path, JSON.stringify(manifest))]);
}

async function expectRefusal(path: string, code: ErrorCode, options = {}): Promise<void> {
  const to = directory();
  await expectCode(decrypt(path, to, options), code);
  expect(await snapshot(to)).toEqual({});
}

describe("the binding of an encrypted layer", () => {
  it("is a version and the hash of its place, next to the nonce", async () => {
    const { path } = await twoLayers();
    const { config, layers } = await manifestOf(path);
    const bytes = await readBlob(path, config);
    for (const [index, entry] of layers.entries()) {
      const [secret] = secretsOf(entry);
      expect(Object.keys(secret!.cipheroptions)).toEqual(["nonce", BINDING]);
      const expected = Buffer.concat([Buffer.from([1]), hashOf(bytes, index)]);
      expect(secret!.cipheroptions[BINDING]).toBe(base64(expected));
    }
    const result = await decrypt(path, directory(), { requireBound: true });
    expect(result.layers.map(({ bound }) => bound)).toEqual([true, true]);
  });

  it("holds one hash for each place of a layer that platforms share", async () => {
    const [plain, path] = [directory(), directory()];
    const { amd64, arm64 } = await multiPlatform(plain);
    await encrypt(plain, path);
    await decrypt(path, directory(), { requireBound: true });
    await decrypt(path, directory(), { requireBound: true, platforms: ["linux/arm64"] });
    const index = JSON.parse((await readBlob(path, (await readEntries(path))[0]!)).toString()) as { manifests: Entry[] }; // prettier-ignore
    const { layers } = await readManifest(path, index.manifests[1]!);
    const places = await Promise.all(
      [amd64, arm64].map(async ({ descriptor }) => {
        const { config } = await readManifest(plain, descriptor);
        return hashOf(await readBlob(plain, config), 0);
      }),
    );
    // Both configs have the same platform in this fixture and differ in their diffIDs.
    const sorted = places.sort((a, b) => Buffer.compare(a, b));
    expect(bindingsOf(layers[0]!)).toEqual([base64(Buffer.concat([Buffer.from([1]), ...sorted]))]);
  });

  it("is absent if it is not wanted, and for recipients without room", async () => {
    const [plain, path, short] = [directory(), directory(), directory()];
    await layoutOf(plain, [await layer("a")]);
    await encrypt(plain, path, { bind: false });
    expect(bindingsOf((await manifestOf(path)).layers[0]!)).toEqual([undefined]);
    const tight: Recipient = { ...plainRecipient("tight"), roomForBinding: false };
    await encrypt(plain, short, { recipients: [tight, plainRecipient()] });
    const [entry] = (await manifestOf(short)).layers;
    expect(bindingsOf(entry!, `${ENC}keys.tight`)).toEqual([undefined]);
    expect(Buffer.from(entry!.annotations![`${ENC}keys.tight`]!, "base64")).toHaveLength(193);
    expect(bindingsOf(entry!)).not.toEqual([undefined]);
    await decrypt(short, directory(), { keys: [openKey("tight")] });
    await expectRefusal(path, "POLICY_VIOLATION", { requireBound: true });
    await expectRefusal(short, "POLICY_VIOLATION", { requireBound: true, keys: [openKey("tight")] }); // prettier-ignore
  });

  it("is absent if the config does not name the layers", async () => {
    const [plain, path] = [directory(), directory()];
    await layoutOf(plain, [await layer("a")], { config: { mediaType: CONFIG, content: "{}" } });
    await encrypt(plain, path);
    expect(bindingsOf((await manifestOf(path)).layers[0]!)).toEqual([undefined]);
    await expectRefusal(path, "POLICY_VIOLATION", { requireBound: true });
  });

  it("is left out with a warning for a layer in more than 256 places", async () => {
    const [plain, path] = [directory(), directory()];
    const once = await layer("a");
    await layoutOf(
      plain,
      Array.from({ length: 257 }, () => once),
    );
    const { warnings } = await encrypt(plain, path);
    expect(warnings).toEqual([expect.stringContaining("is not bound to its 257 places")]);
    await decrypt(path, directory());
  });

  it("survives edits of recipients", async () => {
    const { path } = await twoLayers();
    const before = (await manifestOf(path)).layers.map((entry) => bindingsOf(entry)[0]);
    const other = [plainRecipient("other")];
    for (const edit of [addImageRecipients, replaceImageRecipients]) {
      const to = await layoutDestination({ path });
      await edit(layoutSource({ path }), to, { recipients: other, keys });
      const { layers } = await manifestOf(path);
      expect(layers.map((entry) => bindingsOf(entry, `${ENC}keys.other`)[0])).toEqual(before);
      if (edit === addImageRecipients) await decrypt(path, directory(), { requireBound: true });
    }
  });

  it("is written by rotation and by reuse", async () => {
    const { plain, layers } = await twoLayers();
    const [old, path] = [directory(), directory()];
    await encrypt(plain, old, { bind: false });
    const to = await layoutDestination({ path });
    await rotateImage(layoutSource({ path: old }), to, { recipients: [plainRecipient()], keys });
    await decrypt(path, directory(), { requireBound: true });

    const [next, reused] = [directory(), directory()];
    await layoutOf(next, [...layers, await layer("c")]);
    const reuse = { image: layoutSource({ path }), keys };
    const result = await encrypt(next, reused, { reuse });
    expect(result.layers.filter((each) => each.reused)).toHaveLength(2);
    await decrypt(reused, directory(), { requireBound: true });
  });
});

describe("a layer of another image is rejected", () => {
  /** An image whose config names the layers of the other one, and another entrypoint. */
  async function stolen(): Promise<string> {
    const { path } = await twoLayers();
    const manifest = await manifestOf(path);
    const config = JSON.parse((await readBlob(path, manifest.config)).toString()) as object;
    const evil = JSON.stringify({ ...config, config: { Entrypoint: ["/evil"] } });
    const stored = await putBlob(path, evil);
    await rewrite(path, (it) => Object.assign(it.config, stored));
    return path;
  }

  it("under a config with another entrypoint", async () => {
    const path = await stolen();
    await expectRefusal(path, "BINDING_MISMATCH");
    await expectRefusal(path, "BINDING_MISMATCH", { allowUnverified: true });
  });

  it("under a config that is not an image config", async () => {
    const path = await stolen();
    await rewrite(path, ({ config }) => (config.mediaType = "application/vnd.example"));
    await expectRefusal(path, "BINDING_MISMATCH");
  });

  it("under a config without diffIDs", async () => {
    const { path } = await twoLayers();
    const stored = await putBlob(path, "{}");
    await rewrite(path, ({ config }) => Object.assign(config, stored));
    await expectRefusal(path, "BINDING_MISMATCH");
  });

  it("also by rotation, which would bind it to its new place", async () => {
    const path = await stolen();
    const to = directory();
    const rotated = rotateImage(layoutSource({ path }), await layoutDestination({ path: to }), {
      ...{ recipients: [plainRecipient()], keys },
    });
    await expectCode(rotated, "BINDING_MISMATCH");
    expect(await snapshot(to)).toEqual({});
  });

  it("and inspection says so", async () => {
    const report = async (path: string) => {
      const { manifests } = await inspectImage(layoutSource({ path }), { keys });
      return manifests[0]!.layers.map((each) => each.keys[0]!.binding);
    };
    expect(await report(await stolen())).toEqual(["mismatch", "mismatch"]);
    const { plain, path } = await twoLayers();
    expect(await report(path)).toEqual(["bound", "bound"]);
    const unbound = directory();
    await encrypt(plain, unbound, { bind: false });
    expect(await report(unbound)).toEqual(["none", "none"]);
  });

  it("in one platform of an index", async () => {
    const [plain, path] = [directory(), directory()];
    await multiPlatform(plain);
    await encrypt(plain, path, { platforms: ["linux/amd64"], layers: [1] });
    const [entry] = await readEntries(path);
    const index = JSON.parse((await readBlob(path, entry!)).toString()) as { manifests: Entry[] };
    const amd64 = await readManifest(path, index.manifests[1]!);
    const arm64 = await readManifest(path, index.manifests[2]!);
    arm64.layers[1] = amd64.layers[1]!;
    index.manifests[2] = {
      ...index.manifests[2]!,
      ...(await putText(path, JSON.stringify(arm64))),
    };
    await writeIndex(path, [{ ...entry!, ...(await putText(path, JSON.stringify(index), entry!.mediaType)) }]); // prettier-ignore
    await expectRefusal(path, "BINDING_MISMATCH", { platforms: ["linux/arm64"] });
    const from = layoutSource({ path });
    const to = await layoutDestination({ path: directory() });
    const { layers } = await decryptImage(from, to, { keys, platforms: ["linux/amd64"] });
    expect(layers.map(({ bound }) => bound)).toEqual([true]);
  });
});

describe("a binding that cannot be read is rejected", () => {
  it.each<[string, unknown]>([
    ["of another version", base64(Buffer.concat([Buffer.from([2]), Buffer.alloc(32)]))],
    ["without a hash", base64(Buffer.from([1]))],
    ["of half a hash", base64(Buffer.concat([Buffer.from([1]), Buffer.alloc(16)]))],
    ["of 257 hashes", base64(Buffer.concat([Buffer.from([1]), Buffer.alloc(257 * 32)]))],
    ["that is empty", ""],
    ["that is null", null],
    ["that is a number", 1],
    ["that is not base64", "%"],
  ])("%s", async (_, value) => {
    const { path } = await twoLayers();
    await rewrite(path, ({ layers: [entry] }) => {
      const [secret] = secretsOf(entry!);
      const cipheroptions = { ...secret!.cipheroptions, [BINDING]: value };
      entry!.annotations![LIST] = base64(JSON.stringify({ ...secret, cipheroptions }));
    });
    await expectRefusal(path, "PRIVATE_OPTIONS_INVALID");
    const { manifests } = await inspectImage(layoutSource({ path }), { keys });
    const [report] = manifests[0]!.layers[0]!.keys;
    expect([report!.opens, report!.binding]).not.toEqual([true, "bound"]);
  });
});
