import { describe, expect, it } from "vitest";
import {
  type LayerSelection,
  parseLayerRange,
  selectLayers,
} from "../../../src/image/manifests/select-layers.js";
import type { ManifestNode } from "../../../src/image/manifests/tree.js";
import { expectCode } from "../../support/codes.js";
import {
  digestOf,
  layer,
  layoutOf,
  readManifest,
  snapshot,
  TAR,
  TAR_GZIP,
  TAR_ZSTD,
  temporaryDirectories,
} from "../../support/image.js";
import { decrypt, encrypt } from "../../support/operations.js";

const directory = temporaryDirectories();

interface Plan {
  platform?: string;
  layers: readonly (readonly [name: string, mediaType: string, size: number])[];
}

/** A manifest whose layers have the digests of their names. */
function manifest({ platform, layers }: Plan): ManifestNode {
  const [os, architecture, variant] = (platform ?? "").split("/");
  const node = { start: 0, end: 0 };
  return {
    kind: "manifest",
    descriptor: { mediaType: "", digest: digestOf(""), size: 0 },
    isAttestation: false,
    document: {
      kind: "manifest",
      text: "",
      config: { mediaType: "", digest: digestOf(""), size: 0 },
      layers: layers.map(([name, mediaType, size]) => ({
        descriptor: { mediaType, digest: digestOf(name), size },
        node: { ...node },
      })),
    },
    ...(os && architecture && { platform: { os, architecture, ...(variant && { variant }) } }),
  };
}

/** Four layers of all kinds for amd64, two of them for arm64, one for s390x. */
const IMAGE = [
  manifest({
    platform: "linux/amd64",
    layers: [
      ["base", TAR_GZIP, 1000],
      ["a", TAR, 10],
      ["b", `${TAR_GZIP}+encrypted`, 100],
      ["c", TAR_ZSTD, 1001],
    ],
  }),
  manifest({
    platform: "linux/arm64/v8",
    layers: [
      ["base", TAR_GZIP, 1000],
      ["d", TAR, 0],
    ],
  }),
  manifest({ platform: "linux/s390x", layers: [["base", TAR_GZIP, 1000]] }),
];
const [AMD64, ARM64, S390X] = IMAGE as [ManifestNode, ManifestNode, ManifestNode];

/** The selected layers of each of the three manifests, by their places. */
function select(selection: LayerSelection, base?: ReadonlyMap<ManifestNode, number>): number[][] {
  const selected = selectLayers(IMAGE, selection, base);
  return IMAGE.map((each) =>
    selected.flatMap(({ manifest: of, index }) => (of === each ? [index] : [])),
  );
}

