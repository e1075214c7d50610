import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it, type TestContext } from "vitest";
import {
  addImageRecipients,
  decryptImage,
  encryptImage,
  inspectImage,
  listImageRecipients,
  removeImageRecipients,
  replaceImageRecipients,
  rotateImage,
} from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import {
  configuredCredentials,
  listReferrers,
  registryDestination,
  registrySource,
  type Fetch,
  type RegistryDestination,
  type RegistryDestinationOptions,
} from "../../src/registry/index.js";
import type { Descriptor } from "../../src/spec/descriptor.js";
import { MAX_MANIFEST_SIZE } from "../../src/spec/limits.js";
import { layoutSource } from "../../src/store/index.js";
import type { ImageSource } from "../../src/store/types.js";
import { cuttingProxy, stopRegistries } from "../registry/docker-registry.js";
import { chunked, collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import {
  digestOf,
  INDEX,
  layerOf,
  layoutOf,
  MANIFEST,
  multiPlatform,
  TAR,
} from "../support/image.js";
import {
  diffIds,
  hasProgram,
  keyFile,
  PLAIN_LAYOUT,
  requirePeer,
  run,
  skopeo,
  temporaryDirectory,
} from "./peers.js";
import { findZot, startZot, stopZots, type Zot } from "./zot-server.js";

const directory = temporaryDirectory();
stopRegistries();
stopZots();

const person = (publicKey: string, privateKey: string) => ({
  recipients: [jwe.recipient(readFileSync(keyFile(publicKey)))],
  keys: [jwe.key(readFileSync(keyFile(privateKey)))],
});
const alice = person("ec256.pub.pem", "ec256.pkcs8.pem");
const bob = person("rsa2048.pub.pem", "rsa2048.pkcs8.pem");

const program = await findZot(directory);
const hasSkopeo = hasProgram("skopeo", "--version");
const requireZot = (context: TestContext): void => {
  requirePeer(context, "zot", program !== undefined);
};
const requireBoth = (context: TestContext): void => {
  requireZot(context);
  requirePeer(context, "skopeo", hasSkopeo);
};

let zot: Zot;
const plain = layoutSource({ path: PLAIN_LAYOUT });
let plainDigest: string;
beforeAll(async () => {
  plainDigest = (await plain.resolve()).digest;
  if (program !== undefined) zot = await startZot(program, directory);
});

const nobody: RegistryDestinationOptions = { credentials: () => Promise.resolve(undefined) };

const from = (repository: string, tag?: string): ImageSource =>
  registrySource(zot.at(repository, tag), nobody);
const to = (
  repository: string,
  tag?: string,
  options: RegistryDestinationOptions = nobody,
): Promise<RegistryDestination> => registryDestination(zot.at(repository, tag), options);
const url = (repository: string, tag = "latest"): string =>
  `docker://${zot.host}/${repository}:${tag}`;
const newLayout = (): string => join(directory, randomBytes(8).toString("hex"));

const raw = (image: string): Promise<string> =>
  skopeo("inspect", "--raw", "--tls-verify=false", image);
const pull = (image: string, layout: string, ...more: string[]): Promise<string> =>
  skopeo("copy", "-q", "--src-tls-verify=false", ...more, image, `oci:${layout}:latest`);
const DECRYPTION = ["--decryption-key", keyFile("ec256.pkcs8.pem")];

/** Encrypts the plain image for Alice, and gives the digests of its layers. */
async function encryptInto(repository: string, tag?: string): Promise<string[]> {
  const { layers } = await encryptImage(plain, await to(repository, tag), alice);
  return layers.map(({ after }) => after.digest);
}

/** Makes requests, and notes methods and statuses. */
function watching(): { fetch: Fetch; seen: string[] } {
  const seen: string[] = [];
  const watched: Fetch = async (address, init) => {
    const response = await fetch(address, init);
    seen.push(`${init.method} ${String(response.status)}`);
    return response;
  };
  return { fetch: watched, seen };
}

describe("zot and skopeo", () => {
  it("open an image that was encrypted from a layout", async (context) => {
    requireBoth(context);
    const { image } = await encryptImage(plain, await to("secret", "v1"), alice);
    expect(digestOf(await raw(url("secret", "v1")))).toBe(image.digest);
    const layout = newLayout();
    await pull(url("secret", "v1"), layout, ...DECRYPTION);
    expect(diffIds(layout)).toEqual(diffIds(PLAIN_LAYOUT));
    const wrong = ["--decryption-key", keyFile("rsa2048.pkcs8.pem"), url("secret", "v1")];
    const refused = ["copy", "-q", "--src-tls-verify=false", ...wrong, `oci:${newLayout()}`];
    expect((await run("skopeo", refused)).stderr).toContain("no suitable key unwrapper found");
    expect(zot.uploads("secret")).toEqual([]);
  });

  it("store the original image after decryption from registry to registry", async (context) => {
    requireBoth(context);
    await encryptInto("there");
    const { image } = await decryptImage(from("there"), await to("back", "v2"), alice);
    expect(image.digest).toBe(plainDigest);
    expect(digestOf(await raw(url("back", "v2")))).toBe(plainDigest);
    const layout = newLayout();
    await pull(url("back", "v2"), layout);
    expect(diffIds(layout)).toEqual(diffIds(PLAIN_LAYOUT));
  });

  it("encrypt an image that is decrypted here", async (context) => {
    requireBoth(context);
    const encryption = ["--encryption-key", `jwe:${keyFile("ec256.pub.pem")}`];
    const push = ["copy", "-q", "--dest-tls-verify=false", ...encryption];
    await skopeo(...push, `oci:${PLAIN_LAYOUT}:latest`, url("theirs"));
    const { manifests } = await inspectImage(from("theirs"), alice);
    const opens = manifests[0]?.layers.map(({ keys }) => keys.map((key) => key.opens));
    expect(opens).toEqual(diffIds(PLAIN_LAYOUT).map(() => [true]));
    await decryptImage(from("theirs"), await to("opened"), alice);
    const layout = newLayout();
    await pull(url("opened"), layout);
    expect(diffIds(layout)).toEqual(diffIds(PLAIN_LAYOUT));
  });

  it("support the platforms and attestations of an index", async (context) => {
    requireBoth(context);
    const path = newLayout();
    const { index, arm64 } = await multiPlatform(path);
    await encryptImage(layoutSource({ path }), await to("platforms", "secret"), alice);
    const attestations = (text: string): string[] => {
      const { manifests } = JSON.parse(text) as {
        manifests: { digest: string; platform: { os: string } }[];
      };
      return manifests.filter(({ platform }) => platform.os === "unknown").map((m) => m.digest);
    };
    const before = attestations(readFileSync(join(path, "blobs", ...index.digest.split(":")), "utf8")); // prettier-ignore
    expect(before).toHaveLength(2);
    expect(attestations(await raw(url("platforms", "secret")))).toEqual(before);

    const layout = newLayout();
    const platform = ["--override-os", "linux", "--override-arch", "arm64"];
    const opened = await run("skopeo", [
      ...[...platform, "--override-variant", "v8", "copy", "-q", "--src-tls-verify=false"],
      ...[...DECRYPTION, url("platforms", "secret"), `oci:${layout}:latest`],
    ]);
    expect(opened.status, opened.stderr).toBe(0);
    expect(diffIds(layout)).toEqual(arm64.layers.map(({ diffId }) => diffId));

    const destination = await to("platforms", "back");
    const { image } = await decryptImage(from("platforms", "secret"), destination, alice);
    expect(image.digest).toBe(index.digest);
    expect(digestOf(await raw(url("platforms", "back")))).toBe(index.digest);
  });
});

describe("an image in zot", () => {
  it("gets and loses recipients in place", async (context) => {
    requireZot(context);
    const layers = await encryptInto("edited");
    const here = await from("edited").resolve();
    const counts = async (): Promise<number[]> => {
      const list = await listImageRecipients(from("edited"));
      expect(list.layers.map(({ digest }) => digest)).toEqual(layers);
      return list.layers.map(({ recipients }) => recipients.length);
    };
    const opens = async (by: typeof alice): Promise<void> => {
      const { image } = await decryptImage(from("edited"), await to("edited-back"), by);
      expect(image.digest).toBe(plainDigest);
    };

    const both = { recipients: bob.recipients, keys: alice.keys };
    const added = await addImageRecipients(from("edited"), await to("edited"), both);
    expect((await from("edited").resolve()).digest).toBe(added.image.digest);
    expect(added.image.digest).not.toBe(here.digest);
    expect(await counts()).toEqual(layers.map(() => 2));
    await opens(alice);
    await opens(bob);

    await removeImageRecipients(from("edited"), await to("edited"), {
      recipients: [{ keys: alice.keys }],
    });
    expect(await counts()).toEqual(layers.map(() => 1));
    await opens(bob);
    await expectCode(opens(alice), "NO_MATCHING_KEY");

    const back = { recipients: alice.recipients, keys: bob.keys };
    await replaceImageRecipients(from("edited"), await to("edited"), back);
    expect(await counts()).toEqual(layers.map(() => 1));
    await opens(alice);
    await expectCode(opens(bob), "NO_MATCHING_KEY");

    // The warning of the edits is true: the manifest from before is still there.
    const former = { host: zot.host, repository: "edited", digest: here.digest };
    expect(await registrySource(former, nobody).resolve()).toEqual(here);
  });

  it("gets new keys", async (context) => {
    requireZot(context);
    const before = await encryptInto("old-keys");
    const options = { keys: alice.keys, recipients: bob.recipients };
    const { layers } = await rotateImage(from("old-keys"), await to("new-keys"), options);
    expect(layers.map((layer) => layer.before.digest)).toEqual(before);
    for (const { after } of layers) expect(before).not.toContain(after.digest);
    const { image } = await decryptImage(from("new-keys"), await to("new-keys-back"), bob);
    expect(image.digest).toBe(plainDigest);
    const again = decryptImage(from("new-keys"), await to("new-keys-back"), alice);
    await expectCode(again, "NO_MATCHING_KEY");
  });

  it("keeps the layers of an earlier image", async (context) => {
    requireZot(context);
    const before = await encryptInto("kept", "1");
    const { fetch, seen } = watching();
    const reuse = { image: from("kept", "1"), keys: alice.keys };
    const destination = await to("kept", "2", { ...nobody, fetch });
    const { layers } = await encryptImage(plain, destination, { ...alice, reuse });
    expect(layers.map(({ after, reused }) => [after.digest, reused])).toEqual(
      before.map((digest) => [digest, true]),
    );
    // The manifest by its digest, and by its tag.
    expect(seen.filter((request) => request.startsWith("P"))).toEqual(["PUT 201", "PUT 201"]);
  });

  it("does not get the plain layers that another repository has", async (context) => {
    requireZot(context);
    const place = zot.at("in-plain");
    const destination = await registryDestination(place, nobody);
    const source = await plain.resolve();
    const { layers, config } = JSON.parse((await collect(plain.read(source))).toString()) as {
      layers: Descriptor[];
      config: Descriptor;
    };
    for (const blob of [config, ...layers]) await destination.write(plain.read(blob), () => blob);
    await destination.writeManifest(await collect(plain.read(source)), source);
    await destination.commit(source);
    const { warnings } = await encryptImage(from("in-plain"), await to("in-secret"), alice);
    expect(warnings).toEqual([]);
    for (const { digest } of layers) {
      const status = async (repository: string): Promise<number> =>
        (await fetch(`http://${zot.host}/v2/${repository}/blobs/${digest}`)).status;
      expect(await status("in-plain")).toBe(200);
      expect(await status("in-secret")).toBe(404);
    }
  });

  it("mounts the config that another repository has", async (context) => {
    requireZot(context);
    const layers = await encryptInto("first-place");
    const { fetch, seen } = watching();
    const options = { ...nobody, fetch, mountFrom: zot.at("first-place") };
    const destination = await to("second-place", undefined, options);
    await rotateImage(from("first-place"), destination, alice);
    expect(seen.filter((request) => request === "PATCH 202")).toHaveLength(layers.length);

    const source = from("first-place");
    const bytes = await collect(source.read(await source.resolve()));
    const { config } = JSON.parse(bytes.toString()) as { config: Descriptor };
    const mounting = await to("mounted", undefined, options);
    expect(await mounting.mount(config)).toBe(true);
    expect(await mounting.contains(config)).toBe(true);
    expect(await mounting.mount({ ...config, digest: digestOf("absent") })).toBe(false);
    expect(zot.uploads("mounted")).toEqual([]);
  });

  it("is reported with the artifacts that refer to it", async (context) => {
    requireZot(context);
    const SIGNATURE = "application/vnd.example.signature";
    async function sign(repository: string): Promise<string> {
      const { mediaType, digest, size } = await from(repository).resolve();
      const destination = await to(repository);
      const empty = { mediaType: SIGNATURE, digest: digestOf("{}"), size: 2 };
      await destination.write(chunked(Buffer.from("{}"), 2), () => empty);
      const subject = { mediaType, digest, size };
      const parts = { config: empty, layers: [{ ...empty, mediaType: "text/plain" }], subject };
      const text = JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, ...parts });
      const artifact = { mediaType: MANIFEST, digest: digestOf(text), size: text.length };
      await destination.writeManifest(Buffer.from(text), artifact);
      const listed = await listReferrers(zot.at(repository), digest, nobody);
      expect(listed).toEqual([{ ...artifact, artifactType: SIGNATURE }]);
      return `1 artifact refers to the image's former digest: ${artifact.digest} ("${SIGNATURE}")`;
    }

    await encryptInto("signed");
    const warning = await sign("signed");
    const opened = await decryptImage(from("signed"), await to("signed-plain"), alice);
    expect(opened.warnings).toContain(warning);
    const rotated = await rotateImage(from("signed"), await to("signed-new"), alice);
    expect(rotated.warnings).toContain(warning);
    const both = { recipients: bob.recipients, keys: alice.keys };
    const added = await addImageRecipients(from("signed"), await to("signed"), both);
    expect(added.warnings).toContain(warning);

    const warningOfPlain = await sign("signed-plain");
    const sealed = await encryptImage(from("signed-plain"), await to("signed-again"), alice);
    expect(sealed.warnings).toContain(warningOfPlain);

    expect(await listReferrers(zot.at("signed"), digestOf("nobody's"), nobody)).toEqual([]);
    expect(await listReferrers(zot.at("not/there"), opened.image.digest, nobody)).toEqual([]);
  });

  it("is not found in another place", async (context) => {
    requireZot(context);
    await encryptInto("found");
    await expectCode(from("found", "other").resolve(), "IMAGE_NOT_FOUND");
    await expectCode(from("never/pushed").resolve(), "IMAGE_NOT_FOUND");
  });

  it("has a manifest of at most 4 MiB", async (context) => {
    requireZot(context);
    const destination = await to("sizes");
    const write = async (size: number): Promise<string> => {
      const text = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [] });
      const bytes = Buffer.from(text.padEnd(size));
      const image = { mediaType: INDEX, digest: digestOf(bytes), size };
      await destination.writeManifest(bytes, image);
      return image.digest;
    };
    const at = async (size: number): Promise<ImageSource> =>
      registrySource({ host: zot.host, repository: "sizes", digest: await write(size) }, nobody);
    expect((await (await at(MAX_MANIFEST_SIZE)).resolve()).size).toBe(MAX_MANIFEST_SIZE);
    await expectCode((await at(MAX_MANIFEST_SIZE + 1)).resolve(), "MANIFEST_TOO_LARGE");
  });
});

