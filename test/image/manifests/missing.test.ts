import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  addImageRecipients,
  decryptImage,
  encryptImage,
  inspectImage,
  rotateImage,
} from "../../../src/image/index.js";
import { jwe } from "../../../src/keywrap/jwe/index.js";
import { registryDestination, registrySource } from "../../../src/registry/index.js";
import { directoryDestination, directorySource } from "../../../src/store/layout/directory.js";
import { layoutDestination } from "../../../src/store/layout/destination.js";
import { layoutSource } from "../../../src/store/layout/source.js";
import type { ImageDestination, ImageSource } from "../../../src/store/types.js";
import { at, QUICK, refuse, testRegistry } from "../../registry/server.js";
import { expectCode } from "../../support/codes.js";
import {
  blobFile,
  digestOf,
  layer,
  layoutOf,
  multiPlatform,
  readBlob,
  readEntries,
  readManifest,
  temporaryDirectories,
  type Entry,
} from "../../support/image.js";
import { isDocument, partsOf, PLACES, type Place } from "../../support/places.js";
import { vectorFile } from "../../support/vectors.js";

const directory = temporaryDirectories();

const alice = person("ec-p256");
const bob = person("ec-p384");
const recipients = [alice.recipient];
const keys = [alice.key];
const platforms = ["linux/amd64"];

function person(name: string) {
  return {
    recipient: jwe.recipient(vectorFile(`keys/${name}.pub.jwk`)),
    key: jwe.key(vectorFile(`keys/${name}.pem`)),
  };
}

type Part = "layer" | "config" | "manifest";

interface Sparse {
  place: Place;
  index: Entry;
  /** The entry of the platform that is not complete. */
  arm64: Entry;
}

const DIRECTORY = {
  async of(layout: string, parent: string): Promise<Place> {
    const path = join(parent, "image");
    await mkdir(path);
    const [root] = await readEntries(layout);
    await writeFile(join(path, "version"), "Directory Transport Version: 1.1\n");
    await writeFile(join(path, "manifest.json"), await readBlob(layout, root!));
    await writeParts(layout, path, root!);
    return {
      source: () => directorySource(path),
      destination: () => directoryDestination(path),
      names: () => Promise.resolve([]),
    };
  },
};

async function writeParts(layout: string, path: string, entry: Entry): Promise<void> {
  for (const part of partsOf(entry.mediaType, await readBlob(layout, entry))) {
    const suffix = isDocument(part.mediaType) ? ".manifest.json" : "";
    const file = join(path, part.digest.slice("sha256:".length) + suffix);
    await writeFile(file, await readBlob(layout, part));
    await writeParts(layout, path, part);
  }
}

/** An image whose platform arm64 lacks a part. The other platform shares its first layer. */
const SPARSE: Record<string, (lacks: Part) => Promise<Sparse>> = {
  "a layout": async (lacks) => {
    const layout = directory();
    const { index, arm64, lost } = await image(layout, lacks);
    await rm(blobFile(layout, lost));
    return { place: await PLACES.layout.of(layout, directory()), index, arm64 };
  },
  "an archive": async (lacks) => {
    const layout = directory();
    const { index, arm64, lost } = await image(layout, lacks);
    await rm(blobFile(layout, lost));
    return { place: await PLACES.archive.of(layout, directory()), index, arm64 };
  },
  "a directory of skopeo": async (lacks) => {
    const [layout, parent] = [directory(), directory()];
    const { index, arm64, lost } = await image(layout, lacks);
    const place = await DIRECTORY.of(layout, parent);
    const suffix = lacks === "manifest" ? ".manifest.json" : "";
    await rm(join(parent, "image", lost.slice("sha256:".length) + suffix));
    return { place, index, arm64 };
  },
  memory: async (lacks) => {
    const layout = directory();
    const { index, arm64, lost } = await image(layout, lacks);
    const place = await PLACES.memory.of(layout, directory());
    (place.source() as unknown as { blobs: Map<string, unknown> }).blobs.delete(lost);
    return { place, index, arm64 };
  },
};

