import { describe, expect, it } from "vitest";
import {
  encryptionSchemes,
  foreignAnnotations,
  isEncryptedDescriptor,
  replaceContent,
  type DescriptorLike,
} from "../../src/spec/descriptor.js";
import { deepFreeze } from "../support/freeze.js";
import { ENC, TAR } from "../support/layers.js";

const DIGEST = `sha256:${"0".repeat(64)}`;

describe("encryptionSchemes and isEncryptedDescriptor", () => {
  it.each<[string, DescriptorLike, string[], boolean]>([
    ["a plain layer", { mediaType: TAR }, [], false],
    ["other annotations", { mediaType: TAR, annotations: { a: "b" } }, [], false],
    ["the media type alone", { mediaType: `${TAR}+encrypted` }, [], true],
    [
      "wrapped keys under a plain type",
      { mediaType: TAR, annotations: { [`${ENC}keys.jwe`]: "AA==" } },
      ["jwe"],
      true,
    ],
    [
      "a scheme nobody knows",
      { mediaType: TAR, annotations: { [`${ENC}keys.provider.x.y`]: "AA==" } },
      ["provider.x.y"],
      true,
    ],
    [
      "several, in their order",
      {
        mediaType: `${TAR}+encrypted`,
        annotations: { [`${ENC}keys.pkcs7`]: "", z: "", [`${ENC}keys.jwe`]: "" },
      },
      ["pkcs7", "jwe"],
      true,
    ],
    [
      "public options alone",
      { mediaType: TAR, annotations: { [`${ENC}pubopts`]: "e30=" } },
      [],
      false,
    ],
    [
      "names that are only like it",
      { mediaType: TAR, annotations: { [`x${ENC}keys.jwe`]: "", [`${ENC}keysjwe`]: "" } },
      [],
      false,
    ],
    ["annotations that are undefined", { mediaType: TAR, annotations: undefined }, [], false],
  ])("%s", (_, descriptor, schemes, encrypted) => {
    expect(encryptionSchemes(deepFreeze(descriptor))).toEqual(schemes);
    expect(isEncryptedDescriptor(descriptor)).toBe(encrypted);
  });
});

describe("foreignAnnotations", () => {
  it("removes only the annotations of encryption", () => {
    const annotations = deepFreeze({
      "org.opencontainers.image.encoding": "kept",
      [`${ENC}keys.jwe`]: "gone",
      [`${ENC}pubopts`]: "gone",
      [`${ENC}of.the.future`]: "gone",
      "": "kept",
    });
    expect(foreignAnnotations({ mediaType: TAR, annotations })).toEqual({
      "org.opencontainers.image.encoding": "kept",
      "": "kept",
    });
    expect(foreignAnnotations({ mediaType: TAR })).toEqual({});
  });

  it("keeps an annotation named __proto__", () => {
    const annotations = JSON.parse('{"__proto__":"a","b":"c"}') as Record<string, string>;
    const kept = foreignAnnotations({ mediaType: TAR, annotations });
    expect(Object.keys(kept)).toEqual(["__proto__", "b"]);
    expect(Object.getPrototypeOf(kept)).toBe(Object.prototype);
  });
});

describe("replaceContent", () => {
  const old = deepFreeze({
    mediaType: TAR,
    digest: DIGEST,
    size: 5,
    data: "c2VjcmV0",
    urls: ["https://example.com/layer"],
    annotations: { old: "" },
    artifactType: "text/x",
    platform: { architecture: "arm64", os: "linux" },
    "com.example.unknown": [1, { two: 2 }],
  });
  const content = { mediaType: "text/y", digest: `sha256:${"1".repeat(64)}`, size: 6 };

  it("keeps members that do not depend on the content, in order", () => {
    const result = replaceContent(old, { ...content, annotations: { new: "" } });
    expect(result).toEqual({
      ...content,
      annotations: { new: "" },
      artifactType: "text/x",
      platform: { architecture: "arm64", os: "linux" },
      "com.example.unknown": [1, { two: 2 }],
    });
    expect(Object.keys(result).slice(0, 3)).toEqual(["mediaType", "digest", "size"]);
  });

  it.each([
    ["without annotations", {}],
    ["with none in them", { annotations: {} }],
    ["with undefined ones", { annotations: undefined }],
  ])("%s there is no such member", (_, annotations) => {
    expect("annotations" in replaceContent(old, { ...content, ...annotations })).toBe(false);
  });

  it("does not change the prototype of a descriptor", () => {
    const hostile = JSON.parse(
      `{"mediaType":"${TAR}","__proto__":{"polluted":true},"constructor":1}`,
    ) as DescriptorLike;
    const result = replaceContent(hostile, content);
    expect(Object.getPrototypeOf(result)).toBe(Object.prototype);
    expect((result as unknown as { polluted?: boolean }).polluted).toBeUndefined();
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});