describe("a blob in zot", () => {
  const blobOf = (bytes: Buffer): Descriptor => ({
    ...{ mediaType: "a/b", digest: digestOf(bytes), size: bytes.byteLength },
  });

  it.for([
    ["in several chunks", 55_555],
    ["of as many bytes as a chunk", 10_000],
    ["of one byte more", 10_001],
    ["of a single byte", 1],
    ["without bytes", 0],
  ] as const)("is uploaded %s", async ([, size], context) => {
    requireZot(context);
    const bytes = randomBytes(size);
    const blob = blobOf(bytes);
    const { fetch, seen } = watching();
    // Of each chunk but the first zot tells the length in place of its end: that is no failure.
    const options = { ...nobody, fetch, retries: 0, chunkSize: 10_000 };
    const destination = await to("chunks", undefined, options);
    await destination.write(chunked(bytes, 3333), () => blob);
    const chunks = seen.filter((request) => request === "PATCH 202");
    expect(chunks).toHaveLength(Math.ceil(size / 10_000));
    expect(await destination.contains(blob)).toBe(true);
    expect(await destination.contains({ ...blob, size: size + 1 })).toBe(false);
    expect((await collect(from("chunks").read(blob))).equals(bytes)).toBe(true);
    expect(zot.uploads("chunks")).toEqual([]);
  });

  it("is not uploaded with another digest", async (context) => {
    requireZot(context);
    const bytes = randomBytes(55_555);
    const wrong = { ...blobOf(bytes), digest: digestOf("wrong") };
    const destination = await to("wrong", undefined, { ...nobody, chunkSize: 10_000 });
    const write = destination.write(chunked(bytes, 3333), () => wrong);
    const { message } = await expectCode(write, "REGISTRY_FAILED");
    expect(message).toContain("DIGEST_INVALID");
    expect(await destination.contains(wrong)).toBe(false);
    expect(zot.uploads("wrong")).toEqual([]);
  });

  it("leaves nothing open when its content fails", async (context) => {
    requireZot(context);
    const reason = new Error("failed");
    async function* content(): AsyncGenerator<Uint8Array> {
      yield* chunked(randomBytes(50_000), 9999);
      throw reason;
    }
    const destination = await to("failed", undefined, { ...nobody, chunkSize: 10_000 });
    await expect(destination.write(content(), () => ({ digest: "" }))).rejects.toBe(reason);
    expect(zot.uploads("failed")).toEqual([]);
    await expectCode(from("failed").resolve(), "IMAGE_NOT_FOUND");
  });

  it("is resumed after an interrupted download", async (context) => {
    requireZot(context);
    const bytes = randomBytes(5_000_000);
    const blob = blobOf(bytes);
    const whole = { ...nobody, chunkSize: bytes.byteLength };
    await (await to("cut", undefined, whole)).write(chunked(bytes, 65_536), () => blob);
    const proxy = await cuttingProxy(zot.host, { got: 2_000_000 });
    const cut = registrySource({ host: proxy.host, repository: "cut" }, nobody);
    expect((await collect(cut.read(blob))).equals(bytes)).toBe(true);
    // One more asks whether this machine speaks TLS there.
    expect(proxy.connections).toBeGreaterThanOrEqual(2);
    expect(proxy.connections).toBeLessThanOrEqual(3);
  });

  it("is uploaded again when its first chunk was interrupted", async (context) => {
    requireZot(context);
    const bytes = randomBytes(5_000_000);
    const blob = blobOf(bytes);
    const proxy = await cuttingProxy(zot.host, { sent: 1_500_000 });
    const reference = { host: proxy.host, repository: "cut-first" };
    const destination = await registryDestination(reference, { ...nobody, chunkSize: 4_000_000 });
    await destination.write(chunked(bytes, 65_536), () => blob);
    expect(await destination.contains(blob)).toBe(true);
    expect(proxy.connections).toBeGreaterThan(1);
    expect(zot.uploads("cut-first")).toEqual([]);
  });

  it("fails when a later chunk was interrupted, because zot drops the upload", async (context) => {
    requireZot(context);
    const bytes = randomBytes(5_000_000);
    const blob = blobOf(bytes);
    const proxy = await cuttingProxy(zot.host, { sent: 2_500_000 });
    const reference = { host: proxy.host, repository: "cut-later" };
    const destination = await registryDestination(reference, { ...nobody, chunkSize: 1_000_000 });
    const write = destination.write(chunked(bytes, 65_536), () => blob);
    const { message } = await expectCode(write, "REGISTRY_UPLOAD_LOST");
    expect(message).toContain("BLOB_UPLOAD_UNKNOWN");
    expect(await destination.contains(blob)).toBe(false);
    expect(zot.uploads("cut-later")).toEqual([]);
  });

  it("is sent again from its start, as part of an image, when a later chunk was interrupted", async (context) => {
    requireZot(context);
    const layout = newLayout();
    const large = layerOf(randomBytes(3_000_000), { mediaType: TAR });
    const { descriptor } = await layoutOf(layout, [large]);
    const proxy = await cuttingProxy(zot.host, { sent: 2_500_000 });
    const reference = { host: proxy.host, repository: "cut-image", tag: "latest" };
    const destination = await registryDestination(reference, { ...nobody, chunkSize: 1_000_000 });
    await encryptImage(layoutSource({ path: layout }), destination, alice);
    expect(proxy.connections).toBeGreaterThan(1);
    const { image } = await decryptImage(from("cut-image"), await to("cut-image-back"), alice);
    expect(image.digest).toBe(descriptor.digest);
    expect(zot.uploads("cut-image")).toEqual([]);
  });
});

