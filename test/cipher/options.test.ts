import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ErrorCode, isOcicryptError } from "../../src/errors.js";
import {
  parsePrivateOptions,
  parsePublicOptions,
  serializePrivateOptions,
  serializePublicOptions,
  wipePrivateOptions,
} from "../../src/cipher/options.js";
import { expectCode } from "../support/codes.js";
import {
  base64,
  ENC,
  NONCE,
  rightPrivateOptions,
  rightPublicOptions,
  SYMKEY,
  TAR,
} from "../support/layers.js";

const bytes = (value: unknown): Uint8Array =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const right = { symkey: SYMKEY, nonce: NONCE, digest: "" };
const { symkey, cipheroptions } = rightPrivateOptions;
const key = symkey;
const nonce = cipheroptions.nonce;

describe("parsePrivateOptions", () => {
  it.each<[string, unknown]>([
    ["Go's form", rightPrivateOptions],
    ["the order of the Rust side", { symkey, cipheroptions, digest: "" }],
    ["no digest", { symkey, cipheroptions }],
    ["a digest that is null", { symkey, digest: null, cipheroptions }],
    ["unknown members", { ...rightPrivateOptions, version: 2, next: { symkey: "x" } }],
    ["other cipher options", { symkey, cipheroptions: { ...cipheroptions, tag: "x" } }],
    ["names in another case", { SymKey: key, DIGEST: "", cipherOptions: { nonce } }],
    ["space around", ` \n${JSON.stringify(rightPrivateOptions)}\n`],
    ["line breaks in base64", { symkey: `${key.slice(0, 9)}\r\n${key.slice(9)}\n`, cipheroptions }],
    [
      "a member called __proto__",
      `{"__proto__":{"symkey":"AA=="},${JSON.stringify(rightPrivateOptions).slice(1)}`,
    ],
  ])("reads %s", (_, options) => {
    const { symkey, nonce, digest, binding } = parsePrivateOptions(bytes(options));
    expect(binding).toBeUndefined();
    expect({ symkey: Buffer.from(symkey), nonce: Buffer.from(nonce), digest }).toEqual(right);
  });

  it.each<[string, unknown, ErrorCode]>([
    ["nothing", "", "PRIVATE_OPTIONS_INVALID"],
    ["no JSON", "symkey", "PRIVATE_OPTIONS_INVALID"],
    ["half of it", JSON.stringify(rightPrivateOptions).slice(0, -1), "PRIVATE_OPTIONS_INVALID"],
    ["more behind", `${JSON.stringify(rightPrivateOptions)},`, "PRIVATE_OPTIONS_INVALID"],
    ["null", null, "PRIVATE_OPTIONS_INVALID"],
    ["an array", [rightPrivateOptions], "PRIVATE_OPTIONS_INVALID"],
    ["a number", 1, "PRIVATE_OPTIONS_INVALID"],
    ["a string", '"symkey"', "PRIVATE_OPTIONS_INVALID"],
    ["true", true, "PRIVATE_OPTIONS_INVALID"],
    ["an empty object", {}, "SYMKEY_INVALID"],
    ["no key", { cipheroptions }, "SYMKEY_INVALID"],
    ["a key that is null", { symkey: null, cipheroptions }, "SYMKEY_INVALID"],
    ["an empty key", { symkey: "", cipheroptions }, "SYMKEY_INVALID"],
    ["16 bytes of key", { symkey: base64(SYMKEY.subarray(16)), cipheroptions }, "SYMKEY_INVALID"],
    ["31 bytes of key", { symkey: base64(SYMKEY.subarray(1)), cipheroptions }, "SYMKEY_INVALID"],
    ["33 bytes of key", { symkey: base64(Buffer.alloc(33)), cipheroptions }, "SYMKEY_INVALID"],
    [
      "a key without padding",
      { symkey: key.slice(0, -1), cipheroptions },
      "PRIVATE_OPTIONS_INVALID",
    ],
    ["a space before the key", { symkey: ` ${key}`, cipheroptions }, "PRIVATE_OPTIONS_INVALID"],
    ["a URL-safe key", { symkey: `-_${key.slice(2)}`, cipheroptions }, "PRIVATE_OPTIONS_INVALID"],
    ["a key of numbers", { symkey: [...SYMKEY], cipheroptions }, "PRIVATE_OPTIONS_INVALID"],
    ["a key that is a number", { symkey: 1, cipheroptions }, "PRIVATE_OPTIONS_INVALID"],
    ["no cipher options", { symkey }, "NONCE_MISSING"],
    ["cipher options that are null", { symkey, cipheroptions: null }, "NONCE_MISSING"],
    ["no nonce", { symkey, cipheroptions: {} }, "NONCE_MISSING"],
    ["a nonce that is null", { symkey, cipheroptions: { nonce: null } }, "NONCE_MISSING"],
    ["an empty nonce", { symkey, cipheroptions: { nonce: "" } }, "NONCE_MISSING"],
    ["a nonce of another name", { symkey, cipheroptions: { Nonce: nonce } }, "NONCE_MISSING"],
    ["a nonce outside", { symkey, nonce, cipheroptions: {} }, "NONCE_MISSING"],
    [
      "a nonce in __proto__",
      `{"symkey":"${key}","cipheroptions":{"__proto__":{"nonce":"${nonce}"}}}`,
      "NONCE_MISSING",
    ],
    ["1 byte of nonce", { symkey, cipheroptions: { nonce: "AA==" } }, "NONCE_INVALID"],
    [
      "12 bytes of nonce",
      { symkey, cipheroptions: { nonce: base64(NONCE.subarray(4)) } },
      "NONCE_INVALID",
    ],
    [
      "15 bytes of nonce",
      { symkey, cipheroptions: { nonce: base64(NONCE.subarray(1)) } },
      "NONCE_INVALID",
    ],
    [
      "17 bytes of nonce",
      { symkey, cipheroptions: { nonce: base64(Buffer.alloc(17)) } },
      "NONCE_INVALID",
    ],
    [
      "a nonce without padding",
      { symkey, cipheroptions: { nonce: nonce.slice(0, -2) } },
      "PRIVATE_OPTIONS_INVALID",
    ],
    [
      "cipher options that are an array",
      { symkey, cipheroptions: [nonce] },
      "PRIVATE_OPTIONS_INVALID",
    ],
    [
      "cipher options that are a string",
      { symkey, cipheroptions: nonce },
      "PRIVATE_OPTIONS_INVALID",
    ],
    ...["", null, 7, "?", [1]].map((entry): [string, unknown, ErrorCode] => [
      `a binding that is ${JSON.stringify(entry)}`,
      { symkey, cipheroptions: { nonce, "image-binding": entry } },
      "PRIVATE_OPTIONS_INVALID",
    ]),
    ["a digest that is a number", { ...rightPrivateOptions, digest: 1 }, "PRIVATE_OPTIONS_INVALID"],
    ["two keys by case", { ...rightPrivateOptions, SYMKEY: key }, "PRIVATE_OPTIONS_INVALID"],
    [
      "two cipher options by case",
      { ...rightPrivateOptions, cipherOptions: {} },
      "PRIVATE_OPTIONS_INVALID",
    ],
    [
      "unknown names that differ by case",
      { ...rightPrivateOptions, a: 1, A: 2 },
      "PRIVATE_OPTIONS_INVALID",
    ],
  ])("rejects %s", async (_, options, code) => {
    const error = await expectCode(() => parsePrivateOptions(bytes(options)), code);
    expect(error.message).not.toContain(key.slice(0, 12));
    expect(error.cause).toBeUndefined();
  });

  it("rejects bytes that are not UTF-8", async () => {
    const json = Buffer.concat([bytes(rightPrivateOptions).subarray(0, -1), Buffer.from([0xff])]);
    await expectCode(() => parsePrivateOptions(json), "PRIVATE_OPTIONS_INVALID");
  });

  it("accepts or rejects any JSON and any bytes with a documented error", () => {
    const members = fc.record(
      {
        symkey: fc.oneof(fc.constant(key), fc.jsonValue({ maxDepth: 1 })),
        digest: fc.oneof(fc.string(), fc.jsonValue({ maxDepth: 1 })),
        cipheroptions: fc.oneof(
          fc.record({ nonce: fc.oneof(fc.constant(nonce), fc.jsonValue({ maxDepth: 1 })) }),
          fc.jsonValue({ maxDepth: 2 }),
        ),
      },
      { requiredKeys: [] },
    );
    const input = fc.oneof(members.map(bytes), fc.jsonValue().map(bytes), fc.uint8Array());
    fc.assert(
      fc.property(input, (json) => {
        try {
          const options = parsePrivateOptions(json);
          expect(options.symkey.byteLength).toBe(32);
          expect(options.nonce.byteLength).toBe(16);
        } catch (error) {
          expect(isOcicryptError(error)).toBe(true);
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe("serializePrivateOptions", () => {
  it("writes Go's bytes", () => {
    const digest = `sha256:${"ab".repeat(32)}`;
    const json = Buffer.from(serializePrivateOptions({ ...right, digest })).toString();
    expect(json).toBe(
      `{"symkey":"${key}","digest":"${digest}","cipheroptions":{"nonce":"${nonce}"}}`,
    );
    expect(json).toHaveLength(193);
  });

  it("writes a binding after the nonce, where Go and Rust ignore it", () => {
    const binding = Buffer.from("the place of the layer");
    const json = Buffer.from(serializePrivateOptions({ ...right, binding })).toString();
    const entries = `{"nonce":"${nonce}","image-binding":"${binding.toString("base64")}"}`;
    expect(json).toBe(`{"symkey":"${key}","digest":"","cipheroptions":${entries}}`);
    expect(parsePrivateOptions(bytes(json)).binding).toEqual(binding);
  });

  it("can be parsed again", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.string(),
        (symkey, nonce, digest) => {
          const read = parsePrivateOptions(serializePrivateOptions({ symkey, nonce, digest }));
          expect(Uint8Array.from(read.symkey)).toEqual(symkey);
          expect(Uint8Array.from(read.nonce)).toEqual(nonce);
          expect(read.digest).toBe(digest);
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe("wipePrivateOptions", () => {
  it("overwrites the secrets with zeros", () => {
    const options = parsePrivateOptions(bytes(rightPrivateOptions));
    wipePrivateOptions(options);
    expect(Buffer.from(options.symkey)).toEqual(Buffer.alloc(32));
    expect(Buffer.from(options.nonce)).toEqual(Buffer.alloc(16));
  });
});

it("rejects bytes that are not UTF-8 inside a string of valid JSON", async () => {
  const json = JSON.stringify({ ...rightPrivateOptions, digest: "@" });
  const [before = "", after = ""] = json.split("@");
  const invalid = Buffer.concat([Buffer.from(before), Buffer.of(0xff), Buffer.from(after)]);
  await expectCode(() => parsePrivateOptions(invalid), "PRIVATE_OPTIONS_INVALID");
});

const rightPublic = rightPublicOptions(Buffer.from("ciphertext"));
const { cipher, hmac } = rightPublic;
const noCipherOptions = {};

function descriptor(annotation: string | undefined): Parameters<typeof parsePublicOptions>[0] {
  const annotations = annotation === undefined ? {} : { [`${ENC}pubopts`]: annotation };
  return { mediaType: `${TAR}+encrypted`, annotations };
}
const withOptions = (options: unknown): ReturnType<typeof descriptor> =>
  descriptor(base64(typeof options === "string" ? options : JSON.stringify(options)));

describe("parsePublicOptions", () => {
  it.each<[string, unknown]>([
    ["Go's form", rightPublic],
    ["the order of the Rust side", { cipher, cipheroptions: noCipherOptions, hmac }],
    ["null for the cipher options", { cipher, hmac, cipheroptions: null }],
    ["no cipher options", { cipher, hmac }],
    ["other cipher options", { cipher, hmac, cipheroptions: { tag: "AA==" } }],
    ["unknown members", { ...rightPublic, version: 9 }],
    ["names in another case", { Cipher: cipher, HMAC: hmac, cipherOptions: {} }],
    [
      "line breaks in base64",
      { ...rightPublic, hmac: `${hmac.slice(0, 20)}\n${hmac.slice(20)}\r\n` },
    ],
    [
      "a cipher option that is inherited",
      `{"cipheroptions":{"__proto__":{"nonce":"AA=="}},${JSON.stringify({ cipher, hmac }).slice(1)}`,
    ],
    ["a nonce outside of the cipher options", { ...rightPublic, nonce: base64(NONCE) }],
  ])("reads %s", (_, options) => {
    const read = parsePublicOptions(withOptions(options));
    expect(read.cipher).toBe("AES_256_CTR_HMAC_SHA256");
    expect(Buffer.from(read.hmac)).toEqual(Buffer.from(hmac, "base64"));
  });

  it("reads an annotation with line breaks, as Go does", () => {
    const annotation = base64(JSON.stringify(rightPublic)).replaceAll(/.{64}/g, "$&\r\n");
    expect(parsePublicOptions(descriptor(annotation)).cipher).toBe(cipher);
  });

  it.each<[string, unknown, ErrorCode]>([
    ["no JSON", "cipher", "PUBLIC_OPTIONS_INVALID"],
    ["null", null, "PUBLIC_OPTIONS_INVALID"],
    ["an array", [rightPublic], "PUBLIC_OPTIONS_INVALID"],
    ["a number", 1, "PUBLIC_OPTIONS_INVALID"],
    ["a string", '"x"', "PUBLIC_OPTIONS_INVALID"],
    ["an empty object", {}, "CIPHER_UNSUPPORTED"],
    ["no cipher", { hmac, cipheroptions: noCipherOptions }, "CIPHER_UNSUPPORTED"],
    ["an empty cipher", { ...rightPublic, cipher: "" }, "CIPHER_UNSUPPORTED"],
    ["a cipher that is null", { ...rightPublic, cipher: null }, "CIPHER_UNSUPPORTED"],
    ["a cipher that is a list", { ...rightPublic, cipher: [cipher] }, "CIPHER_UNSUPPORTED"],
    ["an unknown cipher", { ...rightPublic, cipher: "AEAD_AES_256_GCM" }, "CIPHER_UNSUPPORTED"],
    [
      "the cipher in another case",
      { ...rightPublic, cipher: cipher.toLowerCase() },
      "CIPHER_UNSUPPORTED",
    ],
    ["a space behind the cipher", { ...rightPublic, cipher: `${cipher} ` }, "CIPHER_UNSUPPORTED"],
    ["no HMAC", { cipher, cipheroptions: noCipherOptions }, "HMAC_MISSING"],
    ["an HMAC that is null", { ...rightPublic, hmac: null }, "HMAC_MISSING"],
    ["an empty HMAC", { ...rightPublic, hmac: "" }, "HMAC_MISSING"],
    ["31 bytes of HMAC", { ...rightPublic, hmac: base64(Buffer.alloc(31)) }, "HMAC_INVALID"],
    ["33 bytes of HMAC", { ...rightPublic, hmac: base64(Buffer.alloc(33)) }, "HMAC_INVALID"],
    ["64 bytes of HMAC", { ...rightPublic, hmac: base64(Buffer.alloc(64)) }, "HMAC_INVALID"],
    [
      "an HMAC without padding",
      { ...rightPublic, hmac: hmac.slice(0, -1) },
      "PUBLIC_OPTIONS_INVALID",
    ],
    ["a space before the HMAC", { ...rightPublic, hmac: ` ${hmac}` }, "PUBLIC_OPTIONS_INVALID"],
    ["a hexadecimal HMAC", { ...rightPublic, hmac: "zz".repeat(32) }, "HMAC_INVALID"],
    ["an HMAC of numbers", { ...rightPublic, hmac: [1, 2, 3] }, "PUBLIC_OPTIONS_INVALID"],
    ["a nonce", { ...rightPublic, cipheroptions: { nonce: base64(NONCE) } }, "NONCE_OVERRIDDEN"],
    [
      "a nonce of 15 bytes",
      { ...rightPublic, cipheroptions: { nonce: base64(NONCE.subarray(1)) } },
      "NONCE_OVERRIDDEN",
    ],
    ["an empty nonce", { ...rightPublic, cipheroptions: { nonce: "" } }, "NONCE_OVERRIDDEN"],
    [
      "a nonce that is null",
      { ...rightPublic, cipheroptions: { nonce: null } },
      "NONCE_OVERRIDDEN",
    ],
    [
      "a nonce under CipherOptions",
      { cipher, hmac, CipherOptions: { nonce: "AA==" } },
      "NONCE_OVERRIDDEN",
    ],
    [
      "cipher options that are an array",
      { ...rightPublic, cipheroptions: [] },
      "PUBLIC_OPTIONS_INVALID",
    ],
    [
      "cipher options that are a string",
      { ...rightPublic, cipheroptions: "" },
      "PUBLIC_OPTIONS_INVALID",
    ],
    ["two HMACs by case", { ...rightPublic, Hmac: hmac }, "PUBLIC_OPTIONS_INVALID"],
    [
      "two cipher options by case",
      { ...rightPublic, cipherOptions: null },
      "PUBLIC_OPTIONS_INVALID",
    ],
    [
      "all of it in __proto__",
      `{"__proto__":${JSON.stringify(rightPublic)}}`,
      "CIPHER_UNSUPPORTED",
    ],
  ])("rejects %s", async (_, options, code) => {
    await expectCode(() => parsePublicOptions(withOptions(options)), code);
  });

  const annotation = base64(JSON.stringify(rightPublic));
  it.each<[string, string | undefined, ErrorCode]>([
    ["none", undefined, "PUBLIC_OPTIONS_MISSING"],
    ["an empty one", "", "PUBLIC_OPTIONS_INVALID"],
    ["one without padding", annotation.replace(/=+$/, "").slice(0, -1), "ANNOTATION_BASE64"],
    ["one with a space before", ` ${annotation}`, "ANNOTATION_BASE64"],
    ["a URL-safe one", Buffer.from('{"a":"~~?"}>').toString("base64url"), "ANNOTATION_BASE64"],
    ["plain JSON", JSON.stringify(rightPublic), "ANNOTATION_BASE64"],
    ["two of them", `${annotation},${annotation}`, "ANNOTATION_BASE64"],
    ["one over the limit", "A".repeat(1024 * 1024 + 4), "ANNOTATION_TOO_LARGE"],
    ["garbage up to the limit", "A".repeat(1024 * 1024), "PUBLIC_OPTIONS_INVALID"],
  ])("rejects an annotation: %s", async (_, text, code) => {
    await expectCode(() => parsePublicOptions(descriptor(text)), code);
  });

  it("rejects a descriptor without annotations", async () => {
    await expectCode(() => parsePublicOptions({ mediaType: TAR }), "PUBLIC_OPTIONS_MISSING");
  });

  it.each([
    ["AEAD_AES_256_GCM", '"AEAD_AES_256_GCM"'],
    [7, "none"],
  ])("names the cipher %j in the message", async (cipher, named) => {
    const options = withOptions({ ...rightPublic, cipher });
    const error = await expectCode(() => parsePublicOptions(options), "CIPHER_UNSUPPORTED");
    expect(error.message).toContain(`cipher is ${named}, not AES_256_CTR_HMAC_SHA256`);
  });

  it("shortens the name of an unknown cipher in the message", async () => {
    const options = { ...rightPublic, cipher: "x".repeat(500_000) };
    const error = await expectCode(
      () => parsePublicOptions(withOptions(options)),
      "CIPHER_UNSUPPORTED",
    );
    expect(error.message.length).toBeLessThan(300);
  });

  it("accepts or rejects any JSON with a documented error", () => {
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
  it("writes Go's bytes, with {} where Rust requires it", () => {
    const annotation = serializePublicOptions({
      cipher: "AES_256_CTR_HMAC_SHA256",
      hmac: Buffer.from(hmac, "base64"),
    });
    expect(Buffer.from(annotation, "base64").toString()).toBe(
      `{"cipher":"AES_256_CTR_HMAC_SHA256","hmac":"${hmac}","cipheroptions":{}}`,
    );
  });
});
