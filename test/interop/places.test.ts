import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { digestOf, multiPlatform } from "../support/image.js";
import { diffIds, hasProgram, ocicrypt, requirePeer, run, temporaryDirectory, VECTORS } from "./peers.js"; // prettier-ignore

const directory = temporaryDirectory();
const peers = join(VECTORS, "peers");
const plain = join(peers, "layouts", "plain");
const publicKey = join(peers, "keys", "ec256.pub.pem");
const privateKey = join(peers, "keys", "ec256.pkcs8.pem");
const hasSkopeo = hasProgram("skopeo", "--version");

/** A store of podman's own, without a kernel's help. */
const store = join(directory, "podman");
const env = { STORAGE_DRIVER: "vfs", CONTAINERS_STORAGE_CONF: join(directory, "storage.conf") };
let hasPodman = false;

beforeAll(() => {
  mkdirSync(store, { recursive: true });
  execFileSync("sh", [
    "-c",
    `printf '[storage]\\ndriver = "vfs"\\nrunroot = "%s/run"\\ngraphroot = "%s/graph"\\n' "$0" "$0" > "$1"`,
    ...[store, env.CONTAINERS_STORAGE_CONF],
  ]);
  try {
    const options = { env: { ...process.env, ...env }, stdio: "ignore" } as const;
    execFileSync("skopeo", ["copy", `oci:${plain}:latest`, "containers-storage:localhost/app:1"], options); // prettier-ignore
    execFileSync("podman", ["image", "exists", "localhost/app:1"], options);
    hasPodman = true;
  } catch {
    // The tests are skipped by name.
  }
}, 60_000);

/** Encrypts an image into a layout, which skopeo decrypts, and compares its content. */
async function expectReadable(source: string, name: string): Promise<void> {
  const encrypted = `oci:${join(directory, `${name}-encrypted`)}:latest`;
  const result = await ocicrypt(["encrypt", source, encrypted, "-r", `jwe:${publicKey}`], { env });
  expect(result.stderr).not.toContain("error");
  expect(result.status).toBe(0);
  const decrypted = join(directory, `${name}-decrypted`);
  const copy = ["copy", "-q", "--decryption-key", privateKey, encrypted, `oci:${decrypted}:latest`];
  const { status, stderr } = await run("skopeo", copy);
  expect([status, stderr]).toEqual([0, ""]);
  expect(diffIds(decrypted)).toEqual(diffIds(plain));
}

describe("a source that skopeo writes", () => {
  it.for(["docker-archive", "dir"])("%s: is encrypted", async (transport, context) => {
    requirePeer(context, "skopeo", hasSkopeo);
    const path = join(directory, `skopeo-${transport}`);
    const to = transport === "dir" ? `dir:${path}` : `docker-archive:${path}:app:1`;
    const { status, stderr } = await run("skopeo", ["copy", "-q", `oci:${plain}:latest`, to]);
    expect([status, stderr]).toEqual([0, ""]);
    await expectReadable(to, `skopeo-${transport}`);
  });
});

describe("a directory of skopeo's", () => {
  async function skopeo(...args: string[]): Promise<void> {
    const { status, stderr } = await run("skopeo", ["copy", "-q", ...args]);
    // It warns of what its cache knows about the blobs.
    expect(status, stderr).toBe(0);
  }

  async function command(...args: string[]): Promise<void> {
    const { status, stderr } = await ocicrypt(args);
    expect([status, stderr]).toEqual([0, ""]);
  }

  it("is written as skopeo writes it, and read by skopeo", async (context) => {
    requirePeer(context, "skopeo", hasSkopeo);
    const own = join(directory, "dir-own");
    await command("encrypt", "-q", `oci:${plain}:latest`, `dir:${own}`, "-r", `jwe:${publicKey}`);
    const theirs = join(directory, "dir-theirs");
    await skopeo(`dir:${own}`, `dir:${theirs}`);
    expect(contentOf(theirs)).toEqual(contentOf(own));
    const decrypted = join(directory, "dir-decrypted");
    await skopeo("--decryption-key", privateKey, `dir:${own}`, `oci:${decrypted}:latest`);
    expect(diffIds(decrypted)).toEqual(diffIds(plain));
  });

  it("is changed in place, and read by skopeo before and after", async (context) => {
    requirePeer(context, "skopeo", hasSkopeo);
    const path = join(directory, "dir-changed");
    await skopeo(`oci:${plain}:latest`, `dir:${path}`);
    const before = contentOf(path);
    await command("encrypt", "-q", `dir:${path}`, `dir:${path}`, "-r", `jwe:${publicKey}`);
    const decrypted = join(directory, "dir-changed-decrypted");
    await skopeo("--decryption-key", privateKey, `dir:${path}`, `oci:${decrypted}:latest`);
    expect(diffIds(decrypted)).toEqual(diffIds(plain));
    await command("decrypt", "-q", `dir:${path}`, `dir:${path}`, "-k", privateKey);
    expect(contentOf(path)).toEqual(before);
    await skopeo(`dir:${path}`, `oci:${join(directory, "dir-changed-again")}:latest`);
  });

  it("with all platforms of an image comes from skopeo and goes to it", async (context) => {
    requirePeer(context, "skopeo", hasSkopeo);
    const layout = join(directory, "platforms");
    await multiPlatform(layout);
    const path = join(directory, "dir-platforms");
    await skopeo("--all", `oci:${layout}`, `dir:${path}`);
    const encrypted = join(directory, "dir-platforms-encrypted");
    await command("encrypt", "-q", `dir:${path}`, `dir:${encrypted}`, "-r", `jwe:${publicKey}`);
    const theirs = join(directory, "dir-platforms-theirs");
    await skopeo("--all", `dir:${encrypted}`, `dir:${theirs}`);
    expect(contentOf(theirs)).toEqual(contentOf(encrypted));
    const again = join(directory, "dir-platforms-again");
    await command("decrypt", "-q", `dir:${theirs}`, `dir:${again}`, "-k", privateKey);
    expect(contentOf(again)).toEqual(contentOf(path));
  });
});

/** The files of a directory, with their digests. */
function contentOf(path: string): Record<string, string> {
  const names = readdirSync(path).sort();
  return Object.fromEntries(names.map((name) => [name, digestOf(readFileSync(join(path, name)))]));
}

describe("a source that podman writes", () => {
  it.for(["docker-archive", "oci-archive", "docker-dir"])(
    "save --format %s",
    async (format, context) => {
      requirePeer(context, "a store of podman", hasPodman);
      const path = join(directory, `podman-${format}`);
      const save = ["save", "-q", "--format", format, "-o", path, "localhost/app:1"];
      const { status, stderr } = await run("podman", save, { env });
      expect([status, stderr]).toEqual([0, ""]);
      const transport = format.endsWith("-dir") ? "dir" : format;
      await expectReadable(`${transport}:${path}`, `podman-${format}`);
    },
  );

  it("containers-storage: is read by way of it", async (context) => {
    requirePeer(context, "a store of podman", hasPodman);
    await expectReadable("containers-storage:localhost/app:1", "containers-storage");
  });
});
