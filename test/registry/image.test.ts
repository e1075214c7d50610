import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import {
  decryptImage,
  encryptImage,
  inspectImage,
  type ImageProgress,
} from "../../src/image/index.js";
import type { Recipient } from "../../src/keywrap/types.js";
import { registryDestination, registrySource } from "../../src/registry/index.js";
import { expectCode } from "../support/codes.js";
import { CONFIG, INDEX, layer, TAR_GZIP } from "../support/image.js";
import { openKey, plainRecipient } from "../support/layers.js";
import {
  at,
  digestOf,
  MANIFEST,
  numbered,
  QUICK,
  refuse,
  reply,
  testRegistry,
  type SeenRequest,
  type TestRegistry,
} from "./server.js";

/** Hard to compress, so that a layer takes several chunks. */
const SIZE = 40_000;
const OPTIONS = { ...QUICK, chunkSize: 16_000 };

interface Image {
  registry: TestRegistry;
  digest: string;
  layerDigest: string;
}

/** A registry with `plain:v1`, of two layers. */
async function withImage(): Promise<Image> {
  const registry = await testRegistry();
  const layers = [await layer("large", { content: numbered(SIZE) }), await layer("small")];
  const config = JSON.stringify({
    rootfs: { type: "layers", diff_ids: layers.map((l) => l.diffId) },
  });
  for (const { blob } of layers) registry.putBlob("plain", blob);
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: { mediaType: CONFIG, ...registry.putBlob("plain", Buffer.from(config)) },
    layers: layers.map(({ descriptor }) => descriptor),
  });
  const digest = registry.putManifest("plain", "v1", MANIFEST, text);
  return { registry, digest, layerDigest: layers[0]!.descriptor.digest };
}

async function encrypt(registry: TestRegistry): Promise<string> {
  const source = registrySource(at(registry, "plain", "v1"), OPTIONS);
  const destination = await registryDestination(at(registry, "secret", "v1"), OPTIONS);
  const { image } = await encryptImage(source, destination, { recipients: [plainRecipient()] });
  return image.digest;
}

async function decrypt(registry: TestRegistry): Promise<string> {
  const source = registrySource(at(registry, "secret", "v1"), OPTIONS);
  const destination = await registryDestination(at(registry, "again", "v1"), OPTIONS);
  const { image } = await decryptImage(source, destination, { keys: [openKey()] });
  return image.digest;
}