async function image(
  layout: string,
  lacks: Part,
): Promise<{ index: Entry; arm64: Entry; lost: string }> {
  const { index, arm64 } = await multiPlatform(layout);
  const { config, layers } = await readManifest(layout, arm64.descriptor);
  const lost = { layer: layers[1]!, config, manifest: arm64.descriptor }[lacks].digest;
  return { index, arm64: arm64.descriptor, lost };
}

const PARTS: Part[] = ["layer", "config", "manifest"];

describe.each(Object.entries(SPARSE))("an image in %s", (_, sparse) => {
  it.each(PARTS)("with a platform that lacks a %s is encrypted in another", async (lacks) => {
    const { place, index, arm64 } = await sparse(lacks);
    const { destination, source } = await PLACES.layout.empty(directory());
    const { warnings, layers } = await encryptImage(place.source(), await destination(), {
      ...{ recipients, platforms },
    });
    expect(layers).toHaveLength(2);
    expect(warnings).toEqual([expect.stringContaining(arm64.digest)]);
    expect(warnings[0]).toContain("linux/arm64/v8");
    const { missing } = await inspectImage(source());
    expect(missing).toEqual([{ platform: "linux/arm64/v8", digest: arm64.digest }]);
    const back = await PLACES.archive.empty(directory());
    const options = { keys, platforms };
    const decrypted = await decryptImage(source(), await back.destination(), options);
    expect(decrypted.image.digest).toBe(index.digest);
    expect(decrypted.warnings).toEqual([expect.stringContaining(arm64.digest)]);
  });

  it.each(PARTS)("with a platform that lacks a %s is edited in place", async (lacks) => {
    const { place, index } = await sparse(lacks);
    const here = async (): Promise<[ImageSource, ImageDestination]> => [
      place.source(),
      await place.destination(),
    ];
    const more = { platforms, keys, recipients: [bob.recipient] };
    await encryptImage(...(await here()), { platforms, recipients });
    await addImageRecipients(...(await here()), more);
    await rotateImage(...(await here()), { platforms, keys: [bob.key], recipients });
    const { image: after } = await decryptImage(...(await here()), { platforms, keys });
    expect(after.digest).toBe(index.digest);
  });

  it.each(["layer", "config"] as const)("says whose %s is missing", async (lacks) => {
    const { place } = await sparse(lacks);
    const { destination } = await PLACES.layout.empty(directory());
    for (const selected of [undefined, ["linux/arm64"]]) {
      const work = encryptImage(place.source(), await destination(), {
        ...{ recipients, platforms: selected },
      });
      const { message } = await expectCode(work, "BLOB_NOT_FOUND");
      expect(message).toContain("which linux/arm64/v8 needs; select the platforms that it holds");
    }
  });
});

