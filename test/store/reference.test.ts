import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OcicryptError } from "../../src/errors.js";
import { parseLayoutReference, type LayoutReference } from "../../src/store/reference.js";
import { expectCode } from "../support/codes.js";

const SHA256 = `sha256:${"0123456789abcdef".repeat(4)}`;
const SHA512 = `sha512:${"0123456789abcdef".repeat(8)}`;

describe("parseLayoutReference", () => {
  it.each<[string, LayoutReference]>([
    ["oci:app", { path: "app" }],
    ["oci:.", { path: "." }],
    ["oci:/", { path: "/" }],
    ["oci:/a/b c/é", { path: "/a/b c/é" }],
    ["oci:app/", { path: "app/" }],
    ["oci:../app:latest", { path: "../app", tag: "latest" }],
    ["oci:app:1.0", { path: "app", tag: "1.0" }],
    ["oci:app:a:b", { path: "app", tag: "a:b" }],
    [
      "oci:app:docker.io/library/app:1@x+y_z",
      { path: "app", tag: "docker.io/library/app:1@x+y_z" },
    ],
    [`oci:app:${"a".repeat(255)}`, { path: "app", tag: "a".repeat(255) }],
    ["oci:oci:oci", { path: "oci", tag: "oci" }],
    ["oci:a@b", { path: "a@b" }],
    ["oci:a@b:c", { path: "a@b", tag: "c" }],
    [`oci:app@${SHA256}`, { path: "app", digest: SHA256 }],
    [`oci:app@${SHA512}`, { path: "app", digest: SHA512 }],
    [`oci:app:tag@${SHA256}`, { path: "app", tag: "tag", digest: SHA256 }],
    [`oci:a@b:c@d@${SHA256}`, { path: "a@b", tag: "c@d", digest: SHA256 }],
  ])("%s", (text, expected) => {
    expect(parseLayoutReference(text)).toEqual(expected);
  });

  it.each([
    ["", "no transport"],
    ["app", "no transport"],
    ["./app:latest", "no transport"],
    ["OCI:app", "no transport"],
    [" oci:app", "no transport"],
    ["C:\\app", "no transport"],
    ["docker://registry.example/app", "docker"],
    ["docker-archive:app.tar", "docker-archive"],
    ["oci-archive:app.tar:latest", "oci-archive"],
    ["containers-storage:app", "containers-storage"],
    ["oci:", "no directory"],
    ["oci::latest", "no directory"],
    [`oci:@${SHA256}`, "no directory"],
    ["oci:app:", "tag"],
    ["oci:app: latest", "tag"],
    ["oci:app:-latest", "tag"],
    ["oci:app:lat est", "tag"],
    ["oci:app:latest\n", "tag"],
    ["oci:app:é", "tag"],
    [`oci:app:${"a".repeat(256)}`, "tag"],
    [`oci:app:@${SHA256}`, "tag"],
    ["oci:app@sha256:", "digest"],
    ["oci:app@sha256:../../x", "digest"],
    [`oci:app@${SHA256.toUpperCase().replace("SHA", "sha")}`, "digest"],
    [`oci:app@${SHA256}0`, "digest"],
    [`oci:app@${SHA256.replace("256", "512")}`, "digest"],
  ])("rejects %j", async (text, said) => {
    const { message } = await expectCode(() => parseLayoutReference(text), "REFERENCE_INVALID");
    expect(message).toContain(said);
  });

  it("accepts or rejects any text, and returns its parts", () => {
    const part = fc.oneof(
      fc.constantFrom("oci:", ":", "@", "@sha256:", SHA256, SHA512, "a", "/"),
      fc.string({ unit: "binary" }),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
        const text = parts.join("");
        let reference;
        try {
          reference = parseLayoutReference(text);
        } catch (error) {
          expect(error).toBeInstanceOf(OcicryptError);
          expect((error as OcicryptError).code).toBe("REFERENCE_INVALID");
          return;
        }
        const { path, tag, digest } = reference;
        const behind = (mark: string, value?: string): string =>
          value === undefined ? "" : mark + value;
        expect(`oci:${path}${behind(":", tag)}${behind("@", digest)}`).toBe(text);
      }),
      { numRuns: 100 },
    );
  });
});
