import { describe, expect, it } from "vitest";
import {
  isDocumentType,
  isManifestType,
  mediaTypeOf,
  parseDocument,
  readManifestObject,
  readSubject,
} from "../../src/spec/manifest.js";
import { MAX_DESCRIPTORS } from "../../src/spec/limits.js";
import { expectCode } from "../support/codes.js";
import { TAR } from "../support/layers.js";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";

const DIGEST = `sha256:${"0".repeat(64)}`;
const config = {
  mediaType: "application/vnd.oci.image.config.v1+json",
  digest: DIGEST,
  size: 2,
};
const layer = { mediaType: TAR, digest: DIGEST, size: 3, annotations: { a: "b" } };
const right = { schemaVersion: 2, mediaType: MANIFEST, config, layers: [layer, layer] };

const bytes = (value: unknown): Uint8Array =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value));

describe("parseDocument", () => {
  it("reads a manifest, and returns the position of each layer", () => {
    const text = JSON.stringify(right, null, 2);
    const document = parseDocument(bytes(text), MANIFEST);
    if (document.kind !== "manifest") throw new Error("not a manifest");
    expect(document.text).toBe(text);
    expect(document.config).toEqual(config);
    expect(document.layers).toHaveLength(2);
    for (const { descriptor, node } of document.layers) {
      expect(descriptor).toEqual(layer);
      expect(JSON.parse(text.slice(node.start, node.end))).toEqual(layer);
    }
    expect(document.layers[1]!.node.start).toBeGreaterThan(document.layers[0]!.node.end);
  });

  it("reads an index", () => {
    const entry = {
      mediaType: MANIFEST,
      digest: DIGEST,
      size: 9,
      platform: { os: "linux", architecture: "riscv64" },
    };
    const document = parseDocument(bytes({ schemaVersion: 2, manifests: [entry] }), INDEX);
    if (document.kind !== "index") throw new Error("not an index");
    expect(document.manifests.map(({ descriptor }) => descriptor)).toEqual([entry]);
  });

  it("accepts a document without layers, and a document without its type", () => {
    const untyped = { ...right, mediaType: undefined, layers: [] };
    expect(parseDocument(bytes(untyped), MANIFEST).kind).toBe("manifest");
    expect(parseDocument(bytes({ manifests: [] }), INDEX).kind).toBe("index");
  });

  it.each<[string, unknown, string?]>([
    ["nothing", ""],
    ["no JSON", "{"],
    ["something behind the JSON", `${JSON.stringify(right)}{}`],
    ["a byte order mark", `\uFEFF${JSON.stringify(right)}`],
    ["null", null],
    ["an array", []],
    ["a string", '"{}"'],
    ["no layers", { ...right, layers: undefined }],
    ["layers that are null", { ...right, layers: null }],
    ["layers that are an object", { ...right, layers: { length: 0 } }],
    ["no config", { ...right, config: undefined }],
    ["a config that is a string", { ...right, config: DIGEST }],
    ["a layer that is null", { ...right, layers: [null] }],
    ["a layer that is an array", { ...right, layers: [[]] }],
    ["a layer without media type", { ...right, layers: [{ ...layer, mediaType: undefined }] }],
    ["a layer with an empty media type", { ...right, layers: [{ ...layer, mediaType: "" }] }],
    ["a layer whose media type is a number", { ...right, layers: [{ ...layer, mediaType: 1 }] }],
    ["a layer without digest", { ...right, layers: [{ ...layer, digest: undefined }] }],
    ["a layer without size", { ...right, layers: [{ ...layer, size: undefined }] }],
    ["a negative size", { ...right, layers: [{ ...layer, size: -1 }] }],
    ["half a size", { ...right, layers: [{ ...layer, size: 0.5 }] }],
    ["a size as text", { ...right, layers: [{ ...layer, size: "3" }] }],
    ["a size above 2^53", JSON.stringify(right).replace('"size":3', '"size":9007199254740993')],
    ["an annotation that is a number", { ...right, layers: [{ ...layer, annotations: { a: 1 } }] }],
    ["annotations that are an array", { ...right, layers: [{ ...layer, annotations: ["a"] }] }],
    ["another media type", { ...right, mediaType: INDEX }],
    ["a media type that is an object", { ...right, mediaType: {} }],
    ["an index as well", { ...right, manifests: [] }],
    ["a manifest as well", { manifests: [], layers: [] }, INDEX],
    ["no manifests", { layers: undefined }, INDEX],
    ["a member twice", JSON.stringify(right).replace("{", '{"layers":[],')],
    ["a nested member twice", JSON.stringify(right).replace('"size":3', '"size":3,"size":3')],
    ["deep nesting", JSON.stringify(right).replace("2,", `${"[".repeat(99)}${"]".repeat(99)},`)],
  ])("rejects %s", async (_, document, mediaType = MANIFEST) => {
    await expectCode(() => parseDocument(bytes(document), mediaType), "MANIFEST_INVALID");
  });

  it.each<[string, unknown, string]>([
    ["null", null, "it is not an object"],
    ["a config", { ...right, config: 7 }, "config is not an object"],
    ["a subject", { ...right, subject: 7 }, "subject is not an object"],
    ["the second layer", { ...right, layers: [layer, 7] }, "layers[1] is not an object"],
    [
      "annotations",
      { ...right, config: { ...config, annotations: [] } },
      "annotations of config is",
    ],
    ["a type that is no text", { ...right, mediaType: 7 }, "mediaType is not a string"],
    ["another type", { ...right, mediaType: INDEX }, `mediaType is "${INDEX}"`],
  ])("names what it rejects: %s", async (_, document, named) => {
    const error = await expectCode(
      () => parseDocument(bytes(document), MANIFEST),
      "MANIFEST_INVALID",
    );
    expect(error.message).toContain(named);
  });

  it.each(["1e3", "3.0", "10.50", "3e0", "-0"])(
    "rejects a size that is written %s",
    async (size) => {
      const places = [
        { ...right, config: { ...config, size: 77 }, layers: [] },
        { ...right, layers: [layer, { ...layer, size: 77 }] },
        { ...right, layers: [], subject: { ...config, size: 77 } },
        { schemaVersion: 2, mediaType: INDEX, manifests: [{ ...config, size: 77 }] },
      ];
      for (const place of places) {
        const text = JSON.stringify(place).replace("77", size);
        const { mediaType } = place;
        await expectCode(() => parseDocument(bytes(text), mediaType), "MANIFEST_INVALID");
      }
    },
  );

  it("accepts an empty layer, and a platform with and without a variant", () => {
    const plain = { os: "linux", architecture: "arm64" };
    const layers = [
      { ...layer, size: 0 },
      { ...layer, platform: { ...plain, variant: "v8" } },
      { ...layer, platform: plain },
    ];
    const document = parseDocument(bytes({ ...right, layers }), MANIFEST);
    expect(document).toMatchObject({ layers: layers.map((descriptor) => ({ descriptor })) });
  });

  it.each<[string, unknown]>([
    ["text", "linux/arm64"],
    ["without an architecture", { os: "linux" }],
    ["without an operating system", { architecture: "arm64" }],
    ["with a number", { os: "linux", architecture: 64 }],
    ["with a variant that is a number", { os: "linux", architecture: "arm64", variant: 8 }],
  ])("rejects a platform: %s", async (_, platform) => {
    const manifests = [{ ...config, mediaType: MANIFEST, platform }];
    await expectCode(() => parseDocument(bytes({ manifests }), INDEX), "MANIFEST_INVALID");
  });

  it("rejects annotations if only some are text", async () => {
    const layers = [{ ...layer, annotations: { a: "b", c: 1 } }];
    await expectCode(
      () => parseDocument(bytes({ ...right, layers }), MANIFEST),
      "MANIFEST_INVALID",
    );
  });

  it("accepts as many layers as the limit, and no more", async () => {
    const many = (count: number): Uint8Array =>
      bytes({ ...right, layers: Array(count).fill(layer) });
    expect(parseDocument(many(MAX_DESCRIPTORS), MANIFEST)).toHaveProperty("layers.length", 5000);
    await expectCode(() => parseDocument(many(MAX_DESCRIPTORS + 1), MANIFEST), "MANIFEST_INVALID");
  });

  it("rejects bytes that are not UTF-8", async () => {
    const text = Buffer.concat([bytes('{"a":"'), Buffer.from([0xff]), bytes('"}')]);
    await expectCode(() => parseDocument(text, MANIFEST), "MANIFEST_INVALID");
  });

  it.each(["+encrypted+encrypted", "+encrypted+gzip", "+ENCRYPTED", "+encrypted; x=y"])(
    "rejects a layer type that only some readers treat as encrypted: %s",
    async (suffix) => {
      const layers = [{ ...layer, mediaType: `${TAR}${suffix}` }];
      const document = bytes({ ...right, layers });
      const error = await expectCode(() => parseDocument(document, MANIFEST), "MANIFEST_INVALID");
      expect(error.message).toContain(`${TAR}${suffix}" of layers[0]`);
    },
  );

  it("rejects an invalid digest", async () => {
    const document = { ...right, layers: [{ ...layer, digest: "sha256:00" }] };
    await expectCode(() => parseDocument(bytes(document), MANIFEST), "DESCRIPTOR_INVALID");
  });

  it("reads documents of Docker's format, which name their type", async () => {
    const manifest = bytes({ ...right, mediaType: DOCKER_MANIFEST });
    expect(parseDocument(manifest, DOCKER_MANIFEST).kind).toBe("manifest");
    const list = bytes({ schemaVersion: 2, mediaType: DOCKER_LIST, manifests: [] });
    expect(parseDocument(list, DOCKER_LIST).kind).toBe("index");
    await expectCode(() => parseDocument(manifest, MANIFEST), "MANIFEST_INVALID");
    await expectCode(() => parseDocument(manifest, DOCKER_LIST), "MANIFEST_INVALID");
    await expectCode(() => parseDocument(list, INDEX), "MANIFEST_INVALID");
  });

  it("reads the subject of a manifest", async () => {
    const subject = { mediaType: MANIFEST, digest: DIGEST, size: 9 };
    const document = parseDocument(bytes({ ...right, subject }), MANIFEST);
    expect(document).toMatchObject({ kind: "manifest", subject });
    for (const none of [undefined, null]) {
      const document = parseDocument(bytes({ ...right, subject: none }), MANIFEST);
      expect(document).not.toHaveProperty("subject");
    }
    for (const wrong of [DIGEST, [], { ...subject, size: -1 }]) {
      const document = bytes({ ...right, subject: wrong });
      await expectCode(() => parseDocument(document, MANIFEST), "MANIFEST_INVALID");
    }
  });

  it("treats null members as absent", () => {
    const nulls = { annotations: null, platform: null, urls: null, data: null, artifactType: null };
    const document = { ...right, annotations: null, config: { ...config, ...nulls }, layers: [{ ...layer, ...nulls }] };
    const inside = { ...layer, annotations: { ...layer.annotations, "a.b": null } };
    const parsed = parseDocument(bytes({ ...right, layers: [inside] }), MANIFEST);
    expect(parsed).toMatchObject({ layers: [{ descriptor: layer }] });
    const bare: Partial<typeof layer> = { ...layer };
    delete bare.annotations;
    expect(parseDocument(bytes(document), MANIFEST)).toMatchObject({ config, layers: [{ descriptor: bare }] });
    const entry = { mediaType: MANIFEST, digest: DIGEST, size: 9 };
    const index = parseDocument(bytes({ mediaType: null, manifests: [{ ...entry, ...nulls }] }), INDEX);
    expect(index).toMatchObject({ manifests: [{ descriptor: entry }] });
  }); // prettier-ignore

  it.each([
    ["layers", '"layer\u017f":[]'],
    ["layers in capitals", '"LAYERS":[]'],
    ["the media type", '"MediaType":"x"'],
    ["manifests, which is not there", '"manifest\u017f":[]'],
    ["annotations of a layer", '"layers":[{"annotation\u017f":{}}]'],
    ["the size of a config", '"config":{"\u017fize":1}'],
    ["a platform", '"layers":[{"platform":{"o\u017f":"linux"}}]'],
    ["the digest of a subject", '"subject":{"Digest":"x"}'],
  ])("rejects another spelling of a member: %s", async (_, member) => {
    const text = JSON.stringify(right);
    const escaped = member.replace(/\u017f/g, "\\u017f");
    for (const extra of [member, escaped]) {
      const document = `{${extra},${text.slice(1).replace(/"(layers|config)":/, '"x$1":')}`;
      const error = await expectCode(() => parseDocument(bytes(document), MANIFEST), "MANIFEST_INVALID");
      expect(error.message).toContain("to some readers");
    }
  }); // prettier-ignore

  it("keeps annotations whose names differ only in case, as Go does", () => {
    const annotations = { Name: "a", name: "b" };
    const document = parseDocument(bytes({ ...right, layers: [{ ...layer, annotations }] }), MANIFEST);
    expect(document).toMatchObject({ layers: [{ descriptor: { annotations } }] });
  }); // prettier-ignore

  it("rejects a media type nested deeply, by its code", async () => {
    const deep = "[".repeat(200_000) + "]".repeat(200_000);
    const document = bytes(`{"mediaType":${deep},"layers":[]}`);
    await expectCode(() => parseDocument(document, MANIFEST), "MANIFEST_INVALID");
  });

  it("finds no other members through __proto__", async () => {
    const text = `{"__proto__":${JSON.stringify(right)}}`;
    await expectCode(() => parseDocument(bytes(text), MANIFEST), "MANIFEST_INVALID");
  });
});

