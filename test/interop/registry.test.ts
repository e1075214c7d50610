import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it, type TestContext } from "vitest";
import { decryptImage, encryptImage } from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import {
  configuredCredentials,
  listReferrers,
  registryDestination,
  registrySource,
  type RegistryDestinationOptions,
  type RegistryReference,
} from "../../src/registry/index.js";
import type { Descriptor } from "../../src/spec/descriptor.js";
import { layoutDestination, layoutSource } from "../../src/store/index.js";
import {
  cuttingProxy,
  dockerRegistry,
  makeCertificate,
  stopRegistries,
  tokenService,
  type DockerRegistry,
} from "../registry/docker-registry.js";
import { digestOf, INDEX } from "../registry/server.js";
import { chunked, collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { layerOf, layoutOf, TAR } from "../support/image.js";
import {
  diffIds,
  hasProgram,
  keyFile,
  ocicrypt,
  PLAIN_LAYOUT,
  requirePeer,
  run,
  skopeo,
  temporaryDirectory,
} from "./peers.js";

const directory = temporaryDirectory();
stopRegistries();

const recipients = [jwe.recipient(readFileSync(keyFile("ec256.pub.pem")))];
const keys = [jwe.key(readFileSync(keyFile("ec256.pkcs8.pem")))];

const hasRegistry = hasProgram("docker-registry", "--version");
const hasSkopeo = hasProgram("skopeo", "--version");
function requireBoth(context: TestContext): void {
  requirePeer(context, "docker-registry", hasRegistry);
  requirePeer(context, "skopeo", hasSkopeo);
}

const nobody: RegistryDestinationOptions = { credentials: () => Promise.resolve(undefined) };

function url({ host, repository, tag = "latest" }: RegistryReference): string {
  return `docker://${host}/${repository}:${tag}`;
}

const push = (layout: string, to: RegistryReference, ...more: string[]): Promise<string> =>
  skopeo("copy", "-q", "--dest-tls-verify=false", ...more, `oci:${layout}`, url(to));
const pull = (from: RegistryReference, layout: string, ...more: string[]): Promise<string> =>
  skopeo("copy", "-q", "--src-tls-verify=false", ...more, url(from), `oci:${layout}:latest`);
const newLayout = (): string => join(directory, randomBytes(8).toString("hex"));

interface Content {
  config: Descriptor;
  layers: Descriptor[];
}

async function readManifest(from: RegistryReference, options = nobody): Promise<Content> {
  const source = registrySource(from, options);
  const bytes = await collect(source.read(await source.resolve()));
  return JSON.parse(bytes.toString()) as Content;
}

async function encrypt(
  from: RegistryReference,
  to: RegistryReference,
  options = nobody,
): Promise<string> {
  const destination = await registryDestination(to, options);
  return (await encryptImage(registrySource(from, options), destination, { recipients })).image
    .digest;
}

async function decrypt(
  from: RegistryReference,
  to: RegistryReference,
  options = nobody,
): Promise<string> {
  const destination = await registryDestination(to, options);
  return (await decryptImage(registrySource(from, options), destination, { keys })).image.digest;
}

describe("Docker's registry and skopeo", () => {
  let registry: DockerRegistry;
  beforeAll(async () => {
    if (!hasRegistry || !hasSkopeo) return;
    registry = await dockerRegistry(directory);
    await push(`${PLAIN_LAYOUT}:latest`, registry.at("plain"));
  });

  it("open an image that was encrypted from registry to registry", async (context) => {
    requireBoth(context);
    const to = registry.at("secret", "v1");
    const digest = await encrypt(registry.at("plain"), to);
    const raw = await skopeo("inspect", "--raw", "--tls-verify=false", url(to));
    expect(digestOf(raw)).toBe(digest);
    const layout = newLayout();
    await pull(to, layout, "--decryption-key", keyFile("ec256.pkcs8.pem"));
    expect(diffIds(layout)).toEqual(diffIds(PLAIN_LAYOUT));
    expect(registry.uploads("secret")).toEqual([]);
  });

  it("store the original image after decryption from registry to registry", async (context) => {
    requireBoth(context);
    await encrypt(registry.at("plain"), registry.at("there"));
    const digest = await decrypt(registry.at("there"), registry.at("back", "v2"));
    expect(digest).toBe((await registrySource(registry.at("plain"), nobody).resolve()).digest);
    const layout = newLayout();
    await pull(registry.at("back", "v2"), layout);
    expect(diffIds(layout)).toEqual(diffIds(PLAIN_LAYOUT));
  });

  it("encrypt an image that is decrypted here", async (context) => {
    requireBoth(context);
    const publicKey = `jwe:${keyFile("ec256.pub.pem")}`;
    await push(`${PLAIN_LAYOUT}:latest`, registry.at("theirs"), "--encryption-key", publicKey);
    await decrypt(registry.at("theirs"), registry.at("opened"));
    const layout = newLayout();
    await pull(registry.at("opened"), layout);
    expect(diffIds(layout)).toEqual(diffIds(PLAIN_LAYOUT));
  });

  it("find an image by its digest, without a tag", async (context) => {
    requireBoth(context);
    const { host } = registry;
    const source = registrySource(registry.at("plain"), nobody);
    const { digest } = await source.resolve();
    const byDigest = registrySource({ host, repository: "plain", digest }, nobody);
    expect(await byDigest.resolve()).toEqual(await source.resolve());
    const to = await registryDestination({ host, repository: "untagged" }, nobody);
    const { image } = await encryptImage(byDigest, to, { recipients });
    const name = `docker://${host}/untagged@${image.digest}`;
    expect(digestOf(await skopeo("inspect", "--raw", "--tls-verify=false", name))).toBe(
      image.digest,
    );
    const tags = await run("skopeo", [
      "list-tags",
      "--tls-verify=false",
      `docker://${host}/untagged`,
    ]);
    expect(tags.stdout.toString()).not.toContain("latest");
  });

  it("mount blobs from another repository", async (context) => {
    requireBoth(context);
    const { config } = await readManifest(registry.at("plain"));
    const mountFrom = registry.at("plain");
    const destination = await registryDestination(registry.at("mounted"), { ...nobody, mountFrom });
    expect(await destination.contains(config)).toBe(false);
    expect(await destination.mount(config)).toBe(true);
    expect(await destination.contains(config)).toBe(true);
    expect(await destination.mount({ ...config, digest: digestOf("absent") })).toBe(false);
    expect(registry.uploads("mounted")).toEqual([]);
  });

  it("have no open upload after an image fails", async (context) => {
    requireBoth(context);
    const destination = await registryDestination(registry.at("failed"), {
      ...nobody,
      chunkSize: 10_000,
    });
    const reason = new Error("failed");
    async function* content(): AsyncGenerator<Uint8Array> {
      yield* chunked(randomBytes(50_000), 9999);
      throw reason;
    }
    await expect(destination.write(content(), () => ({ digest: "" }))).rejects.toBe(reason);
    expect(registry.uploads("failed")).toEqual([]);
    await expectCode(registrySource(registry.at("failed"), nobody).resolve(), "IMAGE_NOT_FOUND");
  });

  it("accept a blob in several chunks, but not with another digest", async (context) => {
    requireBoth(context);
    const bytes = randomBytes(55_555);
    const options = { ...nobody, chunkSize: 10_000 };
    const destination = await registryDestination(registry.at("chunks"), options);
    const digest = digestOf(bytes);
    await destination.write(chunked(bytes, 3333), () => ({ digest }));
    const blob = { mediaType: "a/b", digest, size: bytes.byteLength };
    expect(await destination.contains(blob)).toBe(true);
    expect(await destination.contains({ ...blob, size: 1 })).toBe(false);
    const read = await collect(registrySource(registry.at("chunks"), nobody).read(blob));
    expect(read.equals(bytes)).toBe(true);
    const wrong = { digest: digestOf("wrong") };
    await expectCode(
      destination.write(chunked(bytes, 3333), () => wrong),
      "REGISTRY_FAILED",
    );
    expect(registry.uploads("chunks")).toEqual([]);
  });

  it("list referrers by their tag", async (context) => {
    requireBoth(context);
    const subject = digestOf("subject");
    const text = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [] });
    const tag = subject.replace(":", "-");
    const destination = await registryDestination(registry.at("signed", tag), nobody);
    const image = { mediaType: INDEX, digest: digestOf(text), size: text.length };
    await destination.writeManifest(Buffer.from(text), image);
    await destination.commit(image);
    expect(await listReferrers(registry.at("signed"), subject, nobody)).toEqual([]);
    expect(await listReferrers(registry.at("plain"), subject, nobody)).toEqual([]);
  });

  it("resume a download that was interrupted", async (context) => {
    requireBoth(context);
    const bytes = randomBytes(5_000_000);
    const destination = await registryDestination(registry.at("cut"), nobody);
    const blob = { mediaType: "a/b", digest: digestOf(bytes), size: bytes.byteLength };
    await destination.write(chunked(bytes, 65_536), () => blob);
    const proxy = await cuttingProxy(registry.host, { got: 2_000_000 });
    const reference = { host: proxy.host, repository: "cut" };
    const read = await collect(registrySource(reference, nobody).read(blob));
    expect(read.equals(bytes)).toBe(true);
    // One more asks whether this machine speaks TLS there.
    expect(proxy.connections).toBeGreaterThanOrEqual(2);
    expect(proxy.connections).toBeLessThanOrEqual(3);
  });

  it("resume an upload that was interrupted in its first chunk", async (context) => {
    requireBoth(context);
    const bytes = randomBytes(5_000_000);
    const proxy = await cuttingProxy(registry.host, { sent: 1_500_000 });
    const reference = { host: proxy.host, repository: "cut-upload" };
    const destination = await registryDestination(reference, { ...nobody, chunkSize: 4_000_000 });
    const blob = { mediaType: "a/b", digest: digestOf(bytes), size: bytes.byteLength };
    await destination.write(chunked(bytes, 65_536), () => blob);
    expect(await destination.contains(blob)).toBe(true);
    expect(proxy.connections).toBeGreaterThan(1);
    // This registry forgets an upload that has more bytes than it told, and does not let it be
    // cancelled either: it goes when the registry tidies up.
    expect(registry.uploads("cut-upload")).toHaveLength(1);
  });

  it("get an image whose upload was interrupted in a later chunk, which they cannot resume", async (context) => {
    requireBoth(context);
    const [plain, again] = [newLayout(), newLayout()];
    const large = layerOf(randomBytes(3_000_000), { mediaType: TAR });
    const { descriptor } = await layoutOf(plain, [large]);
    const proxy = await cuttingProxy(registry.host, { sent: 2_500_000 });
    const reference = { host: proxy.host, repository: "cut-image", tag: "latest" };
    const options = { ...nobody, chunkSize: 1_000_000 };
    const destination = await registryDestination(reference, options);
    await encryptImage(layoutSource({ path: plain }), destination, { recipients });
    expect(proxy.connections).toBeGreaterThan(1);
    const source = registrySource(registry.at("cut-image"), nobody);
    const { image } = await decryptImage(source, await layoutDestination({ path: again }), {
      keys,
    });
    expect(image.digest).toBe(descriptor.digest);
  });
});

