import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import { decryptImage, pullFiles, pushFiles, type FilesResult } from "../../src/image/index.js";
import { encryptLayer } from "../../src/layer/encrypt.js";
import { layoutDestination, layoutSource } from "../../src/store/index.js";
import type { ImageSource } from "../../src/store/types.js";
import { expectCode } from "../support/codes.js";
import {
  createLayout,
  digestOf,
  layer,
  multiPlatform,
  putBlob,
  putManifest,
  readEntries,
  readManifest,
  snapshot,
  temporaryDirectories,
  writeIndex,
  type Layer,
} from "../support/image.js";
import { openKey, plainRecipient } from "../support/layers.js";

const directory = temporaryDirectories();
const recipients = [plainRecipient()];
const keys = [openKey()];

const CONTENT: Readonly<Record<string, Buffer>> = {
  "hi.txt": Buffer.from("hello\n"),
  "deep/er/large.bin": Buffer.alloc(300_000, "x"),
  empty: Buffer.alloc(0),
};

async function push(path: string, titles = Object.keys(CONTENT)): Promise<FilesResult> {
  const files = titles.map((title) => ({ title, content: CONTENT[title] ?? Buffer.from(title) }));
  return pushFiles(await layoutDestination({ path }), files, { recipients });
}

/** An artifact whose encrypted layers have these titles, without any check. */
async function artifactOf(...titles: unknown[]): Promise<ImageSource> {
  const path = await createLayout(directory());
  const layers: Layer[] = [];
  for (const title of titles) {
    const blob = Buffer.from(`content of ${String(title)}`);
    const descriptor = { mediaType: "application/octet-stream", annotations: {} };
    const encrypted = encryptLayer(blob, { descriptor, recipients });
    const chunks: Uint8Array[] = [];
    for await (const chunk of encrypted.stream) chunks.push(chunk);
    const { annotations, ...rest } = await encrypted.finalize();
    const named = title === undefined ? {} : { "org.opencontainers.image.title": title as string };
    layers.push({
      descriptor: { ...rest, annotations: { ...annotations, ...named } },
      blob: Buffer.concat(chunks),
      diffId: "",
    });
  }
  const config = { mediaType: "application/vnd.oci.empty.v1+json", content: "{}" };
  const { descriptor } = await putManifest(path, layers, { config });
  await writeIndex(path, [descriptor]);
  return layoutSource({ path });
}

describe("pushFiles", () => {
  // https://github.com/oras-project/oras/blob/v1.2.3/cmd/oras/root/push.go, and its output
  it("writes a manifest as ORAS does, with an encrypted blob for each file", async () => {
    const path = directory();
    const result = await push(path);
    const [entry] = await readEntries(path);
    const manifest = await readManifest(path, entry!);
    expect(manifest).toMatchObject({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      artifactType: "application/vnd.unknown.artifact.v1",
      config: {
        mediaType: "application/vnd.oci.empty.v1+json",
        digest: "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        size: 2,
        data: "e30=",
      },
    });
    expect(manifest.annotations).toEqual({
      "org.opencontainers.image.created": expect.stringMatching(
        /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
      ) as unknown,
    });
    const titles = manifest.layers.map(
      ({ annotations }) => annotations?.["org.opencontainers.image.title"],
    );
    expect(titles).toEqual(Object.keys(CONTENT));
    expect(manifest.layers[0]).toMatchObject({
      mediaType: "application/vnd.oci.image.layer.v1.tar+encrypted",
      size: 6,
    });
    expect(result.image.digest).toBe(entry?.digest);
    expect(result.files.map(({ size }) => size)).toEqual([6, 300_000, 0]);
  });

  it("decrypts to the artifact that ORAS would have made", async () => {
    const [path, plain] = [directory(), directory()];
    await push(path);
    await decryptImage(layoutSource({ path }), await layoutDestination({ path: plain }), { keys });
    const [entry] = await readEntries(plain);
    const { layers } = await readManifest(plain, entry!);
    expect(layers[0]).toEqual({
      mediaType: "application/vnd.oci.image.layer.v1.tar",
      digest: digestOf("hello\n"),
      size: 6,
      annotations: { "org.opencontainers.image.title": "hi.txt" },
    });
  });

  it.each([[["/etc/passwd"]], [["../a"]], [["a", "A"]], [["a", "a/b"]], [[]]])(
    "refuses the titles %j, and writes nothing",
    async (titles) => {
      const path = join(directory(), "new");
      await expectCode(push(path, titles), "REFERENCE_INVALID");
      expect(await snapshot(path)).toEqual({ absent: "" });
    },
  );
});

