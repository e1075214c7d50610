import { generateKeyPairSync } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { OcicryptError } from "../../../src/errors.js";
import { decryptImage } from "../../../src/image/decrypt.js";
import { encryptImage } from "../../../src/image/encrypt.js";
import { addImageRecipients } from "../../../src/image/recipients.js";
import { rotateImage } from "../../../src/image/rotate.js";
import { jwe } from "../../../src/keywrap/jwe/index.js";
import type { Descriptor } from "../../../src/spec/descriptor.js";
import { archiveDestination } from "../../../src/store/archive/destination.js";
import { archiveSource } from "../../../src/store/archive/source.js";
import { layoutDestination } from "../../../src/store/layout/destination.js";
import { layoutSource } from "../../../src/store/layout/source.js";
import type { ImageSource } from "../../../src/store/types.js";
import {
  createLayout,
  digestOf,
  EMPTY,
  forPlatform,
  layer,
  layerOf,
  layoutOf,
  MANIFEST,
  multiPlatform,
  putBlob,
  putIndex,
  putManifest,
  putText,
  readBlob,
  readIndexEntries,
  snapshot,
  tagged,
  tar,
  temporaryDirectories,
  writeIndex,
  type Entry,
} from "../../support/image.js";
import { openKey, plainRecipient } from "../../support/layers.js";
import { decrypt, encrypt } from "../../support/operations.js";

const directory = temporaryDirectories();
const recipients = [plainRecipient()];
const keys = [openKey()];
const SIGNATURE = "application/vnd.example.signature";

const artifact = (name: string): Descriptor => ({
  mediaType: MANIFEST,
  digest: digestOf(name),
  size: 3,
  artifactType: SIGNATURE,
});

type Referrers = Readonly<Record<string, readonly Descriptor[]>>;

/** A layout that knows what refers to its manifests, and notes what it was asked. */
function knowing(path: string, referrers: Referrers): { source: ImageSource; asked: string[] } {
  const asked: string[] = [];
  const source: ImageSource = {
    ...layoutSource({ path }),
    referrers(digest) {
      asked.push(digest);
      return Promise.resolve([...(referrers[digest] ?? [])]);
    },
  };
  return { source, asked };
}

const to = (path = directory()): ReturnType<typeof layoutDestination> =>
  layoutDestination({ path });

