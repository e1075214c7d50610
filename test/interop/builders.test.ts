import { generateKeyPairSync } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { dockerRegistry, stopRegistries } from "../registry/docker-registry.js";
import { tar } from "../support/image.js";
import { hasProgram, ocicrypt, requirePeer, run, temporaryDirectory, VECTORS } from "./peers.js";

const directory = temporaryDirectory();
stopRegistries();

const hasRegistry = hasProgram("docker-registry", "--version");
/** `build-peers.sh` builds these; its directory is in this variable, or they are in the path. */
const built = process.env.OCICRYPT_BUILDERS ?? "";

function builder(name: string): string {
  const path = join(built, name);
  return built !== "" && existsSync(path) ? path : name;
}

const files = { alice: join(directory, "alice"), bob: join(directory, "bob") };
let host = "";
let layer = "";

beforeAll(async () => {
  for (const path of Object.values(files)) {
    const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
    writeFileSync(`${path}.pem`, pair.privateKey.export({ type: "pkcs8", format: "pem" }));
    writeFileSync(`${path}.pub.pem`, pair.publicKey.export({ type: "spki", format: "pem" }));
  }
  layer = join(directory, "layer.tar");
  writeFileSync(layer, await tar({ "etc/app.conf": "from a builder\n" }));
  if (hasRegistry) host = (await dockerRegistry(directory)).host;
});