describe("a registry with a password", () => {
  // Of the test vectors of crypt_blowfish.
  const PASSWORD = "U*U";
  const HASH = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

  it("opens with the credentials of skopeo login", async (context) => {
    requireBoth(context);
    const file = join(directory, "htpasswd");
    writeFileSync(file, `user:${HASH}\n`);
    const auth = `auth: {htpasswd: {realm: test, path: ${file}}}`;
    const registry = await dockerRegistry(directory, { auth });
    const authfile = join(directory, "auth.json");
    const login = ["--authfile", authfile, "--tls-verify=false", "-u", "user", "-p", PASSWORD];
    await skopeo("login", ...login, registry.host);
    await push(`${PLAIN_LAYOUT}:latest`, registry.at("plain"), "--authfile", authfile);

    const credentials = configuredCredentials({ env: { REGISTRY_AUTH_FILE: authfile } });
    await encrypt(registry.at("plain"), registry.at("secret"), { credentials });
    const layout = newLayout();
    const decryption = ["--decryption-key", keyFile("ec256.pkcs8.pem")];
    await pull(registry.at("secret"), layout, "--authfile", authfile, ...decryption);
    expect(diffIds(layout)).toEqual(diffIds(PLAIN_LAYOUT));

    const wrong = { username: "user", password: "wrong" };
    for (const options of [nobody, { credentials: wrong }]) {
      const source = registrySource(registry.at("plain"), options);
      const error = await expectCode(source.resolve(), "REGISTRY_DENIED");
      expect(error.message).not.toContain("wrong");
    }
  });
});