describe("readManifestObject", () => {
  it("returns the members of a document of any type, and rejects anything but an object", async () => {
    expect(readManifestObject(bytes(' {"a":1}'))).toEqual({ a: 1 });
    for (const text of ["[", "[]", "1", '{"LAYERS":[]}']) {
      await expectCode(() => readManifestObject(bytes(text)), "MANIFEST_INVALID");
    }
  });
});

describe("readSubject", () => {
  it.each([
    [{}, undefined, undefined],
    [{ subject: { digest: DIGEST } }, DIGEST, undefined],
    [{ artifactType: "a", config: { mediaType: "b" } }, undefined, "a"],
    [{ config: { mediaType: "b" } }, undefined, "b"],
    [{ artifactType: 1, config: { mediaType: "b" }, subject: DIGEST }, undefined, "b"],
  ])("of %j", (document, subject, artifactType) => {
    expect(readSubject(bytes(document))).toEqual({ subject, artifactType });
  });
});

describe("mediaTypeOf", () => {
  it.each([
    [{ mediaType: "x", manifests: [] }, "x"],
    [{ mediaType: 1, manifests: [] }, INDEX],
    [{ manifests: {} }, MANIFEST],
    [{}, MANIFEST],
  ])("%j", (document, expected) => {
    expect(mediaTypeOf(bytes(document))).toBe(expected);
  });
});

