import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, type TestContext } from "vitest";
import { dockerRegistry, stopRegistries } from "../registry/docker-registry.js";
import { layerOf, layoutOf, TAR } from "../support/image.js";
import { archive, pax, rawEntry } from "../support/tar.js";
import {
  hasProgram,
  keyFile,
  ocicrypt,
  requirePeer,
  run,
  temporaryDirectory,
  VECTORS,
} from "./peers.js";

stopRegistries();

const LAYOUTS = join(VECTORS, "peers/layouts");
const root = temporaryDirectory();
const directory = (): string => mkdtempSync(join(root, "d"));

const IS_ROOT = process.getuid?.() === 0;

function requirePeers(context: TestContext): void {
  requirePeer(context, "skopeo", hasProgram("skopeo", "--version"));
  requirePeer(context, "umoci", hasProgram("umoci", "--version"));
  requirePeer(context, "root", IS_ROOT);
}

async function succeed(program: string, ...args: readonly string[]): Promise<Buffer> {
  const { status, stdout, stderr } = await run(program, args);
  expect([program, status, status === 0 ? "" : stderr]).toEqual([program, 0, ""]);
  return stdout;
}

async function command(...args: readonly string[]): Promise<Buffer> {
  const { status, stdout, stderr } = await ocicrypt(args);
  expect([status, status === 0 ? "" : stderr]).toEqual([0, ""]);
  return stdout;
}

/** Everything about the files below a directory that an archive can say, one line for each. */
function describeTree(path: string, withTimesOfDirectories: boolean): string[] {
  const common = String.raw`%P %y %m %U %G %l`;
  const directories = withTimesOfDirectories ? String.raw` %T@` : "";
  const find = [".", "(", "-type", "d", "-printf", `${common}${directories}\\n`, ")", "-o"];
  const files = ["-printf", `${common} %s %n %T@\\n`];
  const listed = execFileSync("find", [...find, ...files], { cwd: path }).toString();
  const sums = execFileSync("sh", ["-c", "find . -type f -print0 | sort -z | xargs -0r sha256sum"], { cwd: path }); // prettier-ignore
  return [...listed.trimEnd().split("\n").sort(), ...sums.toString().trimEnd().split("\n")];
}

/** The files of an image after skopeo has decrypted and umoci has unpacked it. */
async function unpackedByPeers(image: string, key: string | undefined): Promise<string> {
  const [plain, bundle] = [join(directory(), "plain"), join(directory(), "bundle")];
  const keys = key === undefined ? [] : ["--decryption-key", key];
  await succeed("skopeo", "copy", "-q", "--insecure-policy", ...keys, image, `oci:${plain}:latest`);
  await succeed("umoci", "unpack", "--image", `${plain}:latest`, bundle);
  return join(bundle, "rootfs");
}

async function exported(image: string, key: string | undefined): Promise<string> {
  const to = directory();
  // As umoci makes it for an image without an entry for the root.
  chmodSync(to, 0o755);
  const keys = key === undefined ? [] : ["-k", key];
  const file = join(directory(), "root.tar");
  writeFileSync(file, await command("export", image, ...keys));
  await succeed("tar", "-xpf", file, "-C", to);
  return to;
}

describe("fixtures of skopeo", () => {
  it.for([
    ["skopeo-1.9.3/jwe-rsa2048-pem", "rsa2048.pkcs8.pem"],
    ["skopeo-1.9.3/layer-1", "rsa2048.pkcs8.pem"],
    ["skopeo-1.9.3/jwe-multi-5", "ec384.pkcs8.pem"],
    ["skopeo-1.9.3/mixed-jwe-pkcs7-pgp", "rsa2048.pkcs8.pem"],
    ["ocicrypt-1.3.2/mixed-jwe-pkcs7-pgp", "rsa2048.pkcs8.pem"],
    ["ocicrypt-1.3.2/jwe-ec256-pem", "ec256.pkcs8.pem"],
    ["ocicrypt-1.3.2/jwe-multi-rsa-ec", "ec256.pkcs8.pem"],
    ["ocicrypt-1.3.2/jwe-ec521-jwk-ECDH-ES_A256KW", "ec521.pkcs8.pem"],
    ["ocicrypt-1.3.2/jwe-rsa2048-jwk-RSA-OAEP-256", "rsa2048.pkcs8.pem"],
  ])("%s has the files that skopeo and umoci find", async ([name = "", key = ""], context) => {
    requirePeers(context);
    const image = `oci:${LAYOUTS}/${name}:latest`;
    const expected = await unpackedByPeers(image, keyFile(key));
    expect(describeTree(await exported(image, keyFile(key)), false)).toEqual(
      describeTree(expected, false),
    );
    const list = (await command("ls", image, "-R", "--json", "-k", keyFile(key))).toString();
    const { files } = JSON.parse(list) as { files: { path: string; type: string }[] };
    for (const { path } of files.filter(({ type }) => type === "file")) {
      const content = await command("cat", image, path, "-k", keyFile(key));
      expect(content.equals(execFileSync("cat", [join(expected, path)]))).toBe(true);
    }
  });
});

