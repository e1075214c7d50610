import { generateKeyPairSync, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { bytes, looksEncoded, plural, printable, withoutSecrets } from "../../src/cli/text.js";

describe("text for a terminal", () => {
  it.each([
    ["plain Ünicode 漢字 \u{1f600}", "plain Ünicode 漢字 \u{1f600}"],
    ["a\u001b[31mred", "a\uFFFD[31mred"],
    ["a\r\n\tb\u0000\u0007\u0008", "a\uFFFD\uFFFD\uFFFDb\uFFFD\uFFFD\uFFFD"],
    ["\u007f\u0080\u009b31m\u009f", "\uFFFD\uFFFD\uFFFD31m\uFFFD"],
    ["\u202egpj.exe\u202c\u2066x\u2069\u2028", "\uFFFDgpj.exe\uFFFD\uFFFDx\uFFFD\uFFFD"],
  ])("%j contains no control characters", (text, expected) => {
    expect(printable(text)).toBe(expected);
  });

  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [1536, "1.5 KiB"],
    [5 * 1024 ** 2, "5.0 MiB"],
    [3 * 1024 ** 3, "3.0 GiB"],
    [2 * 1024 ** 4, "2.0 TiB"],
    [5000 * 1024 ** 4, "5000.0 TiB"],
  ])("%i bytes are %s", (count, expected) => {
    expect(bytes(count)).toBe(expected);
  });

  it.each([
    [0, "0 layers"],
    [1, "1 layer"],
    [2, "2 layers"],
  ])("%i", (count, expected) => {
    expect(plural(count, "layer")).toBe(expected);
  });
});

const HEX = "0123456789abcdef".repeat(4);

describe("a text", () => {
  it("may be a key in any encoding", () => {
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
  ])("is shown without its possible secret: %s", (text, expected) => {
    expect(withoutSecrets(text)).toBe(expected);
  });
});