describe("an image", () => {
  it("is copied from registry to registry and back, with the tag as the last request", async () => {
    const { registry, digest } = await withImage();
    const encrypted = await encrypt(registry);
    expect(registry.log().at(-1)).toBe("PUT /v2/secret/manifests/v1");
    expect(registry.manifests.get("secret:v1")).toEqual(
      registry.manifests.get(`secret@${encrypted}`),
    );
    expect(await decrypt(registry)).toBe(digest);
    expect(registry.manifests.get("again:v1")).toEqual(registry.manifests.get("plain:v1"));
    expect(registry.uploads.size).toBe(0);
  });

  it("never gets its plain layers into the repository of the encrypted one", async () => {
    const { registry, layerDigest } = await withImage();
    // As zot does, which takes blobs over from wherever it has them when it is asked for them.
    registry.script = ({ method, target }) => {
      const [, repository, digest] = /^\/v2\/(\w+)\/blobs\/(sha256:\w+)$/.exec(target) ?? [];
      const found = registry.blobs.get(`plain@${digest!}`);
      if (method === "HEAD" && found !== undefined) registry.putBlob(repository!, found);
      return false;
    };
    const source = registrySource(at(registry, "plain", "v1"), OPTIONS);
    const mountFrom = at(registry, "plain");
    const destination = await registryDestination(at(registry, "secret", "v1"), {
      ...OPTIONS,
      mountFrom,
    });
    const { warnings } = await encryptImage(source, destination, {
      recipients: [plainRecipient()],
    });
    expect(warnings).toEqual([]);
    expect(registry.blobs.has(`plain@${layerDigest}`)).toBe(true);
    expect(registry.blobs.has(`secret@${layerDigest}`)).toBe(false);
  });

  it("keeps entries of unknown types in its index: manifests as manifests, blobs as blobs", async () => {
    const { registry, digest } = await withImage();
    const legacy = "application/vnd.Acme.artifact.manifest.v1+json";
    const text = JSON.stringify({ mediaType: legacy, blobs: [] });
    const cache = registry.putBlob("plain", Buffer.from("a build cache"));
    const entries = [
      { mediaType: MANIFEST, digest, size: registry.manifests.get("plain:v1")!.bytes.length },
      { mediaType: legacy, digest: registry.putManifest("plain", "old", legacy, text), size: text.length }, // prettier-ignore
      { mediaType: "application/vnd.buildkit.cacheconfig.v0", ...cache },
    ];
    const index = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: entries });
    const before = registry.putManifest("plain", "v1", INDEX, index);
    const source = registrySource(at(registry, "plain", "v1"), OPTIONS);
    const { warnings } = await encryptImage(
      source,
      await registryDestination(at(registry, "secret", "v1"), OPTIONS),
      { recipients: [plainRecipient()] },
    );
    expect(warnings.sort()).toEqual(
      [
        `${cache.digest} of type "application/vnd.buildkit.cacheconfig.v0" is not a layer of an image, and stays plain`,
        `${entries[1]!.digest} of the unknown type "${legacy}" is kept, but blobs that it names may be missing`,
      ].sort(),
    );
    for (const { digest: entry } of entries) {
      const isBlob = entry === cache.digest;
      expect(registry.blobs.has(`secret@${entry}`)).toBe(isBlob);
      const isKept = registry.manifests.has(`secret@${entry}`);
      expect(isKept).toBe(!isBlob && entry !== digest);
    }
    expect(registry.manifests.get(`secret@${entries[1]!.digest}`)!.mediaType).toBe(legacy);
    expect(await decrypt(registry)).toBe(before);
  });

  it("may have blobs with types like those of manifests, such as SOCI's", async () => {
    const registry = await testRegistry();
    const soci = "application/vnd.amazon.soci.index.v2+json";
    const { descriptor, blob } = await layer("a", { mediaType: TAR_GZIP });
    registry.putBlob("plain", blob);
    const text = JSON.stringify({
      schemaVersion: 2,
      config: { mediaType: soci, ...registry.putBlob("plain", Buffer.from("{}")) },
      layers: [{ ...descriptor, mediaType: soci }],
    });
    const digest = registry.putManifest("plain", "v1", MANIFEST, text);
    await encrypt(registry);
    expect(await decrypt(registry)).toBe(digest);
  });

  it("causes a warning about plain blobs if it was encrypted in place", async () => {
    const { registry } = await withImage();
    const place = at(registry, "plain", "v1");
    const { warnings } = await encryptImage(
      registrySource(place, OPTIONS),
      await registryDestination(place, OPTIONS),
      { recipients: [plainRecipient()] },
    );
    expect(warnings).toEqual([
      "the destination still holds the blobs of 2 plain layers; to avoid this, encrypt into a new place",
    ]);
  });

  it("is written even if it is unknown whether its plain layers still exist", async () => {
    const { registry } = await withImage();
    registry.script = ({ method, target }, response) =>
      method === "GET" && target.startsWith("/v2/secret/blobs/sha256") && reply(response, 403);
    const { warnings } = await encryptImage(
      registrySource(at(registry, "plain", "v1"), OPTIONS),
      await registryDestination(at(registry, "secret", "v1"), OPTIONS),
      { recipients: [plainRecipient()] },
    );
    expect(warnings).toEqual([
      "could not find out whether the destination still holds the former blobs of 2 plain layers",
    ]);
    expect(registry.tags()).toContain("secret:v1");
  });

  it("is inspected without its layers", async () => {
    const { registry } = await withImage();
    await encrypt(registry);
    registry.requests.length = 0;
    const report = await inspectImage(registrySource(at(registry, "secret", "v1"), OPTIONS));
    expect(report.manifests[0]!.layers.map(({ mediaType }) => mediaType)).toEqual([
      `${TAR_GZIP}+encrypted`,
      `${TAR_GZIP}+encrypted`,
    ]);
    expect(registry.log().filter((line) => line.includes("/blobs/"))).toEqual([]);
  });
});