/** Makes an image of several layers with umoci, which writes whiteouts for what is deleted. */
async function builtByUmoci(): Promise<string> {
  const layout = join(directory(), "layout");
  await succeed("umoci", "init", "--layout", layout);
  await succeed("umoci", "new", "--image", `${layout}:latest`);
  const steps = [
    `mkdir -p etc usr/bin var/lib/dpkg old/deep && echo 'Package: a' > var/lib/dpkg/status &&
     echo one > etc/one && chmod 600 etc/one && chown 1000:100 etc/one && ln -s usr/bin bin &&
     ln etc/one etc/hard && ln -s ../etc/one usr/link && mkfifo etc/pipe && mknod etc/null c 1 3 &&
     printf x > "etc/$(printf 'n%.0s' $(seq 200))" && touch -d '2001-02-03 04:05:06.789' etc/dated &&
     echo gone > old/deep/file && chmod 4755 usr/bin && chmod 1777 var && printf x > 'etc/grüße'`,
    `rm -r old && echo two > etc/one && mkdir new && echo n > bin/new && rm usr/link && mkdir usr/link`,
    `rm etc/hard && mkdir old && echo again > old/file && chmod 700 new && echo 'Package: b' >> var/lib/dpkg/status`,
  ];
  for (const step of steps) {
    const bundle = join(directory(), "bundle");
    await succeed("umoci", "unpack", "--image", `${layout}:latest`, bundle);
    execFileSync("sh", ["-c", step], { cwd: join(bundle, "rootfs") });
    await succeed("umoci", "repack", "--image", `${layout}:latest`, bundle);
    rmSync(bundle, { recursive: true });
  }
  return `oci:${layout}:latest`;
}

/** An image whose layers have what umoci does not write. */
async function builtByHand(): Promise<string> {
  const path = directory();
  const time = 1_600_000_000;
  const dir = (name: string): Buffer => rawEntry({ name, type: "5", mode: 0o755, mtime: time });
  const layers = [
    [
      dir("./"),
      dir("a"),
      rawEntry({ name: "a/x", mtime: time }, "x"),
      rawEntry({ name: "a/y" }, "y"),
    ],
    [dir("a"), rawEntry({ name: "a/new" }, "n"), rawEntry({ name: "a/.wh..wh..opq" })],
    [
      rawEntry({ name: "l", type: "2", target: "/a", mode: 0o777 }),
      rawEntry({ name: "l/via" }, "v"),
    ],
    [rawEntry({ name: "a/h", type: "1", target: "a/new" }), rawEntry({ name: "../../up" }, "u")],
    [pax([["GNU.sparse.map", "2,2"], ["GNU.sparse.size", "9"], ["GNU.sparse.major", "0"], ["GNU.sparse.minor", "1"], ["GNU.sparse.numblocks", "1"]]), rawEntry({ name: "sparse" }, "ab")], // prettier-ignore
  ];
  await layoutOf(path, layers.map((entries) => layerOf(archive(...entries), { mediaType: TAR }))); // prettier-ignore
  return `oci:${path}`;
}

describe("images that are encrypted here", () => {
  it.for([
    ["by umoci", builtByUmoci, true],
    ["by hand", builtByHand, false],
  ] as const)(
    "and built %s have the files that skopeo and umoci find",
    async ([, build, withTimes], context) => {
      requirePeers(context);
      const plain = await build();
      const encrypted = `oci:${join(directory(), "encrypted")}:latest`;
      await command("encrypt", plain, encrypted, "-r", `jwe:${keyFile("rsa2048.pub.pem")}`);
      const key = keyFile("rsa2048.pkcs8.pem");
      const expected = describeTree(await unpackedByPeers(encrypted, key), withTimes);
      expect(expected.length).toBeGreaterThan(5);
      expect(describeTree(await exported(encrypted, key), withTimes)).toEqual(expected);
      expect(describeTree(await exported(plain, undefined), withTimes)).toEqual(expected);
    },
  );
});

it("a scanner with a key reads the packages of an image in a registry", async (context) => {
  requirePeers(context);
  requirePeer(context, "docker-registry", hasProgram("docker-registry", "--version"));
  const { host } = await dockerRegistry(directory());
  const image = `docker://${host}/app:1`;
  const plain = await builtByUmoci();
  await succeed("skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", "--encryption-key", `jwe:${keyFile("rsa2048.pub.pem")}`, plain, image); // prettier-ignore
  const arguments_ = [image, "/var/lib/dpkg/status", "-k", keyFile("rsa2048.pkcs8.pem")];
  expect((await command("cat", ...arguments_)).toString()).toBe("Package: a\nPackage: b\n");
  const { status, stdout, stderr } = await ocicrypt(["cat", image, "/var/lib/dpkg/status"]);
  expect([status, stdout.length]).toEqual([3, 0]);
  expect(stderr).toContain("NO_KEYS");
});
