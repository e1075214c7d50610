import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  dockerRegistry,
  stopRegistries,
  type DockerRegistry,
} from "../registry/docker-registry.js";
import { collect } from "../support/bytes.js";
import {
  digestOf,
  layoutOf,
  putBlob,
  readBlob,
  readEntries,
  readManifest,
  tagged,
  TAR,
  TAR_GZIP,
  TAR_ZSTD,
  writeIndex,
  type Entry,
} from "../support/image.js";
import { decryptLayer } from "../../src/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { startContainerd, stopContainerds, type Containerd } from "./containerd-server.js";
import { hasProgram, IS_CI, keyFile, requirePeer, succeed, temporaryDirectory } from "./peers.js";
import { command, layersFor, makeLayout, mountSecret, pull, runImage } from "./runnable-image.js";

const directory = temporaryDirectory();
stopRegistries();
stopContainerds();

const PROGRAMS = ["containerd", "ctr", "runc", "docker-registry", "skopeo"];

let registry: DockerRegistry;
let containerd: Containerd | undefined;
let why = "";

beforeAll(async () => {
  if (!PROGRAMS.every((program) => hasProgram(program, "--version"))) return;
  registry = await dockerRegistry(directory);
  const keys = mountSecret(directory);
  try {
    const programs = process.env.CONTAINERD_2;
    containerd = await startContainerd(directory, { registry: registry.host, keys, programs });
  } catch (error) {
    if (IS_CI) throw error;
    why = ` (${String(error).slice(0, 300)})`;
  }
});

beforeEach((context) => {
  requirePeer(context, `containerd${why}`, containerd !== undefined);
});

/** Encrypts an image that prints `from NAME`, and pushes it; returns its reference. */
async function pushEncrypted(name: string, mediaType: string, recipient: string): Promise<string> {
  const layout = await makeLayout(directory, name, mediaType);
  const reference = `${registry.host}/${name}:latest`;
  const places = [`oci:${layout}`, `docker://${reference}`];
  await command("encrypt", ...places, "--plain-http", "-r", recipient);
  return reference;
}

const RSA = `jwe:${keyFile("rsa2048.pub.pem")}`;
const FOREIGN = `jwe:${keyFile("rsa3072.pub.pem")}`;
const EC = `jwe:${keyFile("ec256.pub.pem")}`;

describe("an image in a registry", () => {
  it.for([
    ["gzip", TAR_GZIP, RSA],
    ["tar", TAR, EC],
    ["zstd", TAR_ZSTD, RSA],
  ] as const)("of %s layers is pulled by CRI and runs", async ([name, mediaType, recipient]) => {
    const reference = await pushEncrypted(`cri-${name}`, mediaType, recipient);
    await containerd!.criPull(reference);
    expect(await runImage(containerd!, "k8s.io", reference)).toContain(`from cri-${name}`);
  });

  it("is pulled by ctr, which sends no payload, and runs", async () => {
    const reference = await pushEncrypted("ctr", TAR_GZIP, RSA);
    expect((await pull(containerd!, "ctr", reference))[0]).toBe(0);
    expect(await runImage(containerd!, "ctr", reference)).toContain("from ctr");
  });

  it("is refused without a key for it", async () => {
    const reference = await pushEncrypted("foreign", TAR_GZIP, FOREIGN);
    const words = /ocicrypt-decoder: none of the 2 keys opens .*NO_MATCHING_KEY/;
    await expect(containerd!.criPull(reference)).rejects.toThrow(words);
    const [status, message] = await pull(containerd!, "foreign", reference);
    expect(status).toBe(1);
    expect(message).toMatch(words);
  });
});

describe("an archive", () => {
  it("is imported, unpacked and runs", async () => {
    const layout = await makeLayout(directory, "archive");
    const archive = join(directory, "archive.tar");
    await command("encrypt", `oci:${layout}`, `oci-archive:${archive}:archive.test/a:1`, "-r", RSA);
    const { status, stderr } = await containerd!.ctr(
      ...["archive", "images", "import", "--snapshotter", "native", archive],
    );
    expect([status, stderr]).toEqual([0, ""]);
    expect(await runImage(containerd!, "archive", "archive.test/a:1")).toContain("from archive");
  });
});

type Edit = (ciphertext: Buffer, plaintext: Buffer) => { ciphertext: Buffer; plaintext: Buffer };

/**
 * Changes the last layer of an encrypted image in a layout as anyone can who writes to the
 * registry: the digest, the size and the diffID fit the changed content.
 */
