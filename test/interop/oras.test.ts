import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  dockerRegistry,
  stopRegistries,
  type DockerRegistry,
} from "../registry/docker-registry.js";
import {
  buildPeers,
  hasProgram,
  ocicrypt,
  requirePeer,
  run,
  temporaryDirectory,
  VECTORS,
} from "./peers.js";

stopRegistries();
const directory = temporaryDirectory();
const RECIPIENT = ["-r", `jwe:${VECTORS}keys/ec-p256.pub.jwk`];
const KEY = ["-k", `${VECTORS}keys/ec-p256.pem`];
const FILES: Readonly<Record<string, Buffer>> = {
  "hi.txt": Buffer.from("hello\n"),
  "models/weights.bin": Buffer.alloc(200_000, "weights"),
};
const NAMES = Object.keys(FILES);
const ARTIFACT_TYPE = "application/vnd.example.model.v1";

let oras: string | undefined;
let registry: DockerRegistry;
const work = join(directory, "work");
beforeAll(async () => {
  registry = await dockerRegistry(directory);
  for (const [name, content] of Object.entries(FILES)) {
    mkdirSync(join(work, name, ".."), { recursive: true });
    writeFileSync(join(work, name), content);
  }
  if (!hasProgram("go", "version")) return;
  await buildPeers(directory, "oras");
  oras = join(directory, "oras");
});

beforeEach((context) => {
  requirePeer(context, "oras", oras !== undefined);
});

/** Runs oras, and expects it to succeed. */
async function orasDo(args: readonly string[], cwd: string): Promise<string> {
  const { status, stdout, stderr } = await run(oras ?? "", args, { cwd });
  expect({ args, status, stderr }).toMatchObject({ status: 0 });
  return stdout.toString();
}

async function ocicryptDo(args: readonly string[], cwd = work): Promise<void> {
  const { status, stderr } = await ocicrypt(args, { cwd });
  expect({ args, status, stderr }).toMatchObject({ status: 0 });
}

const at = (name: string): string => `${registry.host}/${name}`;

async function manifestOf(name: string): Promise<Record<string, unknown>> {
  const text = await orasDo(["manifest", "fetch", "--plain-http", at(name)], work);
  return JSON.parse(text) as Record<string, unknown>;
}

describe("an artifact of files", () => {
  beforeAll(async () => {
    const type = ["--artifact-type", ARTIFACT_TYPE];
    await ocicryptDo(["push", `docker://${at("secret:1")}`, ...NAMES, ...RECIPIENT, ...type]);
  });

  it("is pulled by oras as ciphertext, under the names of the files", async () => {
    const to = join(directory, "ciphertext");
    await orasDo(["pull", "--plain-http", "-o", to, at("secret:1")], directory);
    for (const [name, content] of Object.entries(FILES)) {
      const pulled = readFileSync(join(to, name));
      expect(pulled).toHaveLength(content.byteLength);
      expect(pulled.equals(content)).toBe(false);
    }
  });

  it("is pulled as the files that were pushed", async () => {
    const to = join(directory, "files");
    await ocicryptDo(["pull", `docker://${at("secret:1")}`, ...KEY, "-o", to]);
    for (const [name, content] of Object.entries(FILES)) {
      expect(readFileSync(join(to, name)).equals(content)).toBe(true);
    }
  });

  it("becomes by decryption what oras makes of the files", async () => {
    const type = ["--artifact-type", ARTIFACT_TYPE];
    await orasDo(["push", "--plain-http", ...type, at("plain:1"), ...NAMES], work);
    await ocicryptDo([
      "decrypt",
      `docker://${at("secret:1")}`,
      `docker://${at("opened:1")}`,
      ...KEY,
    ]);
    const [expected, opened] = [await manifestOf("plain:1"), await manifestOf("opened:1")];
    expect(Object.keys(opened)).toEqual(Object.keys(expected));
    const timeless = { annotations: undefined };
    expect({ ...opened, ...timeless }).toEqual({ ...expected, ...timeless });
    const to = join(directory, "opened");
    await orasDo(["pull", "--plain-http", "-o", to, at("opened:1")], directory);
    for (const [name, content] of Object.entries(FILES)) {
      expect(readFileSync(join(to, name)).equals(content)).toBe(true);
    }
  });
});

it("an artifact that oras made is encrypted, and pulled as its files", async () => {
  await orasDo(["push", "--plain-http", at("made:1"), ...NAMES], work);
  await ocicryptDo([
    "encrypt",
    `docker://${at("made:1")}`,
    `docker://${at("made:enc")}`,
    ...RECIPIENT,
  ]);
  const to = join(directory, "made");
  await ocicryptDo(["pull", `docker://${at("made:enc")}`, ...KEY, "--output", to]);
  for (const [name, content] of Object.entries(FILES)) {
    expect(readFileSync(join(to, name)).equals(content)).toBe(true);
  }
});
