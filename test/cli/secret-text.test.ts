import { generateKeyPairSync, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { looksEncoded, withoutSecrets } from "../../src/cli/secret-text.js";

const HEX = "0123456789abcdef".repeat(4);

describe("a text", () => {
  it("may be a key, in any encoding", () => {
    for (let i = 0; i < 200; i++) {
      const bytes = randomBytes(48 + i);
      for (const encoding of ["base64", "base64url", "hex"] as const) {
        expect(looksEncoded(bytes.toString(encoding)), bytes.toString("hex")).toBe(true);
      }
    }
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const der = privateKey.export({ type: "pkcs8", format: "der" }).toString("base64");
    for (const text of [der, `jwe:${der}`, `${der}:pass=x`, `./${der}`, `${der}\n`]) {
      expect(looksEncoded(text)).toBe(true);
      expect(withoutSecrets(text)).toBe("…");
    }
  });

  it.each([
    "private.pem",
    "/home/someone/projects/company/platform/deployments/production/keys/private",
    "/home/someone/Projects/Company/Platform/Deployments/Production/Keys/private.pem",
    `/var/keys/${HEX}.pem`,
    `oci:app@sha256:${HEX}`,
    `docker://registry.example/app@sha256:${HEX}`,
    `docker://registry.example/app:sha256-${HEX}.sig`,
    "",
  ])("may be a name: %s", (text) => {
    expect(looksEncoded(text)).toBe(false);
  });

  it.each([
    ["encryt", "encryt"],
    ["k.pem:pass=s3cret", "k.pem:…"],
    ["jwe:", "jwe:"],
    ["-----BEGIN PRIVATE KEY-----", "…"],
    ['{"kty":"EC"}', "…"],
  ])("is shown without what may be secret: %s", (text, expected) => {
    expect(withoutSecrets(text)).toBe(expected);
  });
});
