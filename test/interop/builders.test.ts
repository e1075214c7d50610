import { generateKeyPairSync } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { dockerRegistry, stopRegistries } from "../registry/docker-registry.js";
import { tar } from "../support/image.js";
import { hasProgram, ocicrypt, requirePeer, run, temporaryDirectory } from "./peers.js";

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
}

async function command(...args: string[]): Promise<Result> {
  const { status, stdout, stderr } = await ocicrypt([...args, "--json"]);
  expect([status, status === 0 ? "" : stderr]).toEqual([0, ""]);
  return JSON.parse(stdout.toString()) as Result;
}

interface Original {
  digest: string;
  mediaType: string;
  layers: string[];
}

/** The image as the registry has it. */
async function originalOf(name: string): Promise<Original> {
  const types = ["oci.image.manifest.v1", "docker.distribution.manifest.v2"];
  const headers = { accept: types.map((type) => `application/vnd.${type}+json`).join(", ") };
  const answer = await fetch(`http://${host}/v2/${name}/manifests/1`, { headers });
  expect(answer.status).toBe(200);
  const { layers } = (await answer.json()) as { layers: { digest: string }[] };
  return {
    digest: answer.headers.get("docker-content-digest") ?? "",
    mediaType: answer.headers.get("content-type") ?? "",
    layers: layers.map(({ digest }) => digest),
  };
}

/** Sends an image of the registry through all commands; digests come back. */
async function expectRestored(name: string): Promise<void> {
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
  await command("encrypt", at("1"), at("encrypted"), "-r", alice);
  await command("recipients", "add", at("encrypted"), "-r", bob, ...withAlice);
  await decrypt("encrypted", "first");
  await command("rotate", at("encrypted"), at("rotated"), "-r", bob, ...withAlice);
  await decrypt("rotated", "second");
  const refused = await ocicrypt(["decrypt", at("rotated"), at("no"), ...withAlice]);
  expect(refused.status).toBe(3);
}

const crane = (...args: string[]): Promise<string> => done(builder("crane"), args);

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
    const env = { STORAGE_DRIVER: "vfs", BUILDAH_ISOLATION: "chroot" };
    const store = ["--root", join(directory, "buildah"), "--runroot", join(directory, "run")];
    const container = (await done("buildah", [...store, "from", "scratch"], env)).trim();
    await done("buildah", [...store, "copy", container, layer, "/layer.tar"], env);
    const image = `docker://${host}/buildah:1`;
    await done("buildah", [...store, "commit", "--tls-verify=false", container, image], env);
  },
};

describe("an image made by", () => {
  it.for(Object.entries(BUILDERS))(
    "%s comes back from every command",
    { timeout: 180_000 },
    async ([name, make], context) => {
      requirePeer(context, "docker-registry", hasRegistry);
      const needed = name === "buildah" || name === "oras" ? [name] : ["crane", name];
      for (const program of needed) {
        const version = program === "buildah" ? "--version" : "version";
        // Those of Go take minutes to build, so that no run has to have them.
        if (!hasProgram(builder(program), version)) context.skip(`${program} is not installed`);
      }
      await make();
      await expectRestored(name);
    },
  );
});