async function change(layout: string, edit: Edit): Promise<void> {
  const [entry] = await readEntries(layout);
  const manifest = await readManifest(layout, entry!);
  const config = JSON.parse((await readBlob(layout, manifest.config)).toString()) as ImageConfig;
  const last = manifest.layers.at(-1)!;
  const plain = await decryptPlain(layout, last);
  const changed = edit(await readBlob(layout, last), plain);
  Object.assign(last, await putBlob(layout, changed.ciphertext));
  config.rootfs.diff_ids[config.rootfs.diff_ids.length - 1] = digestOf(changed.plaintext);
  Object.assign(manifest.config, await putBlob(layout, JSON.stringify(config)));
  const stored = await putBlob(layout, JSON.stringify(manifest));
  await writeIndex(layout, [tagged({ ...entry!, ...stored }, "changed.test/a:1")]);
}

interface ImageConfig {
  rootfs: { diff_ids: string[] };
}

/** The plaintext of an encrypted layer, which the attacker knows. */
async function decryptPlain(layout: string, descriptor: Entry): Promise<Buffer> {
  const layer = await decryptLayer(await readBlob(layout, descriptor), {
    descriptor,
    keys: [jwe.key(readFileSync(keyFile("rsa2048.pkcs8.pem")))],
  });
  return collect(layer.stream);
}

/** As much as Go's decoder holds back. */
const HELD_BACK = 10 * 1024;

/** Several at once: a busy machine gives the race its chances. */
const AT_ONCE = 5;

const EDITS = {
  /**
   * A bit in the text of the file, and more bytes at the end: a decoder that writes while it decrypts
   * has written the changed file by then, and its diffID is right.
   */
  forged: (ciphertext: Buffer, plaintext: Buffer) => {
    for (const bytes of [ciphertext, plaintext]) bytes[512]! ^= 1;
    return { ciphertext: Buffer.concat([ciphertext, Buffer.alloc(HELD_BACK)]), plaintext };
  },
  cut: (ciphertext: Buffer, plaintext: Buffer) => {
    return { ciphertext: ciphertext.subarray(0, 1024), plaintext: plaintext.subarray(0, 1024) };
  },
  /** A decoder that verifies first writes nothing, and the image has the diffID of nothing. */
  emptied: (ciphertext: Buffer) => {
    ciphertext[512]! ^= 1;
    return { ciphertext, plaintext: Buffer.alloc(0) };
  },
};

/** Makes a layout with one encrypted layer, which is then changed. */
async function makeChanged(name: string, edit: Edit): Promise<string> {
  const layout = join(directory, name);
  await layoutOf(layout, (await layersFor(name, TAR)).slice(-1));
  const encrypted = `${layout}-encrypted`;
  await command("encrypt", `oci:${layout}`, `oci:${encrypted}`, "-r", RSA);
  await change(encrypted, edit);
  return encrypted;
}

describe("a changed layer", () => {
  // Each time in a namespace of its own: an unpacked layer would not be decrypted again.
  it.for([
    ["forged", 50],
    ["cut", 5],
    ["emptied", 10],
  ] as const)(
    "that is %s is refused %i times of as many",
    { timeout: 300_000 },
    async ([name, times]) => {
      const encrypted = await makeChanged(name, EDITS[name]);
      const archive = join(directory, `${name}.tar`);
      execFileSync("tar", ["-cf", archive, "-C", encrypted, "."]);
      const refuse = async (i: number): Promise<string> => {
        const { status, stderr } = await containerd!.ctr(
          ...[`${name}-${String(i)}`, "images", "import", "--snapshotter", "native", archive],
        );
        return status === 0 ? "accepted" : (/HMAC_MISMATCH/.exec(stderr)?.[0] ?? stderr);
      };
      const messages: string[] = [];
      for (let i = 0; i < times; i += AT_ONCE) {
        const few = Array.from({ length: AT_ONCE }, (_, j) => refuse(i + j));
        messages.push(...(await Promise.all(few)));
      }
      expect(messages).toEqual(Array(times).fill("HMAC_MISMATCH"));
    },
  );

  it("that is forged is refused 50 times of 50 by CRI", { timeout: 300_000 }, async () => {
    const names = Array.from({ length: AT_ONCE }, (_, i) => `cri-forged-${String(i)}`);
    const references: string[] = [];
    for (const name of names) {
      const layout = await makeChanged(name, EDITS.forged);
      const reference = `${registry.host}/${name}:latest`;
      const copy = ["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"];
      await succeed("skopeo", [...copy, `oci:${layout}`, `docker://${reference}`]);
      references.push(reference);
    }
    const refuse = async (reference: string): Promise<string> => {
      try {
        await containerd!.criPull(reference);
        return "accepted";
      } catch (error) {
        return /HMAC_MISMATCH/.exec(String(error))?.[0] ?? String(error);
      }
    };
    const messages: string[] = [];
    while (messages.length < 50) messages.push(...(await Promise.all(references.map(refuse))));
    expect(messages).toEqual(Array(50).fill("HMAC_MISMATCH"));
  });
});
