import { describe, expect, it } from "vitest";
import {
  encryptedMediaType,
  isAmbiguousMediaType,
  isEncryptedMediaType,
  layerCompression,
  ociMediaType,
  plainMediaType,
} from "../../src/spec/media-types.js";
import { expectCode } from "../support/codes.js";

const OCI = "application/vnd.oci.image.layer";
const DOCKER = "application/vnd.docker.image.rootfs";

// spec/spec.go of ocicrypt, and other types that a caller may use.
const SUFFIXED = [
  `${OCI}.v1.tar`,
  `${OCI}.v1.tar+gzip`,
  `${OCI}.v1.tar+zstd`,
  `${OCI}.nondistributable.v1.tar`,
  `${OCI}.nondistributable.v1.tar+gzip`,
  `${OCI}.nondistributable.v1.tar+zstd`,
  "application/vnd.wasm.content.layer.v1+wasm",
  "application/octet-stream",
  "application/vnd.in-toto+json",
];

describe("media types", () => {
  it.each(SUFFIXED)("%s gets a suffix when it is encrypted, and loses it again", (plain) => {
    expect(encryptedMediaType(plain)).toBe(`${plain}+encrypted`);
    expect(plainMediaType(`${plain}+encrypted`)).toBe(plain);
    expect(isEncryptedMediaType(`${plain}+encrypted`)).toBe(true);
    expect(isEncryptedMediaType(plain)).toBe(false);
    expect(plainMediaType(plain)).toBe(plain);
  });

  it.each([
    [`${DOCKER}.diff.tar`, `${OCI}.v1.tar+encrypted`],
    [`${DOCKER}.diff.tar.gzip`, `${OCI}.v1.tar+gzip+encrypted`],
    [`${DOCKER}.diff.tar.zstd`, `${OCI}.v1.tar+zstd+encrypted`],
    [`${DOCKER}.foreign.diff.tar`, `${OCI}.nondistributable.v1.tar+encrypted`],
    [`${DOCKER}.foreign.diff.tar.gzip`, `${OCI}.nondistributable.v1.tar+gzip+encrypted`],
    [`${DOCKER}.foreign.diff.tar.zstd`, `${OCI}.nondistributable.v1.tar+zstd+encrypted`],
  ])("Docker's %s becomes %s", (plain, encrypted) => {
    expect(encryptedMediaType(plain)).toBe(encrypted);
    expect(`${ociMediaType(plain)}+encrypted`).toBe(encrypted);
  });

  it.each([
    ...SUFFIXED,
    `${DOCKER}.diff.tar.gzip+encrypted`,
    "application/vnd.docker.plugin.v1+json",
  ])("%s has no OCI equivalent", (mediaType) => {
    expect(ociMediaType(mediaType)).toBe(mediaType);
  });

  it("the type that c/image writes for Docker's type is converted back", () => {
    expect(plainMediaType(`${DOCKER}.diff.tar.gzip+encrypted`)).toBe(`${DOCKER}.diff.tar.gzip`);
  });

  it.each([`${OCI}.v1.tar+encrypted`, `${DOCKER}.diff.tar.gzip+encrypted`, "a+encrypted"])(
    "%s is not encrypted twice",
    async (mediaType) => {
      await expectCode(() => encryptedMediaType(mediaType), "ALREADY_ENCRYPTED");
    },
  );

  it.each(["+encrypted", "", "encrypted", `${OCI}.v1.tar+ENCRYPTED`, "a+encrypted+gzip"])(
    "%j is not an encrypted type",
    (mediaType) => {
      expect(isEncryptedMediaType(mediaType)).toBe(false);
      expect(plainMediaType(mediaType)).toBe(mediaType);
    },
  );

  it.each([
    ...["+encrypted+encrypted", "+encrypted+gzip", "+encrypted+gzip+encrypted", "+ENCRYPTED"],
    ...["+Encrypted+encrypted", "+encrypted; charset=x", "+encrypted;+encrypted", "+encrypted "],
    ...["+encrypted\n", "+encrypted-v2", "+encrypted.v2"],
  ])("%j is ambiguous, and is not encrypted again", async (suffix) => {
    expect(isAmbiguousMediaType(`${OCI}.v1.tar${suffix}`)).toBe(true);
    await expectCode(() => encryptedMediaType(`${OCI}.v1.tar${suffix}`), "ALREADY_ENCRYPTED");
  });

  it.each(["", "+gzip", "+encrypted", "+gzip+encrypted", "+encrypted2", ".encrypted"])(
    "%j is not ambiguous",
    (suffix) => {
      expect(isAmbiguousMediaType(`${OCI}.v1.tar${suffix}`)).toBe(false);
    },
  );

  it.each([
    [`${OCI}.v1.tar`, "none"],
    [`${OCI}.v1.tar+gzip`, "gzip"],
    [`${OCI}.v1.tar+zstd`, "zstd"],
    [`${OCI}.nondistributable.v1.tar`, "none"],
    [`${OCI}.nondistributable.v1.tar+gzip`, "gzip"],
    [`${OCI}.nondistributable.v1.tar+zstd`, "zstd"],
    [`${DOCKER}.diff.tar`, "none"],
    [`${DOCKER}.diff.tar.gzip`, "gzip"],
    [`${DOCKER}.diff.tar.zstd`, "zstd"],
    [`${DOCKER}.foreign.diff.tar.gzip`, "gzip"],
    [`${DOCKER}.diff.tar.gzip.x`, undefined],
    [`x${DOCKER}.diff.tar.gzip`, undefined],
    [`${OCI}.v1.tar+gzip+encrypted`, undefined],
    [`${OCI}.v1.tar+xz`, undefined],
    [`${OCI}.v1.tar.gzip`, undefined],
    [`${OCI}.v1.tar+gzip\n`, undefined],
    ["application/vnd.wasm.content.layer.v1+wasm", undefined],
    ["", undefined],
  ])("layerCompression(%j) is %s", (mediaType, expected) => {
    expect(layerCompression(mediaType)).toBe(expected);
  });
});
