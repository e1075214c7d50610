import { describe, expect, it } from "vitest";
import { decryptImage, encryptImage, inspectImage } from "../../src/image/index.js";
import {
  listReferrers,
  listTags,
  registryDestination,
  registrySource,
  type RegistryDestinationOptions,
} from "../../src/registry/index.js";
import { chunked } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { CONFIG, layer } from "../support/image.js";
import { openKey, plainRecipient } from "../support/layers.js";
import {
  at,
  digestOf,
  INDEX,
  MANIFEST,
  numbered,
  QUICK,
  refuse,
  reply,
  testRegistry,
  testServer,
  type TestRegistry,
} from "./server.js";
import { behave, CREDENTIALS, storageOf, VENDORS, type Trait, type Vendor } from "./vendors.js";

const MIB = 1024 * 1024;
const BLOB = numbered(6 * MIB);

const WAYS: [string, RegistryDestinationOptions][] = [
  ["in the usual way", {}],
  ["in chunks of 1 MiB", { chunkSize: MIB }],
  ["in chunks of 5 MiB", { chunkSize: 5 * MIB }],
];

interface Double {
  registry: TestRegistry;
  storage: { requests: { target: string }[] };
  traits: Trait[];
  /** The traits that answered. */
  seen: Set<Trait>;
  options: RegistryDestinationOptions;
}

async function double(vendor: Vendor): Promise<Double> {
  const registry = await testRegistry();
  const storage = await testServer(storageOf(() => registry.blobs));
  const traits = vendor(registry, storage);
  const seen = new Set<Trait>();
  registry.script = behave(traits, seen);
  const options = { ...QUICK, credentials: CREDENTIALS };
  return { registry, storage, traits, seen, options };
}

/** Compressed once, which takes a while. */
const layers = Promise.all([layer("large", { content: BLOB }), layer("small")]);

/** Puts an image of two layers, the first of 6 MiB, and an artifact that refers to it. */
async function putImage(registry: TestRegistry, name: string): Promise<string> {
  for (const { blob } of await layers) registry.putBlob(name, blob);
  const diffIds = (await layers).map(({ diffId }) => diffId);
  const config = Buffer.from(JSON.stringify({ rootfs: { type: "layers", diff_ids: diffIds } }));
  const text = JSON.stringify({
    ...{ schemaVersion: 2, mediaType: MANIFEST },
    config: { mediaType: CONFIG, ...registry.putBlob(name, config) },
    layers: (await layers).map(({ descriptor }) => descriptor),
  });
  const digest = registry.putManifest(name, "v1", MANIFEST, text);
  const referrer = { mediaType: MANIFEST, digest: digestOf("a"), size: 1, artifactType: "a/b" };
  const list = { schemaVersion: 2, mediaType: INDEX, manifests: [referrer] };
  registry.putManifest(name, digest.replace(":", "-"), INDEX, JSON.stringify(list));
  return digest;
}

