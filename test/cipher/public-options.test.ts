import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isOcicryptError, type ErrorCode } from "../../src/errors.js";
import { parsePublicOptions, serializePublicOptions } from "../../src/cipher/public-options.js";
import { expectCode } from "../support/codes.js";
import { base64, ENC, NONCE, rightPublicOptions, TAR } from "../support/layers.js";

const right = rightPublicOptions(Buffer.from("ciphertext"));
const { cipher, hmac } = right;
const cipheroptions = {};

function descriptor(annotation: string | undefined): Parameters<typeof parsePublicOptions>[0] {
  const annotations = annotation === undefined ? {} : { [`${ENC}pubopts`]: annotation };
  return { mediaType: `${TAR}+encrypted`, annotations };
}
const withOptions = (options: unknown): ReturnType<typeof descriptor> =>
  descriptor(base64(typeof options === "string" ? options : JSON.stringify(options)));

describe("parsePublicOptions", () => {
  it.each<[string, unknown]>([
    ["Go's form", right],
    ["the order of the Rust side", { cipher, cipheroptions, hmac }],
    ["null for the cipher options", { cipher, hmac, cipheroptions: null }],
    ["no cipher options", { cipher, hmac }],
    ["other cipher options", { cipher, hmac, cipheroptions: { tag: "AA==" } }],
    ["unknown members", { ...right, version: 9 }],
    ["names in another case", { Cipher: cipher, HMAC: hmac, cipherOptions: {} }],
    ["line breaks in base64", { ...right, hmac: `${hmac.slice(0, 20)}\n${hmac.slice(20)}\r\n` }],
    [
      "a cipher option that is inherited",
      `{"cipheroptions":{"__proto__":{"nonce":"AA=="}},${JSON.stringify({ cipher, hmac }).slice(1)}`,
    ],
    ["a nonce outside of the cipher options", { ...right, nonce: base64(NONCE) }],
  ])("reads %s", (_, options) => {
    const read = parsePublicOptions(withOptions(options));
    expect(read.cipher).toBe("AES_256_CTR_HMAC_SHA256");
    expect(Buffer.from(read.hmac)).toEqual(Buffer.from(hmac, "base64"));
  });

  it("reads an annotation with line breaks, as Go does", () => {
    const annotation = base64(JSON.stringify(right)).replaceAll(/.{64}/g, "$&\r\n");
    expect(parsePublicOptions(descriptor(annotation)).cipher).toBe(cipher);
  });

  it.each<[string, unknown, ErrorCode]>([
    ["no JSON", "cipher", "PUBLIC_OPTIONS_INVALID"],
    ["null", null, "PUBLIC_OPTIONS_INVALID"],
    ["an array", [right], "PUBLIC_OPTIONS_INVALID"],
    ["a number", 1, "PUBLIC_OPTIONS_INVALID"],
    ["a string", '"x"', "PUBLIC_OPTIONS_INVALID"],
    ["an empty object", {}, "CIPHER_UNSUPPORTED"],
    ["no cipher", { hmac, cipheroptions }, "CIPHER_UNSUPPORTED"],
    ["an empty cipher", { ...right, cipher: "" }, "CIPHER_UNSUPPORTED"],
    ["a cipher that is null", { ...right, cipher: null }, "CIPHER_UNSUPPORTED"],
    ["a cipher that is a list", { ...right, cipher: [cipher] }, "CIPHER_UNSUPPORTED"],
    ["an unknown cipher", { ...right, cipher: "AEAD_AES_256_GCM" }, "CIPHER_UNSUPPORTED"],
    [
      "the cipher in another case",
      { ...right, cipher: cipher.toLowerCase() },
      "CIPHER_UNSUPPORTED",
    ],
    ["a space behind the cipher", { ...right, cipher: `${cipher} ` }, "CIPHER_UNSUPPORTED"],
    ["no HMAC", { cipher, cipheroptions }, "HMAC_MISSING"],
    ["an HMAC that is null", { ...right, hmac: null }, "HMAC_MISSING"],
    ["an empty HMAC", { ...right, hmac: "" }, "HMAC_MISSING"],
    ["31 bytes of HMAC", { ...right, hmac: base64(Buffer.alloc(31)) }, "HMAC_INVALID"],
    ["33 bytes of HMAC", { ...right, hmac: base64(Buffer.alloc(33)) }, "HMAC_INVALID"],
    ["64 bytes of HMAC", { ...right, hmac: base64(Buffer.alloc(64)) }, "HMAC_INVALID"],
    ["an HMAC without padding", { ...right, hmac: hmac.slice(0, -1) }, "PUBLIC_OPTIONS_INVALID"],
    ["a space before the HMAC", { ...right, hmac: ` ${hmac}` }, "PUBLIC_OPTIONS_INVALID"],
    ["a hexadecimal HMAC", { ...right, hmac: "zz".repeat(32) }, "HMAC_INVALID"],
    ["an HMAC of numbers", { ...right, hmac: [1, 2, 3] }, "PUBLIC_OPTIONS_INVALID"],
    ["a nonce", { ...right, cipheroptions: { nonce: base64(NONCE) } }, "NONCE_OVERRIDDEN"],
    [
      "a nonce of 15 bytes",
      { ...right, cipheroptions: { nonce: base64(NONCE.subarray(1)) } },
      "NONCE_OVERRIDDEN",
    ],
    ["an empty nonce", { ...right, cipheroptions: { nonce: "" } }, "NONCE_OVERRIDDEN"],
    ["a nonce that is null", { ...right, cipheroptions: { nonce: null } }, "NONCE_OVERRIDDEN"],
    [
      "a nonce under CipherOptions",
      { cipher, hmac, CipherOptions: { nonce: "AA==" } },
      "NONCE_OVERRIDDEN",
    ],
    ["cipher options that are an array", { ...right, cipheroptions: [] }, "PUBLIC_OPTIONS_INVALID"],
    ["cipher options that are a string", { ...right, cipheroptions: "" }, "PUBLIC_OPTIONS_INVALID"],
    ["two HMACs by case", { ...right, Hmac: hmac }, "PUBLIC_OPTIONS_INVALID"],
    ["two cipher options by case", { ...right, cipherOptions: null }, "PUBLIC_OPTIONS_INVALID"],
    ["all of it in __proto__", `{"__proto__":${JSON.stringify(right)}}`, "CIPHER_UNSUPPORTED"],
  ])("refuses %s", async (_, options, code) => {
    await expectCode(() => parsePublicOptions(withOptions(options)), code);
  });

  const annotation = base64(JSON.stringify(right));
  it.each<[string, string | undefined, ErrorCode]>([
    ["none", undefined, "PUBLIC_OPTIONS_MISSING"],
    ["an empty one", "", "PUBLIC_OPTIONS_INVALID"],
    ["one without padding", annotation.replace(/=+$/, "").slice(0, -1), "ANNOTATION_BASE64"],
    ["one with a space before", ` ${annotation}`, "ANNOTATION_BASE64"],
    ["a URL-safe one", Buffer.from('{"a":"~~?"}>').toString("base64url"), "ANNOTATION_BASE64"],
    ["plain JSON", JSON.stringify(right), "ANNOTATION_BASE64"],
    ["two of them", `${annotation},${annotation}`, "ANNOTATION_BASE64"],
    ["one over the limit", "A".repeat(1024 * 1024 + 4), "ANNOTATION_TOO_LARGE"],
    ["garbage up to the limit", "A".repeat(1024 * 1024), "PUBLIC_OPTIONS_INVALID"],
  ])("refuses an annotation: %s", async (_, text, code) => {
    await expectCode(() => parsePublicOptions(descriptor(text)), code);
  });

  it("refuses a descriptor without annotations", async () => {
    await expectCode(() => parsePublicOptions({ mediaType: TAR }), "PUBLIC_OPTIONS_MISSING");
  });

  it("names no more of an unknown cipher than fits a line", async () => {
    const options = { ...right, cipher: "x".repeat(500_000) };
    const error = await expectCode(
      () => parsePublicOptions(withOptions(options)),
      "CIPHER_UNSUPPORTED",
    );
    expect(error.message.length).toBeLessThan(300);
  });

  it("reads or refuses any JSON, and fails in no other way", () => {
    const value = fc.jsonValue({ maxDepth: 2 });
    const options = fc.record(
      {
        cipher: fc.oneof(fc.constant(cipher), value),
        hmac: fc.oneof(fc.constant(hmac), value),
        cipheroptions: value,
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(options, fc.jsonValue(), fc.string()), (input) => {
        try {
          expect(parsePublicOptions(withOptions(input)).hmac.byteLength).toBe(32);
        } catch (error) {
          expect(isOcicryptError(error)).toBe(true);
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe("serializePublicOptions", () => {
  it("writes Go's bytes, and {} where the Rust side needs it", () => {
    const annotation = serializePublicOptions({
      cipher: "AES_256_CTR_HMAC_SHA256",
      hmac: Buffer.from(hmac, "base64"),
    });
    expect(Buffer.from(annotation, "base64").toString()).toBe(
      `{"cipher":"AES_256_CTR_HMAC_SHA256","hmac":"${hmac}","cipheroptions":{}}`,
    );
  });
});
