import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it, type TestContext } from "vitest";
import { dockerRegistry, stopRegistries } from "../registry/docker-registry.js";
import { digestOf, layerOf, layoutOf, TAR } from "../support/image.js";
import { archive, packWith, pax, rawEntry } from "../support/tar.js";
import {
  hasProgram,
  keyFile,
  ocicrypt,
  requirePeer,
  succeed,
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
  requirePeer(context, "python3", hasProgram("python3", "--version"));
  requirePeer(context, "root", IS_ROOT);
}

async function command(args: readonly string[], env = {}): Promise<Buffer> {
  const { status, stdout, stderr } = await ocicrypt(args, { env });
  expect([status, status === 0 ? "" : stderr]).toEqual([0, ""]);
  return stdout;
}

/** The extended attributes of all files below a directory, which Node.js cannot read. */
const READ_XATTRS = `
import json, os, sys
root, found = os.fsencode(sys.argv[1]), {}
for place, directories, files in os.walk(root):
    for name in [b"."] + directories + files:
        path = os.path.join(place, name)
        names = os.listxattr(path, follow_symlinks=False)
        values = [(each, os.getxattr(path, each, follow_symlinks=False).hex()) for each in names]
        if values: found[os.path.relpath(path, root).decode("latin1")] = sorted(values)
print(json.dumps(found))`;

/** Everything about the files below a directory that an archive can say, one line for each. */
function describeTree(root: string, withTimesOfDirectories: boolean): string[] {
  const output = execFileSync("python3", ["-c", READ_XATTRS, root], { encoding: "utf8" });
  const xattrs = JSON.parse(output) as Record<string, unknown>;
  const firstNames = new Map<bigint, string>();
  const list = execFileSync("find", [".", "-print0"], { cwd: root, encoding: "latin1" });
  const names = list.split("\0").slice(0, -1);
  return names.sort().map((name) => {
    const path = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name, "latin1")]);
    const stat = lstatSync(path, { bigint: true });
    const first = firstNames.get(stat.ino) ?? name;
    firstNames.set(stat.ino, first);
    const { mode, uid, gid, mtimeNs, rdev } = stat;
    const isDirectory = stat.isDirectory();
    return JSON.stringify({
      ...{ name, mode: mode.toString(8), uid: String(uid), gid: String(gid) },
      xattrs: xattrs[name.replace("./", "")],
      ...((!isDirectory || withTimesOfDirectories) && { time: String(mtimeNs) }),
      ...(!isDirectory && { device: String(rdev), links: String(stat.nlink), first }),
      ...(stat.isSymbolicLink() && { target: readlinkSync(path, "latin1") }),
      ...(stat.isFile() && { size: String(stat.size), content: digestOf(readFileSync(path)) }),
    });
  });
}

/** The files of an image after skopeo has decrypted and umoci has unpacked it. */
async function unpackedByPeers(image: string, keys: readonly string[]): Promise<string> {
  const [plain, bundle] = [join(directory(), "plain"), join(directory(), "bundle")];
  const given = keys.flatMap((key) => ["--decryption-key", keyForSkopeo(key)]);
  const copy = ["copy", "-q", "--insecure-policy", ...given, image, `oci:${plain}:latest`];
  await succeed("skopeo", copy);
  await succeed("umoci", ["unpack", "--image", `${plain}:latest`, bundle]);
  return join(bundle, "rootfs");
}

/** Debian's skopeo also opens a file whose name has the password behind it. */
function keyForSkopeo(key: string): string {
  const [file = "", password] = key.split(":");
  if (password === undefined) return key;
  const copy = join(directory(), "key");
  copyFileSync(file, copy);
  writeFileSync(`${copy}:${password}`, "");
  return `${copy}:${password}`;
}

async function exported(image: string, keys: readonly string[], env = {}): Promise<string> {
  const to = directory();
  // As umoci makes it for an image without an entry for the root.
  chmodSync(to, 0o755);
  const file = join(directory(), "root.tar");
  writeFileSync(file, await command(["export", image, ...options(keys)], env));
  await succeed("tar", ["--xattrs", "--xattrs-include=*", "-xpf", file, "-C", to]);
  return to;
}

const options = (keys: readonly string[]): string[] => keys.flatMap((key) => ["-k", key]);