describe("logging in", () => {
  const PASSWORD = "U*U";
  const HASH = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

  it("is read by skopeo, and the command reads and removes skopeo's login", async (context) => {
    requireBoth(context);
    const file = join(directory, "login-htpasswd");
    writeFileSync(file, `user:${HASH}\n`);
    const auth = `auth: {htpasswd: {realm: test, path: ${file}}}`;
    const { host } = await dockerRegistry(directory, { auth });
    const home = join(directory, "login-home");
    const env = { HOME: home, XDG_RUNTIME_DIR: join(home, "run"), DOCKER_CONFIG: home };
    const login = ["login", host, "--username", "user", "--password-stdin"];

    const denied = await ocicrypt(login, { env, input: Buffer.from("wrong\n") });
    expect(denied.stderr).toMatch(/^error: GET http:\S+\/v2\/ was answered 401.*REGISTRY_DENIED/);
    expect(existsSync(join(home, "config.json"))).toBe(false);

    const done = await ocicrypt(login, { env, input: Buffer.from(`${PASSWORD}\n`) });
    expect(done.stdout.toString()).toBe(
      `logged in to ${host} as user; the password is in ${join(home, "config.json")}\n`,
    );
    const who = await run("skopeo", ["login", "--get-login", host], { env });
    expect(who.stdout.toString()).toBe("user\n");
    const tls = "--dest-tls-verify=false";
    await run("skopeo", ["copy", tls, `oci:${PLAIN_LAYOUT}:latest`, `docker://${host}/app`], {
      env,
    });
    const inspected = await ocicrypt(["inspect", `docker://${host}/app`], { env });
    expect(inspected.status).toBe(0);

    const left = await ocicrypt(["logout", host], { env });
    expect(left.stdout.toString()).toContain(`from ${join(home, "config.json")}`);
    const again = await ocicrypt(["inspect", `docker://${host}/app`], { env });
    expect(again.stderr).toContain("REGISTRY_DENIED");

    const authfile = join(home, "auth.json");
    await skopeo("login", "--authfile", authfile, "--tls-verify=false", "-u", "user", "-p", PASSWORD, host); // prettier-ignore
    const read = ["inspect", `docker://${host}/app`, "--authfile", authfile];
    expect((await ocicrypt(read)).status).toBe(0);
    await ocicrypt(["logout", host, "--authfile", authfile]);
    const gone = await run("skopeo", ["login", "--authfile", authfile, "--get-login", host]);
    expect(gone.stderr).toContain("not logged into");
  });
});