describe("isDocumentType", () => {
  it.each([
    [MANIFEST, true],
    [INDEX, true],
    [DOCKER_MANIFEST, true],
    [DOCKER_LIST, true],
    [config.mediaType, false],
    [TAR, false],
    ["", false],
  ])("%s: %s", (mediaType, expected) => {
    expect(isDocumentType(mediaType)).toBe(expected);
  });
});

describe("isManifestType", () => {
  it.each([
    [MANIFEST, true],
    [INDEX, true],
    [DOCKER_MANIFEST, true],
    [DOCKER_LIST, true],
    ["application/vnd.docker.distribution.manifest.v1+prettyjws", true],
    ["application/vnd.oci.artifact.manifest.v1+json", true],
    ["application/vnd.oci.image.manifest.v2", true],
    ["application/vnd.oci.image.manifest.v12+json", true],
    [config.mediaType, false],
    [TAR, false],
    ["application/vnd.buildkit.cacheconfig.v0", false],
    ["application/vnd.docker.plugin.v1+json", false],
    [`${MANIFEST}\n`, false],
    [`x\r\ny: ${MANIFEST}`, false],
    [`${MANIFEST}; charset=utf-8`, false],
    ["", false],
  ])("%j: %s", (mediaType, expected) => {
    expect(isManifestType(mediaType)).toBe(expected);
  });
});
