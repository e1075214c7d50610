import { readFile, rm, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { filesBelow, listFiles, type ListFilesOptions } from "../../src/files/list.js";
import { emptyTree } from "../../src/files/tree.js";
import { layoutSource } from "../../src/store/layout/source.js";
import { parseLayoutReference } from "../../src/store/reference.js";
import { collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { openKey } from "../support/layers.js";
import { encrypt } from "../support/operations.js";
import {
  blobFile,
  describedAs,
  digestOf,
  forPlatform,
  layer,
  layerOf,
  layoutOf,
  multiPlatform,
  temporaryDirectories,
  createLayout,
  putIndex,
  putManifest,
  writeIndex,
  DOCKER_TAR_GZIP,
  HAS_ZSTD,
  type Layer,
  TAR,
  TAR_ZSTD,
} from "../support/image.js";
import { archive, rawEntry } from "../support/tar.js";

const directory = temporaryDirectories();

/** Makes a layout of these layers, and returns its path. */
async function layout(layers: readonly Layer[]): Promise<string> {
  const path = directory();
  await layoutOf(path, layers);
  return path;
}

const list = async (path: string, options: ListFilesOptions = {}): Promise<string[]> =>
  (await listFiles(layoutSource(parseLayoutReference(`oci:${path}`)), options)).files.map(
    (file) => file.path,
  );

const files = (...names: string[]): Buffer =>
  archive(...names.map((name) => rawEntry({ name, ...(name.endsWith("/") && { type: "5" }) })));

describe("listFiles", () => {
  it("lists one level or everything, sorted, with all attributes", async () => {
    const tar = archive(
      rawEntry({ name: "b/", type: "5", mode: 0o1777, mtime: 1_700_000_000 }),
      rawEntry({ name: "b/z", uid: 1, gid: 2, mode: 0o4755 }, "12345"),
      rawEntry({ name: "b/null", type: "3", devmajor: 1, devminor: 3 }),
      rawEntry({ name: "a", type: "2", target: "/b" }),
      rawEntry({ name: "c/d" }),
    );
    const path = await layout([layerOf(tar)]);
    const source = layoutSource(parseLayoutReference(`oci:${path}`));
    expect((await listFiles(source)).files.map((file) => file.path)).toEqual(["/a", "/b", "/c"]);
    const mtime = new Date(0);
    const common = { uid: 0, gid: 0, size: 0, mtime, layer: 0 };
    expect(await listFiles(source, { path: "/", recursive: true })).toEqual({
      digest: (await source.resolve()).digest,
      platform: "-",
      files: [
        { ...common, path: "/a", type: "symlink", mode: 0o644, target: "/b" },
        { ...common, path: "/b", type: "directory", mode: 0o1777, mtime: new Date(1.7e12) },
        { ...common, path: "/b/null", type: "character-device", mode: 0o644, device: { major: 1, minor: 3 } }, // prettier-ignore
        { ...common, path: "/b/z", type: "file", mode: 0o4755, uid: 1, gid: 2, size: 5 },
        { path: "/c", type: "directory", mode: 0o755, uid: 0, gid: 0, size: 0, mtime },
        { ...common, path: "/c/d", type: "file", mode: 0o644 },
      ],
    });
  });

  it("follows links, and finds paths however they are written", async () => {
    const tar = archive(
      rawEntry({ name: "usr/bin/sh" }),
      rawEntry({ name: "bin", type: "2", target: "usr/bin" }),
      rawEntry({ name: "loop", type: "2", target: "loop" }),
      rawEntry({ name: "out", type: "2", target: "../../../../usr" }),
    );
    const path = await layout([layerOf(tar)]);
    for (const place of ["bin", "/bin/", "//bin/.", "usr/../bin", "out/bin", "../../bin"]) {
      expect(await list(path, { path: place })).toEqual(["/usr/bin/sh"]);
    }
    expect(await list(path, { path: "bin/sh" })).toEqual(["/usr/bin/sh"]);
    await expectCode(list(path, { path: "loop" }), "FILE_UNREADABLE");
    await expectCode(list(path, { path: "bin/sh/x" }), "FILE_NOT_FOUND");
    await expectCode(list(path, { path: "\u202e" }), "FILE_NOT_FOUND");
  });

  it("finds a file by the text of a name that is not UTF-8, if it is the only one", async () => {
    const named = (name: string): ReturnType<typeof rawEntry> =>
      rawEntry({ name: Buffer.from(name, "latin1") });
    const tar = archive(named("d/caf\xe9"), named("d/a\xe9"), named("d/a\xea"));
    const path = await layout([layerOf(tar)]);
    const listed = await list(path, { path: "d" });
    expect(listed).toEqual(["/d/a\ufffd", "/d/a\ufffd", "/d/caf\ufffd"]);
    expect(await list(path, { path: "d/caf\ufffd" })).toEqual(["/d/caf\ufffd"]);
    await expectCode(list(path, { path: "d/a\ufffd" }), "FILE_NOT_FOUND");
    await expectCode(list(path, { path: "d/ca\ufffd\ufffd" }), "FILE_NOT_FOUND");
  });

  it("names the layer that deleted a file", async () => {
    const layers = [
      ...[files("etc/", "etc/a", "etc/b", "d/", "d/x"), files("etc/.wh.a")],
      ...[files("new"), files("d/.wh..wh..opq"), files(".wh.etc")],
    ].map((tar) => layerOf(tar));
    const path = await layout(layers);
    const lost = async (name: string, options: ListFilesOptions = {}): Promise<string> =>
      (await expectCode(list(path, { ...options, path: name }), "FILE_NOT_FOUND")).message;
    expect(await lost("/etc/b")).toBe('the image has no file "/etc/b": "/etc" was deleted by layer 4'); // prettier-ignore
    expect(await lost("d/x")).toBe('the image has no file "d/x": it was deleted by layer 3');
    expect(await lost("etc/a", { layers: [{ from: 0, to: 3 }] })).toMatch(/by layer 1$/);
    expect(await lost("/none")).toBe('the image has no file "/none": it does not exist');
    expect(await list(path, { path: "etc", layers: [0] })).toEqual(["/etc/a", "/etc/b"]);
    expect(await list(path, { layers: [-1, 2] })).toEqual(["/new"]);
  });

  it("reads encrypted layers, plain ones and both, of any media type", async () => {
    const plain = directory();
    await layoutOf(plain, [
      await layer("a"),
      await layer("b", { mediaType: TAR }),
      await layer("c", { mediaType: DOCKER_TAR_GZIP }),
      describedAs(await layer("d"), { mediaType: TAR }),
    ]);
    const all = ["/a", "/b", "/c", "/d"];
    expect(await list(plain)).toEqual(all);
    const [encrypted, partly] = [directory(), directory()];
    await encrypt(plain, encrypted);
    await encrypt(plain, partly, { layers: [1, 3] });
    expect(await list(encrypted, { keys: [openKey()] })).toEqual(all);
    expect(await list(partly, { keys: [openKey()] })).toEqual(all);
    expect(await list(partly, { layers: [0, 2] })).toEqual(["/a", "/c"]);
    const { message } = await expectCode(list(partly), "NO_KEYS");
    expect(message).toBe("layer 1 is encrypted, and no key was given");
    await expectCode(list(encrypted, { keys: [{ ...openKey(), scheme: "pgp" }] }), "NO_MATCHING_KEY"); // prettier-ignore
    await expectCode(list(partly, { requireEncrypted: true, keys: [openKey()] }), "POLICY_VIOLATION"); // prettier-ignore
  });

  it("counts each layer once while it is verified and unpacked", async () => {
    const [plain, encrypted] = [directory(), directory()];
    const layers = [
      layerOf(archive(rawEntry({ name: "a" }, "a")), { mediaType: TAR }),
      await layer("b"),
    ];
    await layoutOf(plain, layers);
    await encrypt(plain, encrypted, { layers: [1] });
    const size = layers.reduce((sum, { blob }) => sum + blob.byteLength, 0);
    const seen: [string, number | undefined, number][] = [];
    const keys = [openKey()];
    await list(encrypted, {
      keys,
      onProgress: (progress) => {
        expect(progress.size).toBe(size);
        seen.push([progress.action, progress.layer, progress.bytes]);
      },
    });
    const [first = 0] = layers.map(({ blob }) => blob.byteLength);
    expect(seen).toEqual([
      ["verify", 0, first / 2],
      ["unpack", 0, first],
      ["decrypt", 1, Math.floor(first + (size - first) / 2)],
      ["unpack", 1, size],
    ]);
    await list(encrypted, {
      keys,
      layers: [0],
      onProgress: (progress) => {
        expect(progress.size).toBe(first);
      },
    });
  });

  it.runIf(!HAS_ZSTD)("says that zstd needs a later Node.js, before it reads a layer", async () => {
    const zstd = await layer("a", { mediaType: TAR_ZSTD });
    const path = await layout([await layer("b"), zstd]);
    await rm(blobFile(path, zstd.descriptor.digest));
    await expectCode(list(path), "COMPRESSION_UNSUPPORTED");
  });

  it.runIf(HAS_ZSTD)("reads zstd", async () => {
    const path = await layout([await layer("a", { mediaType: TAR_ZSTD })]);
    expect(await list(path)).toEqual(["/a"]);
  });

  it("reads one platform, which the caller selects if there are several", async () => {
    const path = directory();
    await multiPlatform(path);
    const { message } = await expectCode(list(path), "PLATFORM_AMBIGUOUS");
    expect(message).toBe("the image has several platforms: linux/amd64, linux/arm64/v8");
    expect(await list(path, { platforms: ["linux/arm64"] })).toEqual(["/arm64", "/base"]);
    await expectCode(list(path, { platforms: ["linux/s390x"] }), "NOTHING_SELECTED");
    const source = layoutSource(parseLayoutReference(`oci:${path}`));
    const { platform } = await listFiles(source, { platforms: ["linux/amd64"] });
    expect(platform).toBe("linux/amd64");
  });

  it("reads the platform that an archive of docker save holds", async () => {
    const path = await createLayout(directory());
    const here = await putManifest(path, [await layer("a")]);
    const missing = { ...here.descriptor, digest: digestOf("not here") };
    const entries = [
      forPlatform(missing, "linux/arm64"),
      forPlatform(here.descriptor, "linux/amd64"),
    ];
    await writeIndex(path, [await putIndex(path, entries)]);
    expect(await list(path)).toEqual(["/a"]);
  });

  it.for(["a plain layer", "an encrypted layer"])(
    "looks at nothing of %s that is not verified",
    async (what) => {
      const plain = await layout([await layer("a"), layerOf(Buffer.from("no tar"))]);
      const path = what === "a plain layer" ? plain : directory();
      if (path !== plain) await encrypt(plain, path);
      // The second layer is no archive, but the first one is what matters.
      const [first] = await descriptorsOf(path);
      const blob = await readFile(blobFile(path, first ?? ""));
      blob[blob.length - 1] = (blob.at(-1) ?? 0) ^ 1;
      await writeFile(blobFile(path, first ?? ""), blob);
      await expectCode(list(path, { keys: [openKey()] }), "BLOB_DIGEST_MISMATCH");
    },
  );

  it("rejects a layer that differs from the config, and one that is not an archive", async () => {
    const [a, b] = [await layer("a"), await layer("b")];
    const swapped = await layout([{ ...a, diffId: b.diffId }]);
    await expectCode(list(swapped), "DIFF_ID_MISMATCH");
    const warnings: string[] = [];
    const onWarning = (warning: string): void => void warnings.push(warning);
    expect(await list(swapped, { allowUnverified: true, onWarning })).toEqual(["/a"]);
    expect(warnings).toEqual([
      expect.stringMatching(/^layer 0 is unverified: the layer has the diffID/),
    ]);
    const text = await layout([layerOf(Buffer.from("text"))]);
    await expectCode(list(text), "LAYER_UNREADABLE");
  });

  it("stops when it is aborted", async () => {
    const path = await layout([await layer("a")]);
    await expect(list(path, { signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow("stop"); // prettier-ignore
  });
});

/** The digests of the layers of a layout's only image. */
async function descriptorsOf(path: string): Promise<string[]> {
  const source = layoutSource(parseLayoutReference(`oci:${path}`));
  const manifest = await collect(source.read(await source.resolve()));
  const { layers } = JSON.parse(manifest.toString()) as { layers: { digest: string }[] };
  return layers.map(({ digest }) => digest);
}

it("filesBelow lists a directory with 200,000 files", () => {
  const { root } = emptyTree();
  for (let i = 0; i < 200_000; i++) root.children?.set(String(i), { inode: { ...root.inode, type: "file" } }); // prettier-ignore
  expect([...filesBelow([{ name: "", node: root }], true)]).toHaveLength(200_000);
});
