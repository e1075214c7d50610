import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import {
  dockerRegistry,
  stopRegistries,
  type DockerRegistry,
} from "../registry/docker-registry.js";
import { ARTIFACTS } from "../support/artifacts.js";
import {
  digestOf,
  layer,
  layerOf,
  layoutOf,
  multiPlatform,
  readEntries,
  tar,
} from "../support/image.js";
import {
  diffIds,
  hasProgram,
  keyFile,
  ocicrypt,
  PLAIN_LAYOUT,
  requirePeer,
  run,
  temporaryDirectory,
} from "./peers.js";
import { countingProxy, storedBlobs } from "./registry-server.js";

const directory = temporaryDirectory();
stopRegistries();

const ALICE = { recipient: `jwe:${keyFile("ec256.pub.pem")}`, key: keyFile("ec256.pkcs8.pem") };

const hasRegistry = hasProgram("docker-registry", "--version");
const hasSkopeo = hasProgram("skopeo", "--version");
const requireRegistry = (context: TestContext): void => {
  requirePeer(context, "docker-registry", hasRegistry);
};

const storage = join(directory, "registry");
mkdirSync(storage);
let registry: DockerRegistry;
beforeAll(async () => {
  if (hasRegistry) registry = await dockerRegistry(storage);
});

const newDirectory = (): string => mkdtempSync(join(directory, "d"));

/** Runs a program, which has to succeed. */
async function succeed(program: string, ...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await run(program, args);
  expect(status, `${program} ${args.join(" ")}\n${stderr}`).toBe(0);
  return stdout.toString();
}

interface Result {
  image: { digest: string };
  layers: { before: { digest: string }; after: { digest: string } }[];
}

/** Runs the command of this package, which has to succeed. */
async function ours(...args: readonly string[]): Promise<Result> {
  const { status, stdout, stderr } = await ocicrypt([...args, "--json"]);
  expect(status, `${args.join(" ")}\n${stderr}`).toBe(0);
  return JSON.parse(stdout.toString()) as Result;
}

const encrypt = (from: string, to: string, ...more: string[]): Promise<Result> =>
  ours("encrypt", from, to, "-r", ALICE.recipient, ...more);
const decrypt = (from: string, to: string): Promise<Result> =>
  ours("decrypt", from, to, "-k", ALICE.key);

/** The digests of the layers of an image in the registry, by its own answer. */
async function registryLayers(repository: string, tag: string): Promise<string[]> {
  const url = `http://${registry.host}/v2/${repository}/manifests/${tag}`;
  const accept = "application/vnd.oci.image.manifest.v1+json";
  const manifest = (await (await fetch(url, { headers: { accept } })).json()) as {
    layers: { digest: string }[];
  };
  return manifest.layers.map(({ digest }) => digest);
}

describe("an image in Docker's registry", () => {
  it("gets one new layer if one of five has changed, with --reuse", async (context) => {
    requireRegistry(context);
    const layers = await Promise.all(
      ["a", "b", "c", "d", "e"].map((name) => layer(name, { content: randomBytes(200_000) })),
    );
    const changed = await layer("c", { content: randomBytes(200_000) });
    const [first, second] = [newDirectory(), newDirectory()];
    await layoutOf(first, layers);
    const { text, descriptor } = await layoutOf(second, layers.with(2, changed));
    const config = (JSON.parse(text) as { config: { digest: string } }).config.digest;

    const at = (tag: string): string => `docker://${registry.host}/changing:${tag}`;
    await encrypt(`oci:${first}`, at("1"));
    const [before, layersBefore] = [storedBlobs(storage), await registryLayers("changing", "1")];
    const proxy = await countingProxy(registry.host);
    const to = `docker://${proxy.host}/changing:2`;
    const reuse = ["--reuse", at("1"), "-k", ALICE.key];
    const { image } = await encrypt(`oci:${second}`, to, ...reuse);

    const layersAfter = await registryLayers("changing", "2");
    expect(layersAfter.with(2, "")).toEqual(layersBefore.with(2, ""));
    const added = storedBlobs(storage).filter((digest) => !before.includes(digest));
    expect(added.sort()).toEqual([layersAfter[2], config, image.digest].sort());
    expect(proxy.bytes).toBeGreaterThan(200_000);
    expect(proxy.bytes).toBeLessThan(300_000);

    const back = await decrypt(at("2"), `oci:${newDirectory()}`);
    expect(back.image.digest).toBe(descriptor.digest);
  });

  it("is restored with the digests of its platforms and attestations", async (context) => {
    requireRegistry(context);
    const layout = newDirectory();
    const { index } = await multiPlatform(layout);
    const encrypted = `docker://${registry.host}/platforms:encrypted`;
    const { image } = await encrypt(`oci:${layout}`, encrypted);
    expect(image.digest).not.toBe(index.digest);
    const decrypted = await decrypt(encrypted, `docker://${registry.host}/platforms:decrypted`);
    expect(decrypted.image.digest).toBe(index.digest);

    const url = `http://${registry.host}/v2/platforms/manifests/`;
    const headers = { accept: index.mediaType };
    const bytes = Buffer.from(await (await fetch(`${url}decrypted`, { headers })).arrayBuffer());
    expect(digestOf(bytes)).toBe(index.digest);
    const { manifests } = JSON.parse(bytes.toString()) as {
      manifests: { digest: string; mediaType: string }[];
    };
    expect(manifests).toHaveLength(4);
    for (const { digest, mediaType } of manifests) {
      const response = await fetch(url + digest, { headers: { accept: mediaType } });
      expect(digestOf(Buffer.from(await response.arrayBuffer()))).toBe(digest);
    }
  });
});

