import { copyFileSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  dockerRegistry,
  stopRegistries,
  type DockerRegistry,
} from "../registry/docker-registry.js";
import { startContainerd, stopContainerds, type Containerd } from "./containerd-server.js";
import {
  buildPeers,
  hasProgram,
  IS_CI,
  keyFile,
  ocicrypt,
  requirePeer,
  run,
  temporaryDirectory,
} from "./peers.js";
import { command, makeLayout, mountSecret, pull, runImage } from "./runnable-image.js";

const directory = temporaryDirectory();
stopRegistries();
stopContainerds();

const PROGRAMS = ["containerd", "ctr", "runc", "docker-registry"];
const PRIVATE = keyFile("rsa2048.pkcs8.pem");
const RSA = `jwe:${keyFile("rsa2048.pub.pem")}`;

let registry: DockerRegistry;
/** With our decoder, which has no keys and no content store of its own. */
let bare: Containerd;
/** With our decoder and a mounted Secret. */
let node: Containerd;
/** With Go's decoder, and copied keys at first. */
let goNode: Containerd;
let goKeys = "";
let isReady = false;
let why = "";

/** The programs of imgcrypt: those in the directory that `IMGCRYPT` names, or of `build-peers.sh`. */
async function buildImgcrypt(): Promise<string> {
  const named = process.env.IMGCRYPT;
  if (named !== undefined) return named;
  await buildPeers(directory, "imgcrypt");
  return directory;
}

let ctrEnc = "";

beforeAll(async () => {
  if (!PROGRAMS.every((program) => hasProgram(program, "--version"))) return;
  if (!hasProgram("go", "version")) return;
  const programs = await buildImgcrypt();
  ctrEnc = join(programs, "ctr-enc");
  registry = await dockerRegistry(directory);
  const keys = mountSecret(directory);
  const byDirectory = (path: string): string[] => ["--decryption-keys-path", path];
  mkdirSync(join(directory, "go"));
  goKeys = join(directory, "go", "keys");
  const { host } = registry;
  try {
    bare = await startContainerd(directory, { registry: host, args: () => [] });
    node = await startContainerd(directory, {
      registry: host,
      args: (store) => [...byDirectory(keys), "--content-store", store],
    });
    goNode = await startContainerd(directory, {
      registry: host,
      program: join(programs, "ctd-decoder"),
      args: () => byDirectory(goKeys),
    });
    isReady = true;
  } catch (error) {
    if (IS_CI) throw error;
    why = ` (${String(error).slice(0, 300)})`;
  }
});

beforeEach((context) => {
  requirePeer(context, `imgcrypt or containerd${why}`, isReady);
});

/** Encrypts an image that prints `from NAME`, and pushes it; returns its reference. */
async function pushEncrypted(name: string): Promise<string> {
  const layout = await makeLayout(directory, name);
  const reference = `${registry.host}/${name}:latest`;
  await command("encrypt", `oci:${layout}`, `docker://${reference}`, "--plain-http", "-r", RSA);
  return reference;
}

/** Runs imgcrypt's `ctr` in a namespace of a containerd. */
async function imgcrypt(
  { socket }: Containerd,
  namespace: string,
  ...args: string[]
): Promise<string> {
  const global = ["--address", socket, "--namespace", namespace];
  const { status, stdout, stderr } = await run(ctrEnc, [...global, ...args]);
  expect([status, status === 0 ? "" : stderr]).toEqual([0, ""]);
  return stdout.toString();
}

const UNPACK = ["--snapshotter", "native"];

describe("our image", () => {
  it("is pulled with the key that imgcrypt's ctr sends, and runs", async () => {
    const reference = await pushEncrypted("sent");
    await imgcrypt(bare, "sent", "images", "pull", "--plain-http", ...UNPACK, "--key", PRIVATE, reference); // prettier-ignore
    expect(await runImage(bare, "sent", reference)).toContain("from sent");
  });

  it("is decrypted by imgcrypt's ctr", async () => {
    const layout = await makeLayout(directory, "decrypted");
    const archive = join(directory, "decrypted.tar");
    const name = "decrypted.test/a:1";
    await command("encrypt", `oci:${layout}`, `oci-archive:${archive}:${name}`, "-r", RSA);
    await imgcrypt(bare, "decrypted", "images", "import", "--no-unpack", archive);
    await imgcrypt(bare, "decrypted", "images", "decrypt", "--key", PRIVATE, name, `${name}-plain`);
    await imgcrypt(bare, "decrypted", "images", "export", `${archive}.plain`, `${name}-plain`);
    const { stdout } = await ocicrypt(["inspect", `oci-archive:${archive}.plain`, "--json"]);
    expect(stdout.toString()).not.toContain("+encrypted");
  });

  it("is pulled with Go's decoder once keys sync has copied the keys of a Secret", async () => {
    const reference = await pushEncrypted("synced");
    const secret = join(directory, "secret");
    mkdirSync(join(secret, "..data"), { recursive: true });
    copyFileSync(PRIVATE, join(secret, "..data", "a.pem"));
    symlinkSync("..data/a.pem", join(secret, "a.pem"));
    await command("keys", "sync", "--from", secret, "--to", goKeys);
    await goNode.criPull(reference);
    expect(await runImage(goNode, "k8s.io", reference)).toContain("from synced");
  });

  it("is pulled from a mounted Secret with our decoder, not with Go's", async () => {
    const reference = await pushEncrypted("secret");
    await node.criPull(reference);
    rmSync(goKeys, { recursive: true });
    mountSecret(join(directory, "go"));
    await expect(goNode.criPull(reference)).rejects.toThrow(/keys|decrypt|diff id/);
  });
});

describe("an image that imgcrypt's ctr encrypted", () => {
  const name = "by-imgcrypt";
  let reference = "";

  it("is decrypted by our command, to the same layers", async () => {
    const layout = await makeLayout(directory, name);
    const plain = join(directory, "plain.tar");
    reference = `${registry.host}/${name}:latest`;
    // Our copy without any layer to encrypt is not an archive; the import takes a tar of a layout.
    expect((await run("tar", ["-cf", plain, "-C", layout, "."])).status).toBe(0);
    await imgcrypt(bare, name, "images", "import", "--no-unpack", "--index-name", "plain.test/a:1", plain); // prettier-ignore
    await imgcrypt(
      bare,
      name,
      "images",
      "encrypt",
      "--recipient",
      RSA,
      "plain.test/a:1",
      reference,
    );
    await imgcrypt(bare, name, "images", "push", "--plain-http", reference);
    const decrypted = join(directory, `${name}-decrypted`);
    await command("decrypt", `docker://${reference}`, `oci:${decrypted}`, "--plain-http", "-k", PRIVATE); // prettier-ignore
    const layers = async (from: string): Promise<string[]> => {
      const { stdout } = await ocicrypt(["inspect", `oci:${from}`, "--json"]);
      return stdout.toString().match(/sha256:[0-9a-f]{64}/g) ?? [];
    };
    const original = await layers(layout);
    expect(await layers(decrypted)).toEqual(expect.arrayContaining(original.slice(-2)));
  });

  it("is pulled by CRI, and by ctr without payload, and runs", async () => {
    expect(reference).not.toBe("");
    await node.criPull(reference);
    expect(await runImage(node, "k8s.io", reference)).toContain(`from ${name}`);
    expect((await pull(node, "plain", reference))[0]).toBe(0);
    expect(await runImage(node, "plain", reference)).toContain(`from ${name}`);
  });
});
