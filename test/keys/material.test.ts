import { describe, expect, it } from "vitest";
import { readKeyMaterial } from "../../src/keys/material.js";
import { expectCode } from "../support/codes.js";
import { vectorFile } from "../support/vectors.js";

const PEM = vectorFile("keys/ec-p256.pub.pem").toString();
const DER = vectorFile("peers/keys/rsa2048.pub.der");
const JWK = vectorFile("keys/ec-p256.pub.jwk").toString();
const MIB = 1024 * 1024;

describe("readKeyMaterial", () => {
  it.each<[string, string, string]>([
    ["PEM", PEM, "pem"],
    ["PEM with a byte order mark", `\uFEFF${PEM}`, "pem"],
    ["PEM with CRLF", PEM.replaceAll("\n", "\r\n"), "pem"],
    ["PEM without a newline at its end", PEM.trimEnd(), "pem"],
    ["PEM with text around", `subject=CN = x\n\n${PEM}\n\n-- \nme`, "pem"],
    ["a JWK", JWK, "jwk"],
    ["a JWK with a byte order mark", `\uFEFF${JWK}`, "jwk"],
    ["a JWK with space around", `\r\n\t ${JWK} \n`, "jwk"],
  ])("tells %s, as text and as bytes", (_, text, form) => {
    expect(readKeyMaterial(text).form).toBe(form);
    expect(readKeyMaterial(Buffer.from(text)).form).toBe(form);
    expect(readKeyMaterial(Uint8Array.from(Buffer.from(text))).form).toBe(form);
  });

  it("tells DER, as bytes and not as text", async () => {
    expect(readKeyMaterial(DER)).toEqual({ form: "der", kind: "spki", bytes: DER });
    await expectCode(() => readKeyMaterial(DER.toString("latin1")), "KEY_UNRECOGNIZED");
    expect(readKeyMaterial(DER.toString("base64"))).toEqual({
      form: "der",
      kind: "spki",
      bytes: DER,
    });
  });

  it("takes an object for a JWK", () => {
    const value = JSON.parse(JWK) as Record<string, unknown>;
    expect(readKeyMaterial(value)).toEqual({ form: "jwk", value });
  });

  it.each<[string, string | Uint8Array, RegExp]>([
    ["nothing", "", /empty/],
    ["no bytes", new Uint8Array(0), /empty/],
    ["space", " \n\t", /empty/],
    ["a byte order mark", "\uFEFF", /empty/],
    ["text", "a key for me@host", /neither/],
    ["random bytes", Buffer.from([1, 2, 3, 255, 254, 0]), /neither/],
    ["zeros", new Uint8Array(100), /neither/],
    ["a PEM that is cut", PEM.slice(0, -30), /no end/],
    ["the first line of a PEM", PEM.slice(0, 30), /no end/],
    ["DER that is cut", DER.subarray(0, -1), /neither/],
    ["DER and more", Buffer.concat([DER, DER]), /neither/],
    ["half a JWK", JWK.slice(0, -5), /JSON/],
    ["a JWK and more", `${JWK}${JWK}`, /JSON/],
    ["an array of JWKs", `[${JWK}]`, /neither/],
    ["too much text", PEM.padEnd(MIB + 1, " "), /larger/],
    ["too many bytes", new Uint8Array(MIB + 1), /larger/],
    ["an endless JWK", `{"a":"${"x".repeat(2 * MIB)}"}`, /larger/],
  ])("refuses %s", async (_, input, reason) => {
    const error = await expectCode(() => readKeyMaterial(input), "KEY_UNRECOGNIZED");
    expect(error.message).toMatch(reason);
  });

  it("does not quote a broken JWK", async () => {
    const broken = vectorFile("keys/ec-p256.jwk").toString().replace('"d"', "d");
    const { d } = JSON.parse(vectorFile("keys/ec-p256.jwk").toString()) as { d: string };
    const error = await expectCode(() => readKeyMaterial(broken), "KEY_UNRECOGNIZED");
    expect(error.message).not.toContain(d.slice(0, 6));
    expect(error.cause).toBeUndefined();
  });
});