describe("artifacts that refer to an image", () => {
  it("are reported by encryption, rotation and decryption", async () => {
    const [plain, encrypted] = [directory(), directory()];
    const { descriptor } = await layoutOf(plain, [await layer("a")]);
    const warning = `1 artifact refers to the image's former digest: ${digestOf("s")} ("${SIGNATURE}")`;
    const before = knowing(plain, { [descriptor.digest]: [artifact("s")] });
    const { image, warnings } = await encryptImage(before.source, await to(encrypted), {
      recipients,
    });
    expect(warnings).toEqual([warning]);
    expect(before.asked).toEqual([descriptor.digest]);

    const { source } = knowing(encrypted, { [image.digest]: [artifact("s")] });
    const rotated = await rotateImage(source, await to(), { keys, recipients });
    expect(rotated.warnings).toEqual([warning]);
    const decrypted = await decryptImage(source, await to(), { keys });
    expect(decrypted.warnings).toEqual([warning]);
  });

  it("are still the image's own when its recipients are there already", async () => {
    const path = directory();
    await layoutOf(path, [await layer("a")]);
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const options = {
      recipients: [jwe.recipient(publicKey.export({ type: "spki", format: "der" }))],
      keys: [jwe.key(privateKey.export({ type: "pkcs8", format: "der" }))],
    };
    const encryption = await encryptImage(layoutSource({ path }), await to(path), options);
    const { digest } = encryption.image;
    const { source } = knowing(path, { [digest]: [artifact("s")] });
    const same = await addImageRecipients(source, await to(path), options);
    expect(same.image.digest).toBe(digest);
    expect(same.warnings).toEqual([
      `nothing changed, and 1 artifact refers to the image's digest: ${digestOf("s")} ("${SIGNATURE}")`,
    ]);
    const denied = new OcicryptError("REGISTRY_DENIED", "no");
    const failing = { ...source, referrers: () => Promise.reject(denied) };
    const unknown = await addImageRecipients(failing, await to(path), options);
    expect(unknown.warnings).toEqual([]);
  });

  it("are reported when recipients change", async () => {
    const path = directory();
    await layoutOf(path, [await layer("a")]);
    const { image } = await encrypt(path, path);
    const options = { recipients: [plainRecipient("provider.more")], keys };
    const { source } = knowing(path, { [image.digest]: [artifact("s")] });
    const { warnings } = await addImageRecipients(source, await to(path), options);
    expect(warnings).toEqual([
      `1 artifact refers to the image's former digest: ${digestOf("s")} ("${SIGNATURE}")`,
    ]);
  });

  it("are searched for at the manifests that change, and counted once", async () => {
    const path = directory();
    const { index, amd64, arm64 } = await multiPlatform(path);
    const many = Array.from({ length: 7 }, (_, i) => artifact(String(i)));
    many[1] = { ...many[1]!, artifactType: 1 as never };
    const { source, asked } = knowing(path, {
      [index.digest]: many,
      [arm64.descriptor.digest]: [many[0]!, artifact("more")],
      [amd64.descriptor.digest]: [artifact("of what stays")],
    });
    const selection = { platforms: ["linux/arm64"], layers: [1] };
    const { warnings } = await encryptImage(source, await to(), { recipients, ...selection });
    expect(asked).toEqual([index.digest, arm64.descriptor.digest]);
    const found = warnings.filter((warning) => warning.includes("former digest"));
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(
      /^8 artifacts refer to the image's former digest: (\S+, |\S+ \S+, ){5}…$/,
    );
    expect(found[0]).toContain(`, ${many[1].digest},`);
  });

  it("are searched for at a limited number of manifests", async () => {
    const path = await createLayout(directory());
    const entries: Entry[] = [];
    for (let i = 0; i < 20; i++) {
      const { descriptor } = await putManifest(path, [await layer(`layer ${String(i)}`)]);
      entries.push(descriptor);
    }
    await writeIndex(path, [await putIndex(path, entries)]);
    const { source, asked } = knowing(path, {});
    const { warnings } = await encryptImage(source, await to(), { recipients });
    expect(asked).toHaveLength(16);
    expect(warnings).toEqual([
      "only 16 of the image's 21 former digests were searched for artifacts that refer to them",
    ]);
  });

  it("do not matter if the source cannot list them", async () => {
    const path = directory();
    await layoutOf(path, [await layer("a")]);
    const failing = (error: Error): ImageSource => ({
      ...layoutSource({ path }),
      referrers: () => Promise.reject(error),
    });
    const denied = failing(new OcicryptError("REGISTRY_DENIED", "no"));
    const { warnings } = await encryptImage(denied, await to(), { recipients });
    expect(warnings).toEqual([
      "the artifacts that refer to the image's former digest could not be listed (REGISTRY_DENIED)",
    ]);
    const defect = new TypeError("a defect");
    const result = encryptImage(failing(defect), await to(), { recipients });
    await expect(result).rejects.toBe(defect);
  });

  it("do not delay an abort", async () => {
    const path = directory();
    await layoutOf(path, [await layer("a")]);
    const controller = new AbortController();
    const reason = new Error("stopped");
    const source: ImageSource = {
      ...layoutSource({ path }),
      referrers() {
        controller.abort(reason);
        return Promise.reject(new OcicryptError("REGISTRY_UNREACHABLE", "stopped"));
      },
    };
    const { signal } = controller;
    const result = encryptImage(source, await to(), { recipients, signal });
    await expect(result).rejects.toBe(reason);
  });
});

describe("an artifact in the same index as its subject", () => {
  it("is kept byte for byte, and reported", async () => {
    const [plain, encrypted, again] = [directory(), directory(), directory()];
    await createLayout(plain);
    const image = await putManifest(plain, [await layer("a")]);
    const bill = layerOf(Buffer.from('{"sbom":true}'), { mediaType: "application/spdx+json" });
    const about = await putManifest(plain, [bill], {
      extra: { artifactType: "application/spdx+json", subject: image.descriptor },
      config: { mediaType: EMPTY, content: "{}" },
    });
    const entries = [forPlatform(image.descriptor, "linux/amd64"), about.descriptor];
    const index = await putIndex(plain, entries);
    await writeIndex(plain, [index]);

    const there = await encrypt(plain, encrypted);
    expect(there.layers).toHaveLength(1);
    expect(there.warnings).toEqual([
      `1 artifact refers to the image's former digest: ${about.descriptor.digest} ("application/spdx+json")`,
    ]);
    const [, kept] = await readIndexEntries(encrypted, there.image);
    expect(kept).toEqual(about.descriptor);
    expect((await readBlob(encrypted, kept!)).toString()).toBe(about.text);
    expect(await readBlob(encrypted, bill.descriptor)).toEqual(bill.blob);

    const back = await decrypt(encrypted, again);
    expect(back.image).toEqual(index);
    expect(back.warnings).toEqual([]);
  });

  it("is encrypted if it has an image's config, because it can be run", async () => {
    const path = await createLayout(directory());
    const image = await putManifest(path, [await layer("a")]);
    const other = await putManifest(path, [await layer("b")], {
      extra: { subject: image.descriptor },
    });
    await writeIndex(path, [await putIndex(path, [image.descriptor, other.descriptor])]);
    expect((await encrypt(path, directory())).layers).toHaveLength(2);
  });
});