describe("a registry", () => {
  it("accepts an index if it already has the other platform", async () => {
    const layout = directory();
    const { index, lost } = await image(layout, "layer");
    const complete = await PLACES.registry.of(layout, directory());
    await rm(blobFile(layout, lost));
    await encryptImage(layoutSource({ path: layout }), await complete.destination(), {
      ...{ recipients, platforms },
    });
    const { destination } = await PLACES.memory.empty(directory());
    const { image: after } = await decryptImage(complete.source(), await destination(), { keys });
    expect(after.digest).toBe(index.digest);
  });

  it("is read without the blobs of other platforms", async () => {
    const layout = directory();
    const { lost } = await image(layout, "layer");
    const [root] = await readEntries(layout);
    const registry = await testRegistry();
    const reference = at(registry, "app", "latest");
    await encryptImage(
      layoutSource({ path: layout }),
      await registryDestination(reference, QUICK),
      { recipients, layers: [0] },
    );
    expect(registry.blobs.delete(`app@${lost}`)).toBe(true);
    const path = directory();
    const { image: after, warnings } = await decryptImage(
      registrySource(reference, QUICK),
      await layoutDestination({ path }),
      { keys, platforms },
    );
    expect(warnings).toEqual([expect.stringContaining(`does not hold its blob ${lost}`)]);
    const [, amd64] = partsOf(root!.mediaType, await readBlob(layout, root!));
    const [, decrypted] = partsOf(after.mediaType, await readBlob(path, after));
    expect(decrypted).toEqual(amd64);
  });

  it("rejects an index without all its manifests, and the error names the platforms", async () => {
    const layout = directory();
    const { arm64, lost } = await image(layout, "layer");
    await rm(blobFile(layout, lost));
    const registry = await testRegistry();
    // https://github.com/distribution/distribution/blob/main/registry/handlers/manifests.go
    registry.script = ({ method, target, body }, response) => {
      if (method !== "PUT" || !target.includes("/manifests/")) return false;
      const { manifests = [] } = JSON.parse(body.toString()) as { manifests?: Entry[] };
      const isWhole = manifests.every(({ digest }) => registry.manifests.has(`app@${digest}`));
      return isWhole ? false : refuse(response, 404, "MANIFEST_BLOB_UNKNOWN", "blob unknown");
    };
    const destination = await registryDestination(at(registry, "app", "latest"), QUICK);
    const options = { recipients, platforms };
    const work = encryptImage(layoutSource({ path: layout }), destination, options);
    const { message } = await expectCode(work, "REGISTRY_FAILED");
    expect(message).toContain(`linux/arm64/v8 (${arm64.digest})`);
    expect(message).toContain("MANIFEST_BLOB_UNKNOWN");
    expect(registry.tags()).toEqual([]);

    const [root] = await readEntries(layout);
    const children = partsOf(root!.mediaType, await readBlob(layout, root!));
    const digest = children[1]!.digest;
    expect(message).toContain(digest);
    const alone = layoutSource({ path: layout, digest });
    const again = await registryDestination(at(registry, "app", "latest"), QUICK);
    await encryptImage(alone, again, { recipients });
    expect(registry.tags()).toEqual(["app:latest"]);
  });
});

it("an attestation may lack its content if platforms are selected", async () => {
  const layout = directory();
  const { index } = await multiPlatform(layout);
  const [attestation] = partsOf(index.mediaType, await readBlob(layout, index));
  const { layers } = await readManifest(layout, attestation!);
  await rm(blobFile(layout, layers[0]!.digest));
  const { destination } = await PLACES.layout.empty(directory());
  const { warnings } = await encryptImage(layoutSource({ path: layout }), await destination(), {
    ...{ recipients, platforms: ["linux/amd64", "linux/arm64"] },
  });
  expect(warnings).toEqual([expect.stringContaining(attestation!.digest)]);
  expect(warnings[0]).toContain("unknown/unknown");
});

it("a missing blob that the index itself names is told as one", async () => {
  const layout = directory();
  const { index } = await multiPlatform(layout);
  const content = JSON.parse((await readBlob(layout, index)).toString()) as { manifests: object[] };
  const lost = digestOf("lost");
  content.manifests.push({ mediaType: "application/octet-stream", digest: lost, size: 4 });
  const bytes = JSON.stringify(content);
  const entry = { mediaType: index.mediaType, digest: digestOf(bytes), size: bytes.length };
  await writeFile(blobFile(layout, entry.digest), bytes);
  await writeFile(
    join(layout, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [entry] }),
  );
  const { destination } = await PLACES.layout.empty(directory());
  const { warnings } = await encryptImage(layoutSource({ path: layout }), await destination(), {
    ...{ recipients, platforms },
  });
  expect(warnings).toContain(`the index names ${lost}, which the source does not hold`);
});

it("the missing layer of an image without an index is named if its platform is selected", async () => {
  const layout = directory();
  const lost = await layer("lost");
  await layoutOf(layout, [lost]);
  await rm(blobFile(layout, lost.descriptor.digest));
  const { destination } = await PLACES.layout.empty(directory());
  const work = encryptImage(layoutSource({ path: layout }), await destination(), {
    ...{ recipients, platforms },
  });
  const { message } = await expectCode(work, "BLOB_NOT_FOUND");
  expect(message).toContain(lost.descriptor.digest);
});