describe("an upload that the registry lost", () => {
  const MOMENTS: Readonly<Record<string, (request: SeenRequest) => boolean>> = {
    "within its content": ({ method, headers }) =>
      method === "PATCH" && /^[1-9]/.test(headers["content-range"] ?? ""),
    "at its end": ({ method, target }) => method === "PUT" && target.includes("/blobs/"),
  };

  /** Drops an upload so many times. */
  function losing(
    registry: TestRegistry,
    times: number,
    isMoment: (request: SeenRequest) => boolean = MOMENTS["within its content"]!,
  ): void {
    let count = 0;
    registry.script = (request, response) => {
      if (!isMoment(request) || count === times) return false;
      count++;
      registry.uploads.clear();
      response.destroy();
      return true;
    };
  }

  it.each(Object.entries(MOMENTS))("is started again with another key: %s", async (_, isMoment) => {
    const { registry, digest } = await withImage();
    losing(registry, 2, isMoment);
    const wrapped = new Set<string>();
    const recipient: Recipient = {
      scheme: "test",
      wrap(secret) {
        wrapped.add(Buffer.from(secret).toString());
        return Promise.resolve(Uint8Array.from(secret));
      },
    };
    const reports: ImageProgress[] = [];
    await encryptImage(
      registrySource(at(registry, "plain", "v1"), OPTIONS),
      await registryDestination(at(registry, "secret", "v1"), OPTIONS),
      {
        ...{ recipients: [recipient], concurrency: 1 },
        onProgress: (report) => reports.push(report),
      },
    );
    // Two layers; the request that ends an upload is repeated before it is found to be lost.
    expect(wrapped.size).toBe(2 + (isMoment === MOMENTS["at its end"] ? 1 : 2));
    expect(reports.every(({ bytes, size }) => bytes <= size)).toBe(true);
    expect(reports.at(-1)!.bytes).toBe(reports.at(-1)!.size);
    losing(registry, 2);
    expect(await decrypt(registry)).toBe(digest);
    expect(registry.uploads.size).toBe(0);
  });

  it("fails after several attempts", async () => {
    const { registry } = await withImage();
    losing(registry, 3);
    await expectCode(encrypt(registry), "REGISTRY_UPLOAD_LOST");
    expect(registry.tags()).toEqual(["plain:v1"]);
    expect(registry.uploads.size).toBe(0);
  });
});

it("an upload to a registry that asks to wait can be aborted", async () => {
  const { registry } = await withImage();
  const controller = new AbortController();
  registry.script = ({ method }, response) => {
    if (method !== "PATCH") return false;
    controller.abort(new Error("stopped"));
    return reply(response, 503, { "retry-after": "60" });
  };
  const result = encryptImage(
    registrySource(at(registry, "plain", "v1"), OPTIONS),
    await registryDestination(at(registry, "secret", "v1"), OPTIONS),
    { recipients: [plainRecipient()], signal: controller.signal },
  );
  await expect(result).rejects.toThrow("stopped");
  expect(registry.uploads.size).toBe(0);
});

type Fault = (request: SeenRequest, response: ServerResponse, image: Image) => boolean;

const ofLayer = ({ target }: SeenRequest, { layerDigest }: Image): boolean =>
  target.includes(`/blobs/${layerDigest}`);
const large = ({ registry, layerDigest }: Image): Buffer =>
  Buffer.from(registry.blobs.get(`plain@${layerDigest}`)!);

