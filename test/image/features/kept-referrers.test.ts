import { generateKeyPairSync } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { copyReferrers, decryptImage, encryptImage } from "../../../src/image/index.js";
import { jwe } from "../../../src/keywrap/jwe/index.js";
import { registryDestination, registrySource } from "../../../src/registry/index.js";
import { archiveDestination, layoutDestination, layoutSource } from "../../../src/store/index.js";
import { at, QUICK, testRegistry } from "../../registry/server.js";
import { expectCode } from "../../support/codes.js";
import {
  layer,
  layoutOf,
  putManifest,
  readEntries,
  tagged,
  temporaryDirectories,
  writeIndex,
  type Entry,
} from "../../support/image.js";

const directory = temporaryDirectories();
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
const recipients = [jwe.recipient(pair.publicKey.export({ type: "spki", format: "der" }))];
const keys = [jwe.key(pair.privateKey.export({ type: "pkcs8", format: "der" }))];

const tagOf = ({ digest }: Entry, suffix: string): string => digest.replace(":", "-") + suffix;

/** A layout with an image, what cosign keeps about it by tag, and what refers to it. */
async function signedLayout(): Promise<{
  path: string;
  image: Entry;
  signature: Entry;
  sbom: Entry;
}> {
  const path = directory();
  const { descriptor: image } = await layoutOf(path, [await layer("content")]);
  const { descriptor: signature } = await putManifest(path, [await layer("signature")]);
  const subject = { mediaType: image.mediaType, digest: image.digest, size: image.size };
  const { descriptor: sbom } = await putManifest(path, [await layer("sbom")], {
    extra: { subject },
  });
  await writeIndex(path, [
    tagged(image, "v1"),
    tagged(signature, tagOf(image, ".sig")),
    tagged(signature, tagOf(image, ".att")),
    sbom,
  ]);
  return { path, image, signature, sbom };
}

it("artifacts go with an image into a registry and back, and are about the decrypted image again", async () => {
  const { path, image, signature, sbom } = await signedLayout();
  const registry = await testRegistry();
  const source = layoutSource({ path, tag: "v1" });
  const secret = { ...at(registry, "secret"), tag: "v1" };
  const pushed = await registryDestination(secret, QUICK);
  await encryptImage(source, pushed, { recipients });
  const pulled = registrySource(secret, QUICK);
  const names = [tagOf(image, ".sig"), tagOf(image, ".att")];
  expect(await copyReferrers(source, pushed, [source, pulled])).toEqual([...names, sbom.digest]);
  expect(await pulled.find?.(names[0]!)).toMatchObject({ digest: signature.digest });
  expect(await pulled.referrers?.(image.digest)).toMatchObject([{ digest: sbom.digest }]);

  const plain = join(directory(), "plain");
  const destination = await layoutDestination({ path: plain, tag: "v1" });
  const decrypted = await decryptImage(pulled, destination, { keys });
  expect(decrypted.image.digest).toBe(image.digest);
  const after = layoutSource({ path: plain, tag: "v1" });
  const lists = [...names, tagOf(image, "")];
  const copied = await copyReferrers(pulled, destination, [pulled, after]);
  expect(copied.toSorted()).toEqual(lists.toSorted());
  for (const [name, { digest }] of [
    [names[0]!, signature],
    [names[1]!, signature],
  ] as const) {
    expect(await after.find?.(name)).toMatchObject({ digest });
  }
  expect((await readEntries(plain)).map(({ digest }) => digest)).toContain(image.digest);
});

it("an artifact that contains a layer that was encrypted is not copied", async () => {
  const path = directory();
  const content = await layer("content");
  const { descriptor: image } = await layoutOf(path, [content]);
  const subject = { mediaType: image.mediaType, digest: image.digest, size: image.size };
  const { descriptor: artifact } = await putManifest(path, [content], { extra: { subject } });
  const { descriptor: signature } = await putManifest(path, [content]);
  for (const [name, entry] of [
    ["subject", artifact],
    ["tag", tagged(signature, tagOf(image, ".sig"))],
  ] as const) {
    await writeIndex(path, [tagged(image, "v1"), entry]);
    const source = layoutSource({ path, tag: "v1" });
    const to = join(directory(), "encrypted");
    const destination = await layoutDestination({ path: to, tag: "v1" });
    await encryptImage(source, destination, { recipients });
    const after = layoutSource({ path: to, tag: "v1" });
    await expectCode(copyReferrers(source, destination, [source, after]), "MANIFEST_UNSUPPORTED");
    const blobs = readdirSync(join(to, "blobs", "sha256"));
    expect(blobs, name).not.toContain(content.descriptor.digest.slice(7));
    expect(await readEntries(to), name).toHaveLength(1);
  }
});

it("nothing is copied within one repository or layout", async () => {
  const { path } = await signedLayout();
  const source = layoutSource({ path, tag: "v1" });
  const destination = await layoutDestination({ path, tag: "v2" });
  expect(await copyReferrers(source, destination, [source])).toEqual([]);
});

it("an archive cannot keep artifacts", async () => {
  const { path } = await signedLayout();
  const source = layoutSource({ path, tag: "v1" });
  const destination = await archiveDestination({ path: join(directory(), "a.tar") });
  await expectCode(copyReferrers(source, destination, [source]), "DESTINATION_UNWRITABLE");
});