describe("a registry with a token service", () => {
  it("opens with tokens for each operation", async (context) => {
    requireBoth(context);
    const user = { username: "user", password: "pass:word" };
    const service = await tokenService(directory, user);
    const registry = await dockerRegistry(directory, { auth: service.auth });
    const creds = "user:pass:word";
    await push(`${PLAIN_LAYOUT}:latest`, registry.at("plain"), "--dest-creds", creds);

    service.scopes.length = 0;
    const options = { credentials: user, mountFrom: registry.at("plain") };
    const destination = await registryDestination(registry.at("secret"), options);
    const source = registrySource(registry.at("plain"), options);
    await encryptImage(source, destination, { recipients });
    expect(service.scopes).toEqual([
      ["repository:plain:pull"],
      ["repository:secret:pull,push"],
      // To take over the config, which stays as it is.
      ["repository:secret:pull,push", "repository:plain:pull"],
    ]);

    const { layers } = await readManifest(registry.at("plain"), options);
    expect(await destination.mount(layers[0]!)).toBe(true);

    const layout = newLayout();
    const decryption = ["--decryption-key", keyFile("ec256.pkcs8.pem")];
    await pull(registry.at("secret"), layout, "--src-creds", creds, ...decryption);
    expect(diffIds(layout)).toEqual(diffIds(PLAIN_LAYOUT));

    await expectCode(registrySource(registry.at("plain"), nobody).resolve(), "REGISTRY_DENIED");
  });
});

describe("a registry with TLS", () => {
  it("is trusted only with its own authority", async (context) => {
    requireBoth(context);
    const certificate = makeCertificate(directory, "tls");
    const registry = await dockerRegistry(directory, { tls: certificate });
    const certificates = join(directory, "certificates");
    mkdirSync(certificates);
    writeFileSync(join(certificates, "ca.crt"), readFileSync(certificate.cert));
    const from = registry.at("plain");
    await skopeo(
      ...["copy", "-q", "--dest-cert-dir", certificates],
      ...[`oci:${PLAIN_LAYOUT}:latest`, url(from)],
    );

    const ca = readFileSync(certificate.cert);
    const { digest } = await registrySource(from, { ...nobody, ca }).resolve();
    expect(await decryptAgain(registry, { ...nobody, ca })).toBe(digest);
    const untrusted = registrySource(from, { ...nobody, insecure: false });
    const error = await expectCode(untrusted.resolve(), "REGISTRY_UNREACHABLE");
    expect(error.message).toContain("certificate");
  });

  async function decryptAgain(
    registry: DockerRegistry,
    options: RegistryDestinationOptions,
  ): Promise<string> {
    await encrypt(registry.at("plain"), registry.at("secret"), options);
    return decrypt(registry.at("secret"), registry.at("back"), options);
  }
});
