import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDestination, openSource } from "../../src/places/index.js";
import { collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { digestOf, temporaryDirectories } from "../support/image.js";
import { endOfArchive, member } from "../store/archive/members.js";

const directory = temporaryDirectories();
const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";

const layers = [Buffer.from("first layer"), Buffer.from("second layer")];
const config = Buffer.from(
  JSON.stringify({ rootfs: { type: "layers", diff_ids: layers.map((layer) => digestOf(layer)) } }),
);
const packed = gzipSync(layers[1]!);

/** An archive as `docker save` writes it. */
function save(manifest: unknown, ...members: readonly Buffer[]): string {
  const path = join(directory(), "save.tar");
  const index = member({ name: "manifest.json" }, JSON.stringify(manifest));
  writeFileSync(path, Buffer.concat([...members, index, endOfArchive]));
  return path;
}

const FILES = [
  member({ name: "config.json" }, config),
  member({ name: "a/layer.tar" }, layers[0]),
  member({ name: "b/layer.tar" }, packed),
  member({ name: "b/link.tar", type: "2", target: "../a/layer.tar" }, ""),
];
const APP = { Config: "config.json", RepoTags: ["app:1"], Layers: ["a/layer.tar", "b/layer.tar"] };

interface Manifest {
  config: { mediaType: string; digest: string; size: number };
  layers: { mediaType: string; digest: string; size: number }[];
}

async function manifestOf(text: string): Promise<Manifest> {
  const source = await openSource(text);
  const descriptor = await source.resolve();
  const bytes = await collect(source.read(descriptor));
  expect(descriptor).toEqual({ mediaType: MANIFEST_TYPE, digest: digestOf(bytes), size: bytes.byteLength }); // prettier-ignore
  return JSON.parse(bytes.toString()) as Manifest;
}

describe("docker-archive:", () => {
  it("gets a manifest with the config and layers of the archive, compressed or not", async () => {
    const text = `docker-archive:${save([APP], ...FILES)}`;
    const manifest = await manifestOf(text);
    expect(manifest).toEqual({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: { mediaType: CONFIG_TYPE, digest: digestOf(config), size: config.byteLength },
      layers: [
        { mediaType: LAYER_TYPE, digest: digestOf(layers[0]!), size: layers[0]!.byteLength },
        { mediaType: `${LAYER_TYPE}+gzip`, digest: digestOf(packed), size: packed.byteLength },
      ],
    });
    const source = await openSource(text);
    for (const [i, content] of [layers[0]!, packed].entries()) {
      expect(await collect(source.read(manifest.layers[i]!))).toEqual(content);
    }
    expect(await collect(source.read(manifest.config))).toEqual(config);
  });

  it("follows the links to layers that older versions of Docker write", async () => {
    const linked = { ...APP, Layers: ["a/layer.tar", "b/link.tar"] };
    const { layers: found } = await manifestOf(`docker-archive:${save([linked], ...FILES)}`);
    expect(found.map(({ size }) => size)).toEqual([11, 11]);
  });

  it.each(["app:1", "docker.io/library/app:1", "library/app:1", "localhost/app:1"])(
    "finds an image by the name %s",
    async (name) => {
      const other = { ...APP, Config: "missing.json", RepoTags: ["app:2", "app:latest"] };
      await manifestOf(`docker-archive:${save([other, APP], ...FILES)}:${name}`);
    },
  );

  it("compares a name of a million colons at once, and does not quote all of it", async () => {
    const path = save([{ ...APP, RepoTags: [`${":".repeat(1_000_000)}/`] }], ...FILES);
    const none = (await openSource(`docker-archive:${path}:other`)).resolve();
    const { message } = await expectCode(none, "IMAGE_NOT_FOUND");
    expect(message).toHaveLength(4000);
  });

  it("chooses none of several images", async () => {
    const path = save([APP, { ...APP, RepoTags: ["app:2"] }], ...FILES);
    const several = (await openSource(`docker-archive:${path}`)).resolve();
    const { message } = await expectCode(several, "IMAGE_NOT_FOUND");
    expect(message).toContain("it has the names app:1, app:2");
    const none = (await openSource(`docker-archive:${path}:other`)).resolve();
    await expectCode(none, "IMAGE_NOT_FOUND");
  });

  it.each([
    ["a missing layer", [{ ...APP, Layers: ["a/layer.tar", "c/layer.tar"] }]],
    ["fewer layers than diffIDs", [{ ...APP, Layers: ["a/layer.tar"] }]],
    ["a missing config", [{ ...APP, Config: "other.json" }]],
    ["no list of layers", [{ ...APP, Layers: "a/layer.tar" }]],
    ["no list of images", { ...APP }],
  ])("is rejected for %s", async (_, manifest) => {
    const source = await openSource(`docker-archive:${save(manifest, ...FILES)}`);
    await expectCode(source.resolve(), "LAYOUT_INVALID");
  });

  it("takes the image of an OCI layout in the archive as it is", async () => {
    const image = { mediaType: MANIFEST_TYPE, digest: digestOf(Buffer.from("{}")), size: 2 };
    const annotations = {
      "io.containerd.image.name": "docker.io/library/app:1",
      "org.opencontainers.image.ref.name": "1",
    };
    const other = { ...image, digest: digestOf(Buffer.from("{ }")), size: 3 };
    const index = { schemaVersion: 2, manifests: [{ ...image, annotations }, other] };
    const path = save(
      [APP],
      member({ name: "oci-layout" }, '{"imageLayoutVersion":"1.0.0"}'),
      member({ name: "index.json" }, JSON.stringify(index)),
    );
    const source = await openSource(`docker-archive:${path}:app:1`);
    expect(await source.resolve()).toMatchObject(image);
    const tagged = await openSource(`docker-archive:${path}:1`);
    expect(await tagged.resolve()).toMatchObject(image);
  });
});

describe("docker-archive: with names that only Go reads", () => {
  const { Config, ...rest } = APP;
  const folded = Buffer.from(config.toString().replace("rootfs", "rootf\u017f"));
  it.each<[string, unknown, Buffer]>([
    ["in the list of images", { ...rest, config: Config }, config],
    ["beside the right ones", { ...APP, "Layer\u017f": [] }, config],
    ["in the config", APP, folded],
  ])("is rejected: %s", async (_, image, bytes) => {
    const files = [member({ name: "config.json" }, bytes), ...FILES.slice(1)];
    const source = await openSource(`docker-archive:${save([image], ...files)}`);
    const error = await expectCode(source.resolve(), "LAYOUT_INVALID");
    expect(error.message).toMatch(/to some readers$/);
  });
});

describe("dir:", () => {
  it("reads the manifest, the blobs and other manifests by their names", async () => {
    const path = directory();
    const child = Buffer.from('{"schemaVersion":2}');
    const index = Buffer.from('{"schemaVersion":2,"manifests":[]}');
    const hex = (bytes: Buffer): string => digestOf(bytes).slice("sha256:".length);
    writeFileSync(join(path, "version"), "Directory Transport Version: 1.1\n");
    writeFileSync(join(path, "manifest.json"), index);
    writeFileSync(join(path, `${hex(child)}.manifest.json`), child);
    writeFileSync(join(path, hex(layers[0]!)), layers[0]!);
    const source = await openSource(`dir:${path}`);
    const root = await source.resolve();
    expect(root.mediaType).toBe("application/vnd.oci.image.index.v1+json");
    expect(await collect(source.read(root))).toEqual(index);
    const described = (bytes: Buffer, mediaType: string): Parameters<typeof source.read>[0] => ({
      ...{ mediaType, digest: digestOf(bytes), size: bytes.byteLength },
    });
    expect(await collect(source.read(described(child, MANIFEST_TYPE)))).toEqual(child);
    expect(await collect(source.read(described(layers[0]!, LAYER_TYPE)))).toEqual(layers[0]);
    await expectCode(collect(source.read(described(packed, LAYER_TYPE))), "BLOB_NOT_FOUND");
    await expectCode((await openSource(`dir:${directory()}`)).resolve(), "IMAGE_NOT_FOUND");
  });
});

describe.skipIf(process.platform === "win32")("the stores of other programs", () => {
  const before = process.env.PATH;
  let bin: string;
  beforeEach(() => {
    bin = directory();
    process.env.PATH = `${bin}${delimiter}/usr/bin${delimiter}/bin`;
  });
  afterEach(() => {
    process.env.PATH = before;
  });
  const program = (name: string, script: string): void => {
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  };

  it("come from docker save", async () => {
    program("docker", `[ "$*" = "save app:1" ] && cat ${save([APP], ...FILES)}`);
    const { layers: found } = await manifestOf("docker-daemon:app:1");
    expect(found).toHaveLength(2);
  });

  it("say why a program has no image, without control characters", async () => {
    program("docker", `printf 'Error: no such image\\033[2J\\n' >&2; exit 1`);
    const source = await openSource("docker-daemon:app:1");
    const { message } = await expectCode(source.resolve(), "IMAGE_NOT_FOUND");
    expect(message).toMatch(/^docker cannot read app:1: Error: no such image[^\u001b]*$/);
  });

  it("give the command that copies an image where the program is missing", async () => {
    process.env.PATH = bin;
    const source = await openSource("containers-storage:localhost/app:1");
    const { message } = await expectCode(source.resolve(), "SOURCE_UNREADABLE");
    expect(message).toContain("skopeo copy containers-storage:localhost/app:1 oci:DIR:TAG");
  });

  it.each(["--help", "[overlay@/x]app", "a b", ""])("get no image called %j", async (name) => {
    await expectCode(openSource(`docker-daemon:${name}`), "REFERENCE_INVALID");
  });
});

it.each(["docker-archive:x", "containers-storage:x", "docker-daemon:x"])(
  "%s is not written to",
  async (text) => {
    const { message } = await expectCode(openDestination(text), "REFERENCE_INVALID");
    expect(message).toContain(`skopeo copy oci:DIR:TAG ${text}`);
  },
);
