import { expect, it } from "vitest";
import { plainDiffIds } from "../../../src/image/features/expected-config.js";
import type { SelectedLayer } from "../../../src/image/manifests/select-layers.js";
import type { ManifestNode } from "../../../src/image/manifests/tree.js";

const MIB = 1024 * 1024;
const GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
const TAR = "application/vnd.oci.image.layer.v1.tar";

/** The layers that are compared, by their index, of an image with these media types and sizes. */
function compared(
  layers: readonly (readonly [string, number])[],
  diffIds = layers.length,
): number[] {
  const descriptors = layers.map(([mediaType, size]) => ({ mediaType, size, digest: "sha256:0" }));
  const manifest = { document: { layers: descriptors } } as unknown as ManifestNode;
  const selected = descriptors.map((descriptor, index) => ({ manifest, index, descriptor }));
  const config = { diffIds: Array.from({ length: diffIds }, (_, i) => `sha256:${String(i)}`) };
  const found = plainDiffIds(selected as unknown as SelectedLayer[], new Map([[manifest, config]]));
  return [...found.keys()].map(({ index }) => index).sort((a, b) => a - b);
}

it("compares the smallest compressed layers, up to 64 MiB in total", () => {
  expect(compared([[GZIP, 200 * MIB], [GZIP, 40 * MIB], [GZIP, 30 * MIB], [GZIP, 10 * MIB]])).toEqual([2, 3]); // prettier-ignore
  expect(compared([[`${TAR}+zstd`, 65 * MIB], ["application/vnd.docker.image.rootfs.diff.tar.gzip", 64 * MIB]])).toEqual([1]); // prettier-ignore
});

it("compares every layer that is not compressed", () => {
  expect(compared([[TAR, 900 * MIB], [GZIP, 64 * MIB], [TAR, 1]])).toEqual([0, 1, 2]); // prettier-ignore
});

it("compares nothing if the config has another number of diffIDs", () => {
  expect(compared([[GZIP, 1], [GZIP, 1]], 1)).toEqual([]); // prettier-ignore
});