describe("a zot with a password", () => {
  // Of the test vectors of crypt_blowfish.
  const PASSWORD = "U*U";
  const HASH = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

  it("opens with the credentials of skopeo login", async (context) => {
    requireBoth(context);
    const htpasswd = join(directory, "htpasswd");
    writeFileSync(htpasswd, `user:${HASH}\n`);
    const closed = await startZot(program ?? "", directory, { htpasswd });
    const authfile = join(directory, "auth.json");
    const login = ["--authfile", authfile, "--tls-verify=false", "-u", "user", "-p", PASSWORD];
    await skopeo("login", ...login, closed.host);

    const credentials = configuredCredentials({ env: { REGISTRY_AUTH_FILE: authfile } });
    const destination = await registryDestination(closed.at("secret"), { credentials });
    await encryptImage(plain, destination, alice);
    const layout = newLayout();
    const image = `docker://${closed.host}/secret:latest`;
    await pull(image, layout, "--authfile", authfile, ...DECRYPTION);
    expect(diffIds(layout)).toEqual(diffIds(PLAIN_LAYOUT));

    const wrong = { username: "user", password: "wrong" };
    for (const options of [nobody, { credentials: wrong }]) {
      const source = registrySource(closed.at("secret"), options);
      const { message } = await expectCode(source.resolve(), "REGISTRY_DENIED");
      expect(message).not.toContain("wrong");
      const refused = await registryDestination(closed.at("refused"), options);
      await expectCode(encryptImage(plain, refused, alice), "REGISTRY_DENIED");
    }
  });
});