/** The private keys that open each layout of `vectors/peers`; those of PKCS#7 have a certificate. */
const FIXTURES: [string, string[]][] = [
  ["skopeo-1.9.3/jwe-rsa2048-pem", ["rsa2048.pkcs8.pem"]],
  ["skopeo-1.9.3/layer-1", ["rsa2048.pkcs8.pem"]],
  ["skopeo-1.9.3/jwe-multi-5", ["ec384.pkcs8.pem"]],
  ["skopeo-1.9.3/pkcs7-multi", ["rsa4096.pkcs8.pem", "cert-rsa4096.pem"]],
  ["skopeo-1.9.3/pgp-rsa2048", ["pgp/rsa2048.sec.gpg"]],
  ["skopeo-1.9.3/mixed-jwe-pkcs7-pgp", ["rsa2048.pkcs8.pem"]],
  ["ocicrypt-1.3.2/mixed-jwe-pkcs7-pgp", ["pgp/rsa2048.sec.gpg"]],
  ["ocicrypt-1.3.2/jwe-ec256-pem", ["ec256.pkcs8.pem"]],
  ["ocicrypt-1.3.2/jwe-multi-rsa-ec", ["ec256.pkcs8.pem"]],
  ["ocicrypt-1.3.2/jwe-ec521-jwk-ECDH-ES_A256KW", ["ec521.pkcs8.pem"]],
  ["ocicrypt-1.3.2/jwe-rsa2048-jwk-RSA-OAEP-256", ["rsa2048.pkcs8.pem"]],
  ["ocicrypt-1.3.2/pkcs7-rsa3072", ["rsa3072.pkcs8.pem", "cert-rsa3072.pem"]],
  ["ocicrypt-1.3.2/pgp-cv25519", ["pgp/cv25519.sec.gpg"]],
  ["ocicrypt-1.3.2/pgp-pass", ["pgp/pass.sec.gpg:pass=secret"]],
  ["ocicrypt-1.3.2/keyprovider-cmd", ["provider:spike"]],
  ["plain", []],
];

/** Opens the wrapped keys of the fixture's key provider, as its README describes them. */
const PROVIDER = `#!${process.execPath}
const { createDecipheriv, createHash } = require("node:crypto");
const request = JSON.parse(require("node:fs").readFileSync(0));
const base64 = (text) => Buffer.from(text, "base64");
const annotation = JSON.parse(base64(request.keyunwrapparams.annotation));
const wrapped = base64(annotation.wrapped_key);
const key = createHash("sha256").update("spike").digest();
const cipher = createDecipheriv("aes-256-gcm", key, base64(annotation.iv));
cipher.setAuthTag(wrapped.subarray(-16));
const optsdata = Buffer.concat([cipher.update(wrapped.subarray(0, -16)), cipher.final()]);
console.log(JSON.stringify({ keyunwrapresults: { optsdata: optsdata.toString("base64") } }));
`;

function providerConfig(): string {
  const [program, config] = [join(directory(), "provider.cjs"), join(directory(), "config.json")];
  writeFileSync(program, PROVIDER, { mode: 0o755 });
  writeFileSync(config, JSON.stringify({ "key-providers": { spike: { cmd: { path: program } } } }));
  return config;
}

describe("fixtures of peers", () => {
  /** Debian's skopeo takes neither keys on Curve25519 nor key providers. These are copies of the plain image. */
  const NOT_IN_SKOPEO = ["ocicrypt-1.3.2/pgp-cv25519", "ocicrypt-1.3.2/keyprovider-cmd"];

  it("are all compared, except one that needs a PKCS#11 module", () => {
    const all = ["skopeo-1.9.3", "ocicrypt-1.3.2"].flatMap((peer) =>
      readdirSync(join(LAYOUTS, peer)).map((name) => `${peer}/${name}`),
    );
    const left = all.filter((name) => !FIXTURES.some(([each]) => each === name));
    expect(left).toEqual(["ocicrypt-1.3.2/pkcs11-pub-rsa2048-sha1"]);
  });

  it.for(FIXTURES)(
    "%s has the files that skopeo and umoci find",
    async ([name, files], context) => {
      requirePeers(context);
      const image = `oci:${LAYOUTS}/${name}:latest`;
      const keys = files.map((file) => (file.startsWith("provider:") ? file : keyFile(file)));
      const env = { OCICRYPT_KEYPROVIDER_CONFIG: providerConfig() };
      const expected = NOT_IN_SKOPEO.includes(name)
        ? await unpackedByPeers(`oci:${LAYOUTS}/plain:latest`, [])
        : await unpackedByPeers(image, keys);
      expect(describeTree(await exported(image, keys, env), false)).toEqual(
        describeTree(expected, false),
      );
      const list = await command(["ls", image, "-R", "--json", ...options(keys)], env);
      const found = JSON.parse(list.toString()) as { files: { path: string; type: string }[] };
      const paths = found.files.filter(({ type }) => type === "file").map(({ path }) => path);
      expect(paths.length).toBeGreaterThan(0);
      const contents = await command(["cat", image, ...paths, ...options(keys)], env);
      expect(
        contents.equals(Buffer.concat(paths.map((path) => readFileSync(join(expected, path))))),
      ).toBe(true);
    },
  );
});

