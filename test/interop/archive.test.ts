import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { decryptImage, encryptImage } from "../../src/image/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { archiveDestination } from "../../src/store/archive/destination.js";
import { archiveSource } from "../../src/store/archive/source.js";
import { layoutSource } from "../../src/store/layout/source.js";
import {
  hasProgram,
  keyFile,
  layoutLayers,
  PLAIN_LAYOUT,
  requirePeer,
  run,
  temporaryDirectory,
} from "./peers.js";

const directory = temporaryDirectory();
const recipients = [jwe.recipient(readFileSync(keyFile("ec256.pub.pem")))];
const keys = [jwe.key(readFileSync(keyFile("ec256.pkcs8.pem")))];

/** Runs a program that must say nothing. */
async function succeed(program: string, ...args: string[]): Promise<Buffer> {
  const result = await run(program, args);
  expect(result, [program, ...args].join(" ")).toMatchObject({ status: 0, stderr: "" });
  return result.stdout;
}

/** The plain image, encrypted here into an archive. */
async function encryptedArchive(name: string, tag?: string): Promise<string> {
  const path = join(directory, name);
  const destination = await archiveDestination({ path, ...(tag !== undefined && { tag }) });
  await encryptImage(layoutSource({ path: PLAIN_LAYOUT }), destination, { recipients });
  return path;
}

const plainDigest = (
  JSON.parse(readFileSync(join(PLAIN_LAYOUT, "index.json"), "utf8")) as {
    manifests: { digest: string }[];
  }
).manifests[0]!.digest;

describe("skopeo of Debian", () => {
  const isThere = hasProgram("skopeo", "--version");

  it.for([undefined, "latest"])("decrypts an archive of ours, tagged %s", async (tag, context) => {
    requirePeer(context, "skopeo", isThere);
    const archive = await encryptedArchive(`ours-${String(tag)}.tar`, tag);
    const decrypted = join(directory, `skopeo-${String(tag)}`);
    await succeed(
      ...(["skopeo", "copy", "--quiet", "--decryption-key", keyFile("ec256.pkcs8.pem")] as const),
      ...[`oci-archive:${archive}${tag === undefined ? "" : `:${tag}`}`, `oci:${decrypted}`],
    );
    expect(layoutLayers(decrypted)).toEqual(layoutLayers(PLAIN_LAYOUT));
  });

  it("reads an archive that was encrypted and decrypted in place", async (context) => {
    requirePeer(context, "skopeo", isThere);
    const path = join(directory, "in-place.tar");
    await succeed("skopeo", "copy", "-q", `oci:${PLAIN_LAYOUT}`, `oci-archive:${path}:app`);
    const reference = { path, tag: "app" };
    const plain = await archiveSource(reference).resolve();
    const before = join(directory, "in-place-before");
    await succeed("skopeo", "copy", "-q", `oci-archive:${path}:app`, `oci:${before}`);
    const there = await archiveDestination(reference);
    const { image } = await encryptImage(archiveSource(reference), there, { recipients });
    expect(image.digest).not.toBe(plain.digest);
    const raw = await succeed("skopeo", "inspect", "--raw", `oci-archive:${path}:app`);
    expect(`sha256:${createHash("sha256").update(raw).digest("hex")}`).toBe(image.digest);
    const back = await archiveDestination(reference);
    const result = await decryptImage(archiveSource(reference), back, { keys });
    expect(result.image).toEqual(plain);
    const after = join(directory, "in-place-after");
    await succeed("skopeo", "copy", "-q", `oci-archive:${path}:app`, `oci:${after}`);
    expect(layoutLayers(after)).toEqual(layoutLayers(before));
  });

  it("encrypts into an archive that opens here", async (context) => {
    requirePeer(context, "skopeo", isThere);
    const [encrypted, path] = [join(directory, "theirs.tar"), join(directory, "theirs-plain.tar")];
    await succeed(
      ...(["skopeo", "copy", "-q", "--encryption-key", `jwe:${keyFile("ec256.pub.pem")}`] as const),
      ...[`oci:${PLAIN_LAYOUT}`, `oci-archive:${encrypted}`],
    );
    const destination = await archiveDestination({ path });
    const result = await decryptImage(archiveSource({ path: encrypted }), destination, { keys });
    expect(result.layers.map(({ diffId }) => diffId)).toEqual(
      layoutLayers(PLAIN_LAYOUT).map(() => "verified"),
    );
    await succeed("skopeo", "inspect", `oci-archive:${path}`);
  });

  it("writes archives that are not replaced if they hold another image", async (context) => {
    requirePeer(context, "skopeo", isThere);
    const path = join(directory, "other.tar");
    await succeed("skopeo", "copy", "-q", `oci:${PLAIN_LAYOUT}`, `oci-archive:${path}:other`);
    const before = readFileSync(path);
    await expect(archiveDestination({ path, tag: "app" })).rejects.toThrow("other images");
    expect(readFileSync(path).equals(before)).toBe(true);
  });
});