describe("selectLayers", () => {
  it.each<[string, LayerSelection, number[][]]>([
    ["everything", {}, [[0, 1, 2, 3], [0, 1], [0]]],
    ["a range", { layers: [{ from: 1, to: 2 }] }, [[1, 2], [1], []]],
    ["a range of one", { layers: [{ from: 3, to: 3 }] }, [[3], [], []]],
    ["a range from the end", { layers: [{ from: -2, to: -1 }] }, [[2, 3], [0, 1], [0]]],
    ["a range up to the end", { layers: [{ from: 1, to: -1 }] }, [[1, 2, 3], [1], []]],
    ["a range from the end to a place", { layers: [{ from: -3, to: 1 }] }, [[1], [0, 1], [0]]],
    ["a range beyond both ends", { layers: [{ from: -9, to: 9 }] }, [[0, 1, 2, 3], [0, 1], [0]]],
    ["ranges and places", { layers: [{ from: 0, to: 1 }, -1] }, [[0, 1, 3], [0, 1], [0]]],
    ["a type", { mediaTypes: [TAR] }, [[1], [1], []]],
    ["a type, of what is encrypted too", { mediaTypes: [TAR_GZIP] }, [[0, 2], [0], [0]]],
    ["types", { mediaTypes: [TAR, TAR_ZSTD] }, [[1, 3], [1], []]],
    ["a size, which is enough", { minSize: 1000 }, [[0, 3], [0], [0]]],
    ["a size of one byte more", { minSize: 1001 }, [[3], [], []]],
    ["no size", { minSize: 0 }, [[0, 1, 2, 3], [0, 1], [0]]],
    ["a digest", { digests: [digestOf("d")] }, [[], [1], []]],
    ["a digest that several have", { digests: [digestOf("base")] }, [[0], [0], [0]]],
    ["digests", { digests: [digestOf("d"), digestOf("c")] }, [[3], [1], []]],
    ["platforms", { platforms: ["linux/arm64", "linux/s390x"] }, [[], [0, 1], [0]]],
    ["a type and a size", { mediaTypes: [TAR_GZIP], minSize: 101 }, [[0], [0], [0]]],
    ["a platform and a place", { platforms: ["linux/arm64/v8"], layers: [-1] }, [[], [1], []]],
    ["all kinds", {
      platforms: ["linux/amd64", "linux/arm64"], layers: [{ from: 0, to: 1 }], mediaTypes: [TAR, TAR_GZIP],
      minSize: 10, digests: [digestOf("base"), digestOf("a")],
    }, [[0, 1], [0], []]],
  ])("%s", (_, selection, expected) => {
    expect(select(selection)).toEqual(expected);
  }); // prettier-ignore

  it.each<[string, LayerSelection, string]>([
    ["a place behind the last", { layers: [0, 4] }, "layer 4; its manifests have layers 0..3, layers 0..1, layer 0"],
    ["a range behind the last", { layers: [{ from: 4, to: 9 }] }, "layer 4..9"],
    ["a range before the first", { layers: [{ from: -9, to: -5 }] }, "layer -9..-5"],
    ["a range backwards", { layers: [{ from: 2, to: 1 }] }, "layer 2..1"],
    ["a range of halves", { layers: [{ from: 0.5, to: 1.5 }] }, "layer 0.5..1.5"],
    ["a range of no numbers", { layers: [{ from: NaN, to: 1 }] }, "layer NaN..1"],
    ["no places", { layers: [] }, "no layer matches all selectors"],
    ["no types", { mediaTypes: [] }, "no layer matches all selectors"],
    ["no digests", { digests: [] }, "no layer matches all selectors"],
    ["a type that no layer has", { mediaTypes: [TAR, "text/plain"] }, '"text/plain"'],
    ["the type with its suffix", { mediaTypes: [`${TAR_GZIP}+encrypted`] }, "+encrypted"],
    ["a part of a type", { mediaTypes: [TAR_GZIP.slice(0, -1)] }, "gzi"],
    ["a size that no layer has", { minSize: 1002 }, "1002 bytes"],
    ["no number as size", { minSize: NaN }, "NaN bytes"],
    ["a digest that no layer has", { digests: [digestOf("d"), digestOf("e")] }, digestOf("e")],
    ["a digest in capitals", { digests: [digestOf("d").toUpperCase()] }, "SHA256"],
    ["a platform that another kind leaves out", { platforms: ["linux/amd64", "linux/s390x"], layers: [1] }, "linux/s390x"],
    ["a place that another kind leaves out", { layers: [0, 1], minSize: 1000 }, "no layer 1"],
    ["a type that another kind leaves out", { mediaTypes: [TAR, TAR_ZSTD], layers: [1] }, "zstd"],
    ["a digest of another platform", { platforms: ["linux/arm64"], digests: [digestOf("a")] }, digestOf("a")],
    ["kinds that have nothing in common", { layers: [0], mediaTypes: [TAR] }, "no layer 0"],
  ])("rejects %s", async (_, selection, said) => {
    const error = await expectCode(() => select(selection), "NOTHING_SELECTED");
    expect(error.message).toContain(said);
  }); // prettier-ignore

  it("reports that an image without an index has no platforms to select", async () => {
    const [single, other] = [manifest({ layers: [] }), manifest({ layers: [] })];
    const refused = async (...manifests: ManifestNode[]): Promise<string> => {
      const select = (): unknown => selectLayers(manifests, { platforms: ["linux/arm64"] });
      return (await expectCode(select, "NOTHING_SELECTED")).message;
    };
    const what = 'the image has no manifest for the platform "linux/arm64"; ';
    expect(await refused(single)).toBe(
      `${what}it has a single manifest, for the platform that its config names`,
    );
    expect(await refused(single, other)).toBe(`${what}its manifests name no platform`);
    expect(await refused(AMD64)).toBe(`${what}it has linux/amd64`);
    expect(await refused(AMD64, S390X)).toBe(`${what}it has linux/amd64, linux/s390x`);
  });

  it("names the positions in the only manifest", async () => {
    const single = manifest({ layers: [["a", TAR, 1], ["b", TAR, 1]] }); // prettier-ignore
    for (const [image, there] of [
      [single, "its manifest has layers 0..1"],
      [manifest({ layers: [] }), "its manifest has no layers"],
    ] as const) {
      const error = await expectCode(() => selectLayers([image], { layers: [2] }), "NOTHING_SELECTED"); // prettier-ignore
      expect(error.message).toBe(`the image has no layer 2; ${there}`);
    }
  });

  it("omits the layers of a base image", () => {
    const base = new Map([[AMD64, 2], [ARM64, 1], [S390X, 1]]); // prettier-ignore
    expect(select({}, base)).toEqual([[2, 3], [1], []]);
    expect(select({ layers: [{ from: 0, to: -1 }] }, base)).toEqual([[2, 3], [1], []]);
    expect(select({}, new Map([[ARM64, 1]]))).toEqual([[0, 1, 2, 3], [1], [0]]);
  });

  it.each<[string, LayerSelection, string]>([
    ["a layer of the base", { layers: [0, 2] }, "no layer 0"],
    ["nothing but a base", { platforms: ["linux/s390x"] }, "has no layer of the platform"],
    [
      "nothing but a base, as a place",
      { layers: [-1], platforms: ["linux/s390x"] },
      "has no layer -1",
    ],
  ])("rejects %s", async (_, selection, said) => {
    const base = new Map([[AMD64, 2], [ARM64, 1], [S390X, 1]]); // prettier-ignore
    const error = await expectCode(() => select(selection, base), "NOTHING_SELECTED");
    expect(error.message).toContain(said);
  });

  it("does not fail for an image without layers", () => {
    expect(selectLayers([manifest({ layers: [] })], {})).toEqual([]);
  });
});