describe("pullFiles", () => {
  it("writes the files that were pushed", async () => {
    const [path, to] = [directory(), join(directory(), "new")];
    await push(path);
    const { files } = await pullFiles(layoutSource({ path }), to, { keys });
    for (const [title, content] of Object.entries(CONTENT)) {
      expect((await readFile(join(to, title))).equals(content)).toBe(true);
    }
    expect(files[0]).toEqual({ title: "hi.txt", digest: digestOf("hello\n"), size: 6 });
    expect((await readdir(to)).sort()).toEqual(["deep", "empty", "hi.txt"]);
  });

  const hostile: readonly unknown[][] = [
    ["/tmp/evil"],
    ["../evil"],
    ["a/../../evil"],
    ["a/./b"],
    ["a//b"],
    ["."],
    [""],
    ["nul\0"],
    ["line\nend"],
    ["..\\evil"],
    ["C:evil"],
    ["trailing."],
    ["x".repeat(5000)],
    ["same", "same"],
    ["Same", "sAME"],
    ["a", "a/b"],
    ["fine", undefined],
    [],
  ];
  it.each(hostile.map((titles) => [titles]))(
    "refuses the titles %j, and writes nothing",
    async (titles) => {
      const to = join(directory(), "new");
      await expectCode(pullFiles(await artifactOf(...titles), to, { keys }), "MANIFEST_INVALID");
      expect(await snapshot(to)).toEqual({ absent: "" });
    },
  );

  it("does not write through a symbolic link, nor over a file", async () => {
    const [to, outside] = [directory(), directory()];
    await symlink(outside, join(to, "dir"));
    await symlink(join(outside, "target"), join(to, "link"));
    await writeFile(join(to, "file"), "mine");
    const before = await snapshot(to);
    for (const title of ["dir/evil", "link", "file", "file/below", "dir"]) {
      const source = await artifactOf("first", title);
      await expectCode(pullFiles(source, to, { keys }), "DESTINATION_EXISTS");
    }
    expect(await snapshot(to)).toEqual(before);
    expect(await readdir(outside)).toEqual([]);
  });

  it("writes nothing when another file appears in the way", async () => {
    const to = directory();
    await mkdir(join(to, "a"));
    const source = await artifactOf("first", "a/second");
    const meanwhile: ImageSource = {
      ...source,
      async *read(descriptor, options) {
        await writeFile(join(to, "a/second"), "mine");
        yield* source.read(descriptor, options);
      },
    };
    await expectCode(
      pullFiles({ ...meanwhile, resolve: () => source.resolve() }, to, { keys }),
      "DESTINATION_EXISTS",
    );
    expect(await readFile(join(to, "a/second"), "utf8")).toBe("mine");
    expect(await readdir(to)).toEqual(["a"]);
  });

  it("removes the directories that it has made when a later file has no place", async () => {
    const to = join(directory(), "new", "directory");
    const name = "x".repeat(255);
    const source = await artifactOf("a/b/first", `a/c/${name}`, `a/${name}x`);
    await expectCode(pullFiles(source, to, { keys }), "DESTINATION_UNWRITABLE");
    expect(await snapshot(join(to, ".."))).toEqual({ absent: "" });
  });

  it("compares many long titles", async () => {
    const deep = Array.from({ length: 900 }, (_, i) => `${String(i)}/${"a/".repeat(2040)}z`);
    await expectCode(push(directory(), [...deep, "0.x", "b", "b/c"]), "REFERENCE_INVALID");
  });

  it("writes no file when one of them does not verify", async () => {
    const [path, to] = [directory(), directory()];
    await push(path, ["one", "two"]);
    const [entry] = await readEntries(path);
    const { layers } = await readManifest(path, entry!);
    await putBlob(path, "zzz", layers[1]!.digest);
    await expectCode(pullFiles(layoutSource({ path }), to, { keys }), "BLOB_DIGEST_MISMATCH");
    expect(await readdir(to)).toEqual([]);
  });

  it.each<[string, ErrorCode, (path: string) => Promise<unknown>]>([
    [
      "a plain file",
      "NOT_ENCRYPTED",
      async (path) => {
        const plain = await layer("a", { annotations: { "org.opencontainers.image.title": "a" } });
        await writeIndex(path, [(await putManifest(path, [plain])).descriptor]);
      },
    ],
    ["an index", "MANIFEST_UNSUPPORTED", multiPlatform],
  ])("refuses %s", async (_, code, make) => {
    const path = await createLayout(directory());
    await make(path);
    await expectCode(pullFiles(layoutSource({ path }), directory(), { keys }), code);
  });

  it("needs the key", async () => {
    const path = directory();
    await push(path);
    const to = directory();
    await expectCode(pullFiles(layoutSource({ path }), to, { keys: [] }), "NO_KEYS");
    expect(await readdir(to)).toEqual([]);
  });
});