describe("artifacts beside an image in its layout", () => {
  const config = { mediaType: EMPTY, content: "{}" };
  const SOME_OTHER = digestOf("something else");

  /** A layout with an image, a signature and another image. */
  async function signed(path: string): Promise<{ image: Entry; signature: Entry }> {
    await createLayout(path);
    const image = await putManifest(path, [await layer("a")]);
    const other = await putManifest(path, [await layer("b")]);
    const subject = image.descriptor;
    const extra = { artifactType: SIGNATURE, subject };
    const signature = await putManifest(path, [layerOf(Buffer.from("signed"))], { extra, config });
    const ofOther = await putManifest(path, [], { extra: { subject: other.descriptor }, config });
    const longer = await putManifest(path, [], { extra: { ...extra, annotations: {} }, config });
    const forged = JSON.stringify({ subject });
    await putBlob(path, forged, SOME_OTHER);
    const entries = [
      tagged(image.descriptor, "app"),
      tagged(other.descriptor, "other"),
      { ...signature.descriptor },
      ofOther.descriptor,
      { ...(await putText(path, "{")), mediaType: MANIFEST },
      { ...(await putText(path, JSON.stringify({ subject: 5 }))) },
      { mediaType: MANIFEST, digest: digestOf("not there"), size: 9 },
      { ...longer.descriptor, size: 5 },
      { mediaType: MANIFEST, digest: SOME_OTHER, size: forged.length },
      { mediaType: MANIFEST, digest: digestOf("huge"), size: 5_000_000 },
      { mediaType: "application/json", digest: digestOf("nor this"), size: 9 },
    ];
    await writeIndex(path, entries);
    return { image: subject, signature: signature.descriptor };
  }

  const warningOf = ({ digest }: Entry): string =>
    `1 artifact refers to the image's former digest: ${digest} ("${SIGNATURE}")`;

  it("are reported, and stay", async () => {
    const path = directory();
    const { signature } = await signed(path);
    const { warnings } = await encrypt(`${path}:app`, `${path}:app`);
    expect(warnings[0]).toContain("the blobs of 1 plain layer");
    expect(warnings.slice(1)).toEqual([warningOf(signature)]);
    expect(await readBlob(path, signature)).not.toHaveLength(0);
  });

  it("are searched for in a limited number of manifests", async () => {
    const path = directory();
    const { image } = await signed(path);
    const large = Array.from({ length: 17 }, (_, i) => ({
      ...{ mediaType: MANIFEST, digest: digestOf(String(i)), size: 4 * 1024 * 1024 },
    }));
    await writeIndex(path, [tagged(image, "app"), ...large]);
    const { warnings } = await encrypt(`${path}:app`, directory());
    expect(warnings).toEqual([
      "the artifacts that refer to the image's former digest could not be listed (LAYOUT_INVALID)",
    ]);
  });

  it("are reported in an archive", async () => {
    const path = directory();
    const { signature } = await signed(path);
    const archive = { path: join(directory(), "image.tar"), tag: "app" };
    const names = Object.entries(await snapshot(path)).flatMap(([name, digest]) =>
      digest === "-" ? [] : [name],
    );
    const files = names.map(async (name) => [name, await readFile(join(path, name))] as const);
    await writeFile(archive.path, await tar(Object.fromEntries(await Promise.all(files))));
    const there = { path: join(directory(), "encrypted.tar"), tag: "app" };
    const { warnings } = await encryptImage(
      archiveSource(archive),
      await archiveDestination(there),
      { recipients },
    );
    expect(warnings).toEqual([warningOf(signature)]);
  });
});