describe("selectors in an image", () => {
  it("select the layers to encrypt and to decrypt", async () => {
    const [plain, path, again] = [directory(), directory(), directory()];
    const layers = [
      await layer("a"),
      await layer("b", { mediaType: TAR }),
      await layer("c", { mediaType: TAR, content: "x".repeat(10_000) }),
    ];
    await layoutOf(plain, layers);
    const types = async (at: string, image: { digest: string }): Promise<string[]> =>
      (await readManifest(at, image)).layers.map(({ mediaType }) => mediaType);

    const options = { mediaTypes: [TAR] };
    const encrypted = await encrypt(plain, path, options);
    expect(await types(path, encrypted.image)).toEqual([
      TAR_GZIP,
      `${TAR}+encrypted`,
      `${TAR}+encrypted`,
    ]);
    const [first, second] = encrypted.layers;
    const decrypted = await decrypt(path, again, { digests: [first!.after.digest] });
    expect(await types(again, decrypted.image)).toEqual([TAR_GZIP, TAR, `${TAR}+encrypted`]);
    expect((await decrypt(path, directory(), { minSize: second!.before.size })).layers).toEqual([
      expect.objectContaining({ index: 2, after: second!.before }),
    ]);
  });

  it("leave no trace when they select nothing", async () => {
    const [plain, parent] = [directory(), directory()];
    await layoutOf(plain, [await layer("a")]);
    for (const selection of [{ minSize: 1e6 }, { digests: [digestOf("x")] }, { mediaTypes: [] }]) {
      await expectCode(encrypt(plain, `${parent}/new`, selection), "NOTHING_SELECTED");
    }
    expect(await snapshot(parent)).toEqual({});
  });
});

describe("parseLayerRange", () => {
  it.each<[string, number | { from: number; to: number }]>([
    ["0", 0],
    ["12", 12],
    ["-1", -1],
    ["1..3", { from: 1, to: 3 }],
    ["-2..-1", { from: -2, to: -1 }],
    ["0..-1", { from: 0, to: -1 }],
    ["3..1", { from: 3, to: 1 }],
  ])("reads %s", (text, expected) => {
    expect(parseLayerRange(text)).toEqual(expected);
  });

  it.each(["", "-", "a", "1.", "1.2", "1...2", "1..", "..2", "1..2..3", " 1", "1 ", "1\n", "+1", "1e3", "0x1", "--1", "1..+2", "1234567890", "١"])(
    "rejects %j",
    (text) => {
      expect(parseLayerRange(text)).toBeUndefined();
    },
  ); // prettier-ignore
});