const FAULTS: readonly [string, ErrorCode, Fault][] = [
  [
    "the layer breaks off again and again",
    "REGISTRY_UNREACHABLE",
    (q, r, image) => {
      if (!ofLayer(q, image)) return false;
      r.writeHead(q.headers.range === undefined ? 200 : 500, { "content-length": "40000" });
      r.write(large(image).subarray(0, 100), () => r.destroy());
      return true;
    },
  ],
  [
    "the layer has a wrong byte",
    "BLOB_DIGEST_MISMATCH",
    (q, r, image) => ofLayer(q, image) && reply(r, 200, {}, large(image).fill(0, 100, 200)),
  ],
  [
    "the layer has too much",
    "BLOB_SIZE_MISMATCH",
    (q, r, image) =>
      ofLayer(q, image) && reply(r, 200, {}, Buffer.concat([large(image), Buffer.alloc(1)])),
  ],
  [
    "the layer has too little",
    "BLOB_SIZE_MISMATCH",
    (q, r, image) => ofLayer(q, image) && reply(r, 200, {}, large(image).subarray(1)),
  ],
  [
    "the layer is a page",
    "BLOB_SIZE_MISMATCH",
    (q, r, image) => ofLayer(q, image) && reply(r, 200, { "content-type": "text/html" }, "<html>"),
  ],
  [
    "the layer is not there",
    "BLOB_NOT_FOUND",
    (q, r, image) => ofLayer(q, image) && refuse(r, 404, "X"),
  ],
  ["the layer is denied", "REGISTRY_DENIED", (q, r, image) => ofLayer(q, image) && reply(r, 401)],
  [
    "the manifest is a page",
    "REGISTRY_INVALID_RESPONSE",
    (q, r) =>
      q.target.includes("plain/manifests") && reply(r, 200, { "content-type": "text/html" }, "x"),
  ],
  [
    "the upload is denied",
    "REGISTRY_DENIED",
    (q, r) => q.method === "POST" && refuse(r, 403, "DENIED"),
  ],
  ["a chunk is refused", "REGISTRY_FAILED", (q, r) => q.method === "PATCH" && reply(r, 400)],
  [
    "the registry finds another digest",
    "REGISTRY_FAILED",
    (q, r) =>
      q.method === "PUT" && q.target.includes("/blobs/") && refuse(r, 400, "DIGEST_INVALID"),
  ],
  [
    "the manifest is refused",
    "REGISTRY_FAILED",
    (q, r) => q.method === "PUT" && q.target.includes("manifests/sha256") && refuse(r, 400, "X"),
  ],
  [
    "the tag is refused",
    "REGISTRY_DENIED",
    (q, r) => q.method === "PUT" && q.target.includes("manifests/v1") && refuse(r, 403, "DENIED"),
  ],
];

describe("encryption fails and does not change the tag when", () => {
  it.each(FAULTS)("%s", async (_, code, fault) => {
    const image = await withImage();
    const { registry } = image;
    const before = registry.putManifest("secret", "v1", MANIFEST, "{}");
    registry.script = (request, response) => fault(request, response, image);
    await expectCode(encrypt(registry), code);
    expect(digestOf(registry.manifests.get("secret:v1")!.bytes)).toBe(before);
    expect(registry.tags().sort()).toEqual(["plain:v1", "secret:v1"]);
    expect(registry.uploads.size).toBe(0);
  });
});

describe("decrypting fails, and nothing decrypted is in the registry, when", () => {
  it.each<[string, ErrorCode, (blob: Buffer) => Buffer]>([
    [
      "the layer has a wrong byte",
      "BLOB_DIGEST_MISMATCH",
      (blob) => Buffer.from(blob).fill(0, 99, 120),
    ],
    ["the layer ends early", "BLOB_SIZE_MISMATCH", (blob) => blob.subarray(0, -1)],
    ["the layer goes on", "BLOB_SIZE_MISMATCH", (blob) => Buffer.concat([blob, blob])],
  ])("%s", async (_, code, damage) => {
    const { registry, layerDigest } = await withImage();
    await encrypt(registry);
    const text = registry.manifests.get("secret:v1")!.bytes.toString();
    const { layers } = JSON.parse(text) as { layers: { digest: string }[] };
    registry.script = ({ target, method }, response) => {
      const name = layers[0]!.digest;
      if (method !== "GET" || !target.endsWith(name)) return false;
      return reply(response, 200, {}, damage(registry.blobs.get(`secret@${name}`)!));
    };
    await expectCode(decrypt(registry), code);
    expect(registry.tags().sort()).toEqual(["plain:v1", "secret:v1"]);
    expect(registry.blobs.has(`again@${layerDigest}`)).toBe(false);
    expect(registry.uploads.size).toBe(0);
  });
});