describe.each(Object.entries(VENDORS))("%s", (_, vendor) => {
  it.each(WAYS)("accepts a blob %s", async (_way, way) => {
    const { registry, options } = await double(vendor);
    const destination = await registryDestination(at(registry, "app"), { ...options, ...way });
    const digest = digestOf(BLOB);
    const write = (): Promise<void> =>
      destination.write(chunked(BLOB, 100_000), () => ({ digest }));
    // A registry that wants another shape makes an image operation start the blob again, once.
    await write().catch(async (error: unknown) => {
      expect(error).toMatchObject({ code: "REGISTRY_UPLOAD_LOST" });
      await write();
    });
    expect(registry.blobs.get(`app@${digest}`)?.equals(BLOB)).toBe(true);
    expect(registry.uploads.size).toBe(0);
    // The working shape is remembered.
    registry.requests.length = 0;
    await write();
    const later = registry.requests.map(({ method }) => method);
    expect([later[0], later.at(-1)]).toEqual(["POST", "PUT"]);
  });

  it.each(WAYS)("keeps an image that is pulled, pushed %s and comes back", async (_way, way) => {
    const { registry, options } = await double(vendor);
    const digest = await putImage(registry, "base/app");
    const open = (name: string, mountFrom?: string): ReturnType<typeof registryDestination> =>
      registryDestination(at(registry, name, "v1"), {
        ...options,
        ...way,
        ...(mountFrom !== undefined && { mountFrom: at(registry, mountFrom) }),
      });
    await encryptImage(
      registrySource(at(registry, "base/app", "v1"), options),
      await open("team/secret", "base/app"),
      { recipients: [plainRecipient()], layers: [0] },
    );
    const secret = registrySource(at(registry, "team/secret", "v1"), options);
    const { manifests } = await inspectImage(secret);
    expect(manifests[0]?.layers.map(({ encrypted }) => encrypted)).toEqual([true, false]);
    const { image } = await decryptImage(secret, await open("again", "team/secret"), {
      keys: [openKey()],
    });
    expect(image.digest).toBe(digest);
    expect(registry.manifests.get("again:v1")?.bytes).toEqual(
      registry.manifests.get("base/app:v1")?.bytes,
    );
    expect(registry.uploads.size).toBe(0);
  });

  it("lists tags page by page, and what refers to an image", async () => {
    const { registry, storage, options } = await double(vendor);
    const digest = await putImage(registry, "base/app");
    for (const tag of ["v2", "v3", "v4"]) registry.putManifest("base/app", tag, MANIFEST, tag);
    registry.pageSize = 2;
    const tags = [digest.replace(":", "-"), "v1", "v2", "v3", "v4"];
    expect((await listTags(at(registry, "base/app"), options)).sort()).toEqual(tags);
    const referrers = await listReferrers(at(registry, "base/app"), digest, options);
    expect(referrers).toMatchObject([{ digest: digestOf("a"), artifactType: "a/b" }]);
    expect(await listReferrers(at(registry, "base/app"), digestOf("x"), options)).toEqual([]);
    expect(storage.requests).toEqual([]);
  });

  it("shows each of its traits", async () => {
    const { registry, traits, seen, options } = await double(vendor);
    const digest = await putImage(registry, "base/app");
    for (const chunkSize of [MIB, 6 * MIB]) {
      const mountFrom = at(registry, "base/app");
      const more = { ...options, mountFrom, chunkSize };
      const to = await registryDestination(at(registry, "team/secret", "v1"), more);
      const from = registrySource(at(registry, "base/app", "v1"), options);
      await encryptImage(from, to, { recipients: [plainRecipient()], layers: [0] });
    }
    await listTags(at(registry, "base/app"), options);
    await listReferrers(at(registry, "base/app"), digest, options);
    const expected = traits.filter(({ take }) => take !== undefined);
    expect(new Set([...seen].map(({ what }) => what))).toEqual(
      new Set(expected.map(({ what }) => what)),
    );
  });
});

// https://nginx.org/en/docs/http/ngx_http_core_module.html#client_max_body_size
it("an image gets through a proxy that takes 1 MiB in a request, as nginx does by default", async () => {
  const registry = await testRegistry();
  await putImage(registry, "plain");
  registry.script = ({ body }, response) =>
    body.byteLength > MIB && reply(response, 413, {}, "<html>");
  const destination = await registryDestination(at(registry, "secret", "v1"), QUICK);
  const { layers: written } = await encryptImage(
    registrySource(at(registry, "plain", "v1"), QUICK),
    destination,
    { recipients: [plainRecipient()] },
  );
  expect(registry.blobs.get(`secret@${written[0]!.after.digest}`)).toHaveLength(
    written[0]!.after.size,
  );
});

describe("a tag that a registry keeps", () => {
  // https://github.com/moby/buildkit/issues/3776
  async function push(content: string, before: string): Promise<void> {
    const registry = await testRegistry();
    registry.putManifest("app", "v1", MANIFEST, before);
    registry.script = ({ method, target }, response) =>
      method === "PUT" &&
      target.endsWith("/manifests/v1") &&
      refuse(response, 400, "TAG_INVALID", "the image tag 'v1' already exists and is immutable");
    const destination = await registryDestination(at(registry, "app", "v1"), QUICK);
    const bytes = Buffer.from(content);
    const image = { mediaType: MANIFEST, digest: digestOf(bytes), size: bytes.byteLength };
    await destination.writeManifest(bytes, image);
    await destination.commit(image);
  }

  it("is written if it names the same image already", async () => {
    await push("{}", "{}");
  });

  it("fails with the words of the registry otherwise", async () => {
    const { message } = await expectCode(push("{ }", "{}"), "REGISTRY_FAILED");
    expect(message).toContain("already exists and is immutable");
  });
});

// https://github.com/docker/cli/issues/5275
it("a repository that must be created first is named with the words of the registry", async () => {
  const registry = await testRegistry();
  registry.script = ({ method }, response) =>
    method === "POST" && refuse(response, 404, "NAME_UNKNOWN", "The repository does not exist");
  const destination = await registryDestination(at(registry, "app", "v1"), QUICK);
  const result = destination.write(chunked(BLOB, MIB), () => ({ digest: digestOf(BLOB) }));
  const { message } = await expectCode(result, "REGISTRY_FAILED");
  expect(message).toContain("NAME_UNKNOWN The repository does not exist");
});