describe("tar", () => {
  const isThere = hasProgram("tar", "--version");
  const isGnu = hasProgram("tar", "--sparse", "--version");

  it("lists and unpacks an archive of ours", async (context) => {
    requirePeer(context, "tar", isThere);
    const archive = await encryptedArchive("listed.tar");
    const names = (await succeed("tar", "-tf", archive)).toString().trim().split("\n");
    const blobs = names.slice(2);
    expect(names.slice(0, 2)).toEqual(["oci-layout", "index.json"]);
    expect(blobs).toEqual([...blobs].sort());
    const unpacked = join(directory, "unpacked");
    await succeed("mkdir", unpacked);
    await succeed("tar", "-xf", archive, "-C", unpacked);
    const hashes = readdirSync(join(unpacked, "blobs", "sha256")).map((name) => [
      createHash("sha256")
        .update(readFileSync(join(unpacked, "blobs/sha256", name)))
        .digest("hex"),
      name,
    ]);
    expect(hashes.length).toBe(blobs.length);
    for (const [hash, name] of hashes) expect(hash).toBe(name);
    const destination = await archiveDestination({ path: join(directory, "repacked.tar") });
    const { image } = await decryptImage(layoutSource({ path: unpacked }), destination, { keys });
    expect(image.digest).toBe(plainDigest);
  });

  it.for([
    ["gnu", "."],
    ["gnu", "blobs", "index.json", "oci-layout"],
    ["ustar", "."],
    ["pax", "."],
    ["pax", "--pax-option=globexthdr.name=g,comment=all", "."],
  ])("packs archives that open here: --format=%s %s", async ([format = "", ...args], context) => {
    requirePeer(context, "GNU tar", isGnu);
    const layout = join(directory, "packed");
    await succeed("rm", "-rf", layout);
    await succeed("cp", "-r", PLAIN_LAYOUT, layout);
    const long = join(layout, "blobs", ..."abcdefg".split("").map((letter) => letter.repeat(20)));
    await succeed("mkdir", "-p", long);
    await succeed("cp", join(layout, "oci-layout"), long);
    const path = join(directory, "packed.tar");
    await succeed("tar", `--format=${format}`, "-cf", path, "-C", layout, ...args);
    const there = await archiveDestination({ path: join(directory, "packed-encrypted.tar") });
    await encryptImage(archiveSource({ path }), there, { recipients });
    const back = await archiveDestination({ path: join(directory, "packed-again.tar") });
    const source = archiveSource({ path: join(directory, "packed-encrypted.tar") });
    const { image } = await decryptImage(source, back, { keys });
    expect(image.digest).toBe(plainDigest);
  });

  it("packs sparse files, which are rejected", async (context) => {
    requirePeer(context, "GNU tar", isGnu);
    const layout = join(directory, "sparse");
    await succeed("cp", "-r", PLAIN_LAYOUT, layout);
    await succeed("truncate", "--size=1M", join(layout, "index.json"));
    for (const format of ["gnu", "pax"]) {
      const path = join(directory, `sparse-${format}.tar`);
      await succeed("tar", "-cSf", path, `--format=${format}`, "-C", layout, ".");
      await expect(archiveSource({ path }).resolve()).rejects.toThrow("sparse file");
    }
  });

  it("packs hard links, which are followed", async (context) => {
    requirePeer(context, "GNU tar", isGnu);
    const layout = join(directory, "linked");
    await succeed("cp", "-r", PLAIN_LAYOUT, layout);
    await succeed("ln", join(layout, "oci-layout"), join(layout, "twin"));
    const path = join(directory, "linked.tar");
    await succeed("tar", "-cf", path, "-C", layout, ".");
    const expected = await layoutSource({ path: layout }).resolve();
    expect(await archiveSource({ path }).resolve()).toEqual(expected);
  });
});