describe("what is no image, in Docker's registry", () => {
  it.for(ARTIFACTS)("is restored unchanged: $name", async ({ name, layers, options }, context) => {
    requireRegistry(context);
    const layout = newDirectory();
    const { descriptor } = await layoutOf(layout, layers, options);
    const repository = `artifacts/${String(ARTIFACTS.findIndex((each) => each.name === name))}`;
    const at = (tag: string): string => `docker://${registry.host}/${repository}:${tag}`;
    const there = await encrypt(`oci:${layout}`, at("secret"));
    expect(there.layers).toHaveLength(layers.length);
    const stored = storedBlobs(storage);
    for (const { before, after } of there.layers) {
      expect(stored).not.toContain(before.digest);
      expect(stored).toContain(after.digest);
    }
    const back = await decrypt(at("secret"), at("plain"));
    expect(back.image.digest).toBe(descriptor.digest);
    expect(await registryLayers(repository, "plain")).toEqual(
      layers.map((each) => each.descriptor.digest),
    );
  });
});

describe("images of other tools", () => {
  const stores = newDirectory();
  const inStore = (program: string): string[] => [
    ...["--root", join(stores, program), "--runroot", join(stores, `${program}-run`)],
    ...["--storage-driver", "vfs"],
  ];
  const hasBuildah = hasProgram("buildah", "--version");
  const hasPodman = hasProgram("podman", "--version");

  // The first with options for what it pulls and pushes.
  const isPodmanOf44 =
    hasPodman && !/ ([0-3]\.|4\.[0-3]\.)/.test(execFileSync("podman", ["--version"]).toString());

  /** Runs buildah or podman on a storage of its own. */
  const tool = (program: string, ...args: string[]): Promise<string> =>
    succeed(program, ...inStore(program), ...args);

  // Without root, what they unpacked may belong to other users, and only they can remove it.
  afterAll(async () => {
    if (hasBuildah) await tool("buildah", "rm", "--all");
    if (hasBuildah) await tool("buildah", "rmi", "--all", "--force");
    if (hasPodman) await tool("podman", "rmi", "--all", "--force");
  });

  interface Tool {
    program: string;
    isThere: boolean;
    /** Pulls and decrypts an image, and writes it into a layout. */
    open: (image: string, layout: string) => Promise<void>;
    /** Encrypts the image of a layout and pushes it. */
    encrypt: (layout: string, image: string) => Promise<void>;
  }

  const encryption = ["--encryption-key", ALICE.recipient];
  const decryption = ["--decryption-key", ALICE.key];

  const skopeo: Tool = {
    program: "skopeo",
    isThere: hasSkopeo,
    async open(image, layout) {
      const from = ["--src-tls-verify=false", ...decryption, `docker://${image}`];
      await succeed("skopeo", "copy", "-q", ...from, `oci:${layout}`);
    },
    async encrypt(layout, image) {
      const to = ["--dest-tls-verify=false", ...encryption, `oci:${layout}`, `docker://${image}`];
      await succeed("skopeo", "copy", "-q", ...to);
    },
  };

  const buildah: Tool = {
    program: "buildah",
    isThere: hasBuildah,
    async open(image, layout) {
      await tool("buildah", "pull", "-q", "--tls-verify=false", ...decryption, image);
      await tool("buildah", "push", "-q", image, `oci:${layout}`);
    },
    async encrypt(layout, image) {
      const id = await tool("buildah", "pull", "-q", `oci:${layout}`);
      const options = ["-q", "--tls-verify=false", ...encryption];
      await tool("buildah", "push", ...options, id.trim(), `docker://${image}`);
    },
  };

  const podman: Tool = {
    program: "podman",
    isThere: hasPodman,
    async open(image, layout) {
      // Before, podman decrypts the base image of a build only.
      if (isPodmanOf44) {
        await tool("podman", "pull", "-q", "--tls-verify=false", ...decryption, image);
      } else {
        const context = newDirectory();
        writeFileSync(join(context, "Containerfile"), `FROM ${image}\n`);
        await tool("podman", "build", "-q", "--tls-verify=false", ...decryption, context);
      }
      await tool("podman", "push", "-q", image, `oci:${layout}`);
    },
    async encrypt(layout, image) {
      const id = await tool("podman", "pull", "-q", `oci:${layout}`);
      const options = ["-q", "--tls-verify=false", ...encryption];
      await tool("podman", "push", ...options, id.trim(), `docker://${image}`);
    },
  };

  const TOOLS = [skopeo, buildah, podman];

  it.for(TOOLS)("$program opens from a registry what we encrypted there", async (peer, context) => {
    requireRegistry(context);
    requirePeer(context, peer.program, peer.isThere);
    const image = `${registry.host}/for-${peer.program}:1`;
    await encrypt(`oci:${PLAIN_LAYOUT}`, `docker://${image}`);
    const layout = newDirectory();
    await peer.open(image, layout);
    expect(diffIds(layout)).toEqual(diffIds(PLAIN_LAYOUT));
  });

  it.for(TOOLS)(
    "$program encrypts into a registry an image that we open",
    async (peer, context) => {
      requireRegistry(context);
      requirePeer(context, peer.program, peer.isThere);
      if (peer === podman && !isPodmanOf44) context.skip("podman encrypts from 4.4 on");
      const image = `${registry.host}/of-${peer.program}:1`;
      await peer.encrypt(PLAIN_LAYOUT, image);
      const layout = newDirectory();
      const { layers } = await decrypt(`docker://${image}`, `oci:${layout}`);
      expect(layers).toHaveLength(diffIds(PLAIN_LAYOUT).length);
      expect(diffIds(layout)).toEqual(diffIds(PLAIN_LAYOUT));
    },
  );

  it("an image that buildah built is restored unchanged", async (context) => {
    requirePeer(context, "buildah", hasBuildah);
    const files = newDirectory();
    writeFileSync(join(files, "secret.txt"), "the recipe\n");
    const container = (await tool("buildah", "from", "scratch")).trim();
    await tool("buildah", "copy", "-q", container, files, "/srv");
    const [built, encrypted] = [newDirectory(), newDirectory()];
    await tool("buildah", "commit", "-q", container, `oci:${built}`);
    await encrypt(`oci:${built}`, `oci:${encrypted}`);
    const { image } = await decrypt(`oci:${encrypted}`, `oci:${newDirectory()}`);
    expect(image.digest).toBe((await readEntries(built))[0]?.digest);
  });

  it("umoci unpacks an image that we decrypted", async (context) => {
    requirePeer(context, "umoci", hasProgram("umoci", "--version"));
    const layout = newDirectory();
    const secret = randomBytes(70_000);
    const files = await tar({ "srv/secret.bin": secret });
    const { descriptor } = await layoutOf(layout, [await layer("motd"), layerOf(files)]);
    const [encrypted, decrypted] = [newDirectory(), newDirectory()];
    await encrypt(`oci:${layout}`, `oci:${encrypted}`);
    const { image } = await decrypt(`oci:${encrypted}`, `oci:${decrypted}:latest`);
    expect(image.digest).toBe(descriptor.digest);
    const bundle = join(newDirectory(), "bundle");
    await succeed("umoci", "unpack", "--rootless", "--image", `${decrypted}:latest`, bundle);
    expect(readFileSync(join(bundle, "rootfs/srv/secret.bin")).equals(secret)).toBe(true);
    expect(readFileSync(join(bundle, "rootfs/motd"), "utf8")).toBe("motd\n");
  });
});