/** `cap_net_raw+ep`, as the kernel stores it: linux/capability.h, `struct vfs_cap_data`. */
const CAPABILITY = "0100000200200000000000000000000000000000";

/** A shell command that sets attributes: of a file, by a name, to bytes in hexadecimal. */
function setXattrs(...attributes: readonly (readonly string[])[]): string {
  const program = "import os, sys; [os.setxattr(f, n, bytes.fromhex(v)) for f, n, v in zip(*[iter(sys.argv[1:])] * 3)]"; // prettier-ignore
  return `python3 -c '${program}' ${attributes.flat().join(" ")}`;
}

/** Makes an image of several layers with umoci, which writes whiteouts for what is deleted. */
async function builtByUmoci(): Promise<string> {
  const layout = join(directory(), "layout");
  await succeed("umoci", ["init", "--layout", layout]);
  await succeed("umoci", ["new", "--image", `${layout}:latest`]);
  const steps = [
    `mkdir -p etc usr/bin var/lib/dpkg old/deep && echo 'Package: a' > var/lib/dpkg/status &&
     echo one > etc/one && chmod 600 etc/one && chown 1000:100 etc/one && ln -s usr/bin bin &&
     ln etc/one etc/hard && ln -s ../etc/one usr/link && mkfifo etc/pipe && mknod etc/null c 1 3 &&
     printf x > "etc/$(printf 'n%.0s' $(seq 200))" && touch -d '2001-02-03 04:05:06.789' etc/dated &&
     echo gone > old/deep/file && chmod 4755 usr/bin && chmod 1777 var && printf x > 'etc/grüße'`,
    `rm -r old && echo two > etc/one && mkdir new && echo n > bin/new && rm usr/link && mkdir usr/link &&
     ${setXattrs(["etc/one", "user.note", "00ff"], ["etc/one", "security.capability", CAPABILITY], ["new", "trusted.mark", "61"])}`,
    `rm etc/hard && mkdir old && echo again > old/file && chmod 700 new && echo 'Package: b' >> var/lib/dpkg/status`,
  ];
  for (const step of steps) {
    const bundle = join(directory(), "bundle");
    await succeed("umoci", ["unpack", "--image", `${layout}:latest`, bundle]);
    execFileSync("sh", ["-c", step], { cwd: join(bundle, "rootfs") });
    await succeed("umoci", ["repack", "--image", `${layout}:latest`, bundle]);
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

/** An image whose layers delete and replace what is in the layers below. */
async function builtOfWhiteouts(): Promise<string> {
  const time = { mtime: 1_600_000_000 };
  const dir = (name: string, mode = 0o755): Buffer => rawEntry({ name, type: "5", mode, ...time });
  const file = (name: string, content = name): Buffer => rawEntry({ name, ...time }, content);
  const link = (name: string, target: string): Buffer => rawEntry({ name, type: "1", target, ...time }); // prettier-ignore
  const symlink = (name: string, target: string): Buffer => rawEntry({ name, type: "2", target, mode: 0o777, ...time }); // prettier-ignore
  const layers = [
    [
      ...[dir("./"), dir("d"), file("d/x"), file("d/y"), dir("o"), dir("o/sub"), file("o/sub/z")],
      ...[file("h1"), link("h2", "h1"), link("h3", "./h1"), symlink("s", "d"), file("f")],
      ...[dir("gone"), file("gone/a"), link("link-to-link", "s"), file(".who"), dir("again")],
      ...[file("again/old"), rawEntry({ name: "null", type: "3", devmajor: 1, devminor: 3 })],
      ...[rawEntry({ name: "disk", type: "4", devmajor: 8, devminor: 300 }), file("kept")],
    ],
    [
      ...[file(".wh.h1"), file("d/.wh.x"), dir("o", 0o700), file("o/before")],
      ...[file("o/.wh..wh..opq", ""), file("o/after"), file(".wh.gone"), file(".wh.none")],
      ...[
        link("h4", "h2"),
        link("d/to-kept", "/kept"),
        rawEntry({ name: ".wh..wh.aufs", ...time }),
      ],
    ],
    [
      ...[file(".wh.f"), dir("f"), file("f/inside"), file("gone", "now a file"), file("s/via")],
      ...[file(".wh.again"), dir("again", 0o711), file("again/new"), file("h2", "changed")],
      ...[file("missing/parent/file"), file(".wh.null"), symlink("dangling", "/nowhere")],
    ],
  ];
  const path = directory();
  await layoutOf(path, layers.map((entries) => layerOf(archive(...entries), { mediaType: TAR }))); // prettier-ignore
  return `oci:${path}`;
}

/** An image with a layer for each way in which GNU tar and bsdtar write what needs more than a header. */
async function builtByTar(): Promise<string> {
  const long = "l".repeat(120);
  const make = `mkdir -p ${long}/${long}/${long} && echo deep > ${long}/${long}/${long}/${long} &&
    ln -s /${long}/${long}/${long}/${long} long-target && ln ${long}/${long}/${long}/${long} hard &&
    echo big > owner && chown 3000000:3000000000 owner && touch -d '1960-01-02 03:04:05.25' owner &&
    printf x > grüße && echo a | dd of=sparse bs=1 seek=3M status=none && truncate -s 5M sparse &&
    truncate -s 1M empty && mknod fifo p && mknod node b 259 1234 &&
    ${setXattrs(["owner", "user.note", "00ff0a3d"], ["sparse", "security.capability", CAPABILITY])}`;
  const writers = [
    // umoci does not know the sparse files of this format.
    ["tar", "--format=gnu"],
    ["tar", "--format=posix", "--sparse", "--xattrs", "--xattrs-include=*"],
    ["tar", "--format=posix", "--sparse", "--sparse-version=0.0"],
    ["tar", "--format=posix", "--sparse", "--sparse-version=0.1"],
    ["bsdtar", "--format=pax", "--xattrs"],
    ["bsdtar", "--format=gnutar"],
  ];
  const layers = writers.map(([program = "", ...how], i) => {
    const root = directory();
    execFileSync("sh", ["-c", `mkdir ${String(i)} && cd ${String(i)} && ${make}`], { cwd: root });
    return layerOf(packWith(program, root, ...how), { mediaType: TAR });
  });
  const path = directory();
  await layoutOf(path, layers);
  return `oci:${path}`;
}

/** The images of builders whose layers hold files. */
const BUILDERS = ["buildkit", "jib", "jib-docker", "ko"].map(
  (name) => [`by ${name}`, () => Promise.resolve(`oci:${VECTORS}peers/builders:${name}`), false] as const, // prettier-ignore
);

describe("images that are encrypted here", () => {
  it.for([
    ["by umoci", builtByUmoci, true],
    ["by hand", builtByHand, false],
    ["of whiteouts", builtOfWhiteouts, false],
    ["by tar", builtByTar, true],
    ...BUILDERS,
  ] as const)(
    "and built %s have the files that skopeo and umoci find",
    async ([, build, withTimes], context) => {
      requirePeers(context);
      const plain = await build();
      const encrypted = `oci:${join(directory(), "encrypted")}:latest`;
      await command(["encrypt", plain, encrypted, "-r", `jwe:${keyFile("rsa2048.pub.pem")}`]);
      const keys = [keyFile("rsa2048.pkcs8.pem")];
      const expected = describeTree(await unpackedByPeers(encrypted, keys), withTimes);
      expect(expected.length).toBeGreaterThan(3);
      // The images with times also have attributes.
      expect(expected.some((line) => line.includes("security.capability"))).toBe(withTimes);
      expect(describeTree(await exported(encrypted, keys), withTimes)).toEqual(expected);
      expect(describeTree(await exported(plain, []), withTimes)).toEqual(expected);
    },
  );
});

it("a scanner with a key reads the packages of an image in a registry", async (context) => {
  requirePeers(context);
  requirePeer(context, "docker-registry", hasProgram("docker-registry", "--version"));
  const { host } = await dockerRegistry(directory());
  const image = `docker://${host}/app:1`;
  const plain = await builtByUmoci();
  const recipient = ["--encryption-key", `jwe:${keyFile("rsa2048.pub.pem")}`];
  const how = ["-q", "--insecure-policy", "--dest-tls-verify=false", ...recipient];
  await succeed("skopeo", ["copy", ...how, plain, image]);
  const arguments_ = [image, "/var/lib/dpkg/status", "-k", keyFile("rsa2048.pkcs8.pem")];
  expect((await command(["cat", ...arguments_])).toString()).toBe("Package: a\nPackage: b\n");
  const { status, stdout, stderr } = await ocicrypt(["cat", image, "/var/lib/dpkg/status"]);
  expect([status, stdout.length]).toEqual([3, 0]);
  expect(stderr).toContain("NO_KEYS");
});