/** Runs a program, which has to do it. */
async function done(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<string> {
  const { status, stdout, stderr } = await run(program, args, { cwd: directory, env });
  expect([status, status === 0 ? "" : stderr]).toEqual([0, ""]);
  return stdout.toString();
}

interface Result {
  image: { digest: string };
  layers: { after: { digest: string } }[];
  warnings: string[];
}

async function command(...args: string[]): Promise<Result> {
  const { status, stdout, stderr } = await ocicrypt([...args, "--json"]);
  expect([status, status === 0 ? "" : stderr]).toEqual([0, ""]);
  return JSON.parse(stdout.toString()) as Result;
}

interface Descriptor {
  mediaType: string;
  digest: string;
  platform?: { os: string };
}

interface Manifest {
  manifests?: Descriptor[];
  config?: Descriptor;
  layers?: Descriptor[];
}

interface Original {
  digest: string;
  mediaType: string;
  /** The digests of the layers; those of attestations, which stay plain, are left out. */
  layers: string[];
}

/** The image as the registry has it. */
async function originalOf(name: string, reference = "1"): Promise<Original> {
  const types = ["oci.image.index.v1", "oci.image.manifest.v1", "docker.distribution.manifest.v2"];
  const headers = { accept: types.map((type) => `application/vnd.${type}+json`).join(", ") };
  const answer = await fetch(`http://${host}/v2/${name}/manifests/${reference}`, { headers });
  expect(answer.status).toBe(200);
  const { manifests = [], layers = [] } = (await answer.json()) as Manifest;
  const platforms = manifests.filter(({ platform }) => platform?.os !== "unknown");
  const parts = await Promise.all(platforms.map(({ digest }) => originalOf(name, digest)));
  return {
    digest: answer.headers.get("docker-content-digest") ?? "",
    mediaType: answer.headers.get("content-type") ?? "",
    layers: [...layers.map(({ digest }) => digest), ...parts.flatMap((part) => part.layers)],
  };
}

/** Sends an image of the registry through all commands; digests come back. Returns the warnings. */
async function expectRestored(name: string): Promise<string[]> {
  const at = (tag: string): string => `docker://${host}/${name}:${tag}`;
  const original = await originalOf(name);
  const [alice, bob] = [`jwe:${files.alice}.pub.pem`, `jwe:${files.bob}.pub.pem`];
  const withAlice = ["-k", `${files.alice}.pem`];
  const withBob = ["-k", `${files.bob}.pem`];
  const decrypt = async (from: string, to: string): Promise<void> => {
    const { image, layers } = await command("decrypt", at(from), at(to), ...withBob);
    expect(layers.map(({ after }) => after.digest)).toEqual(original.layers);
    // Manifests of Docker are converted.
    if (original.mediaType.includes("oci")) expect(image.digest).toBe(original.digest);
  };
  const { warnings } = await command("encrypt", at("1"), at("encrypted"), "-r", alice);
  await command("recipients", "add", at("encrypted"), "-r", bob, ...withAlice);
  await decrypt("encrypted", "first");
  await command("rotate", at("encrypted"), at("rotated"), "-r", bob, ...withAlice);
  await decrypt("rotated", "second");
  const refused = await ocicrypt(["decrypt", at("rotated"), at("no"), ...withAlice]);
  expect(refused.status).toBe(3);
  return warnings;
}

const crane = (...args: string[]): Promise<string> => done(builder("crane"), args);

const VFS = { STORAGE_DRIVER: "vfs", BUILDAH_ISOLATION: "chroot" };
const storeOf = (name: string): string[] => [
  ...["--root", join(directory, name)],
  ...["--runroot", join(directory, `${name}-run`)],
];

/** podman builds an image of one file, and pushes it. */
async function podman(image: string): Promise<void> {
  const context = join(directory, "context");
  mkdirSync(context, { recursive: true });
  writeFileSync(join(context, "Containerfile"), 'FROM scratch\nCOPY app /app\nCMD ["/app"]\n');
  writeFileSync(join(context, "app"), "from podman\n");
  await done("podman", [...storeOf("podman"), "build", "-q", "-t", image, context], VFS);
  await done("podman", [...storeOf("podman"), "push", "-q", "--tls-verify=false", image], VFS);
}

/** Its packages are pure JavaScript, and few. */
const CONTAINERIFY = "containerify@4.1.0";

/** How each builder makes the image `HOST/NAME:1`. */
const BUILDERS: Record<string, () => Promise<unknown>> = {
  crane: async () => {
    const image = `${host}/crane:1`;
    await crane("append", "--insecure", "--new_layer", layer, "--new_tag", image);
    await crane(
      "mutate",
      "--insecure",
      image,
      "--entrypoint",
      "/app",
      "--label",
      "a=b",
      "--tag",
      image,
    );
  },
  oras: () => {
    const type = "application/vnd.oci.image.layer.v1.tar";
    return done(builder("oras"), ["push", "--plain-http", `${host}/oras:1`, `layer.tar:${type}`]);
  },
  regctl: async () => {
    const home = { HOME: directory };
    const image = `${host}/regctl:1`;
    const regctl = builder("regctl");
    await done(regctl, ["registry", "set", "--tls", "disabled", host], home);
    await done(builder("crane"), ["append", "--insecure", "-f", layer, "-t", image]);
    const changes = ["--to-oci", "--annotation", "a=b", "--layer-compress", "gzip"];
    await done(regctl, ["image", "mod", image, "--replace", ...changes], home);
  },
  ko: async () => {
    const source = join(directory, "ko");
    mkdirSync(source);
    writeFileSync(join(source, "go.mod"), "module example.com/app\n\ngo 1.20\n");
    writeFileSync(join(source, "main.go"), 'package main\n\nfunc main() { println("app") }\n');
    await crane("append", "--insecure", "-f", layer, "-t", `${host}/base:1`);
    const env = { KO_DOCKER_REPO: `${host}/ko`, KO_DEFAULTBASEIMAGE: `${host}/base:1` };
    const args = ["build", "--bare", "--tags", "1", "--insecure-registry", "--sbom", "none", "."]; // prettier-ignore
    const { status, stderr } = await run(builder("ko"), args, { cwd: source, env });
    expect([status, status === 0 ? "" : stderr]).toEqual([0, ""]);
  },
  buildah: async () => {
    const store = storeOf("buildah");
    const container = (await done("buildah", [...store, "from", "scratch"], VFS)).trim();
    await done("buildah", [...store, "copy", container, layer, "/layer.tar"], VFS);
    const image = `docker://${host}/buildah:1`;
    await done("buildah", [...store, "commit", "--tls-verify=false", container, image], VFS);
  },
  podman: () => podman(`${host}/podman:1`),
  containerify: async () => {
    await podman(`${host}/node:1`);
    const app = join(directory, "node-app");
    mkdirSync(join(app, "node_modules"), { recursive: true });
    writeFileSync(join(app, "package.json"), '{ "name": "app", "version": "1.0.0" }');
    writeFileSync(join(app, "package-lock.json"), "{}");
    writeFileSync(join(app, "index.js"), "");
    const registry = `http://${host}/v2/`;
    const from = ["--fromRegistry", registry, "--fromImage", "node:1"];
    const to = ["--toRegistry", registry, "--toImage", "containerify:1", "--folder", app];
    await done("npx", ["--yes", CONTAINERIFY, ...from, ...to, "--allowNoPushAuth"]);
  },
};

const DEBIAN = ["buildah", "podman"];
/** The programs that a builder needs: by default crane and itself. */
const NEEDED: Readonly<Partial<Record<string, readonly string[]>>> = {
  buildah: ["buildah"],
  podman: ["podman"],
  containerify: ["podman"],
  oras: ["oras"],
};

describe("an image made by", () => {
  it.for(Object.entries(BUILDERS))(
    "%s comes back from every command",
    { timeout: 180_000 },
    async ([name, make], context) => {
      requirePeer(context, "docker-registry", hasRegistry);
      for (const program of NEEDED[name] ?? ["crane", name]) {
        const version = DEBIAN.includes(program) ? "--version" : "version";
        // Those of Go take minutes to build, so that no run has to have them.
        if (!hasProgram(builder(program), version)) context.skip(`${program} is not installed`);
      }
      await make();
      await expectRestored(name);
    },
  );
});

/** Images that builders pushed: vectors/peers/README.md. */
const FIXTURES = join(VECTORS, "peers", "builders");

interface Kept extends Descriptor {
  annotations: Record<string, string>;
}

/** Pushes the images of one builder, byte for byte, and returns their tags. */
async function push(name: string): Promise<string[]> {
  const read = (path: string): Buffer => readFileSync(join(FIXTURES, path));
  const blob = (digest: string): Buffer => read(`blobs/${digest.replace(":", "/")}`);
  const url = `http://${host}/v2/${name}`;
  const sent = async (place: string, type: string, body: Buffer): Promise<void> => {
    const headers = { "content-type": type };
    const { status } = await fetch(place, { method: "PUT", headers, body: new Uint8Array(body) });
    expect(status).toBe(201);
  };
  const pushBlob = async (digest: string): Promise<void> => {
    const opened = await fetch(`${url}/blobs/uploads/`, { method: "POST" });
    const place = new URL(opened.headers.get("location") ?? "");
    place.searchParams.set("digest", digest);
    await sent(place.href, "application/octet-stream", blob(digest));
  };
  const pushManifest = async (reference: string, { mediaType, digest }: Descriptor) => {
    const { manifests = [], config, layers = [] } = JSON.parse(blob(digest).toString()) as Manifest;
    for (const child of manifests) await pushManifest(child.digest, child);
    for (const part of config === undefined ? layers : [config, ...layers]) {
      await pushBlob(part.digest);
    }
    await sent(`${url}/manifests/${reference}`, mediaType, blob(digest));
  };
  const index = JSON.parse(read("index.json").toString()) as { manifests: Kept[] };
  const kept = index.manifests.filter(({ annotations }) => annotations["example.builder"] === name);
  const tags: string[] = [];
  for (const descriptor of kept) {
    const text = descriptor.annotations["org.opencontainers.image.ref.name"] ?? "";
    const tag = text === name ? "1" : text;
    await pushManifest(tag, descriptor);
    tags.push(tag);
  }
  return tags;
}

describe("an image that was pushed by", () => {
  it.for(["buildkit", "jib", "jib-docker", "ko", "cosign"])(
    "%s comes back from every command",
    { timeout: 180_000 },
    async (name, context) => {
      requirePeer(context, "docker-registry", hasRegistry);
      const tags = await push(name);
      const warnings = await expectRestored(name);
      // Signatures, attestations and SBOMs of ko and cosign have tags that contain the digest.
      const beside = tags.filter((tag) => tag.startsWith("sha256-"));
      expect(beside).toHaveLength({ ko: 1, cosign: 2 }[name] ?? 0);
      for (const tag of beside) expect(warnings.join("\n")).toContain(tag);
    },
  );

  it("cosign keeps its signature and attestation with --keep-referrers", async (context) => {
    requirePeer(context, "docker-registry", hasRegistry);
    const beside = (await push("cosign")).filter((tag) => tag.startsWith("sha256-"));
    const from = `docker://${host}/cosign:1`;
    const to = `docker://${host}/cosign-kept:1`;
    await command("encrypt", from, to, "-r", `jwe:${files.alice}.pub.pem`, "--keep-referrers");
    const back = `docker://${host}/cosign-back:1`;
    const { image } = await command(
      "decrypt",
      to,
      back,
      "-k",
      `${files.alice}.pem`,
      "--keep-referrers",
    );
    expect(image.digest).toBe((await originalOf("cosign")).digest);
    for (const tag of beside) {
      const kept = await originalOf("cosign-kept", tag);
      expect(kept.digest).toBe((await originalOf("cosign", tag)).digest);
    }
  });
});
