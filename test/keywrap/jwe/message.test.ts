import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { isOcicryptError } from "../../../src/errors.js";
import { describe as describeJwe } from "../../../src/keywrap/jwe/message.js";
import { jwe } from "../../../src/keywrap/jwe/index.js";
import { parseJwe } from "../../../src/keywrap/jwe/message.js";
import { expectCode } from "../../support/codes.js";
import { ecPair, pkcs8Pem } from "../../support/keys.js";
import { bytes } from "./forms.js";

const b64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const protectedHeader = b64({ alg: "RSA-OAEP", enc: "A256GCM" });
const flat = {
  protected: protectedHeader,
  encrypted_key: "aaaa",
  iv: "b",
  ciphertext: "c",
  tag: "d",
};

describe("parseJwe", () => {
  it("returns the parts of the flattened form", () => {
    expect(parseJwe(bytes(flat))).toEqual([
      {
        algorithm: "RSA-OAEP",
        enc: "A256GCM",
        encryptedKey: "aaaa",
        flattened: flat,
      },
    ]);
  });

  it("returns the parts of the compact form", () => {
    // RFC 7516, section 7.1
    expect(parseJwe(bytes(`${protectedHeader}.aaaa.b.c.d`))).toEqual(parseJwe(bytes(flat)));
  });

  it("returns each recipient of the general form as if it were alone", () => {
    const shared = { protected: b64({ enc: "A256GCM" }), iv: "b", ciphertext: "c", tag: "d" };
    const message = {
      ...shared,
      unprotected: { jku: "https://example.com/" },
      aad: "e",
      encrypted_key: "stray",
      recipients: [
        { header: { alg: "RSA-OAEP", kid: "one" }, encrypted_key: "aaa1" },
        {
          header: { alg: "ECDH-ES+A256KW", epk: { kty: "EC", crv: "P-384" } },
          encrypted_key: "aaa2",
        },
        { header: { alg: "dir" } },
      ],
    };
    const common = { ...shared, unprotected: { jku: "https://example.com/" }, aad: "e" };
    const members = (key: string): object => ({
      enc: "A256GCM",
      encryptedKey: key,
    });
    const own = (i: number): object => ({ ...common, ...message.recipients[i] });
    expect(parseJwe(bytes(message))).toEqual([
      { algorithm: "RSA-OAEP", kid: "one", ...members("aaa1"), flattened: own(0) },
      {
        algorithm: "ECDH-ES+A256KW",
        crv: "P-384",
        epk: { kty: "EC", crv: "P-384" },
        ...members("aaa2"),
        flattened: own(1),
      },
      { algorithm: "dir", ...members(""), flattened: own(2) },
    ]);
  });

  it.each<[string, unknown]>([
    ["nothing", ""],
    ["space", "  "],
    ["garbage", "garbage"],
    ["bytes that are not text", "\u0000\u0001\ufffd"],
    ["four parts", `${protectedHeader}.a.b.c`],
    ["six parts", `${protectedHeader}.a.b.c.d.e`],
    ["five empty parts", "...."],
    ["a header that is not JSON", `${Buffer.from("{").toString("base64url")}.a.b.c.d`],
    ["a header that is an array", `${b64(["alg"])}.a.b.c.d`],
    ["a header that is null", `${b64(null)}.a.b.c.d`],
    ["an array", [flat]],
    ["a string", JSON.stringify("x")],
    ["half the JSON", JSON.stringify(flat).slice(0, -1)],
    ["two of them", `${JSON.stringify(flat)}${JSON.stringify(flat)}`],
    ["an empty object", {}],
    ["no algorithm", { ...flat, protected: b64({ enc: "A256GCM" }) }],
    ["an algorithm that is a number", { ...flat, protected: b64({ alg: 1 }) }],
    ["an algorithm that is a list", { ...flat, protected: b64({ alg: ["RSA-OAEP"] }) }],
    ["a protected header that is an object", { ...flat, protected: { alg: "RSA-OAEP" } }],
    ["an unprotected header that is text", { ...flat, unprotected: "x" }],
    ["a header that is text", { ...flat, header: "x" }],
    ["a header that is a list", { ...flat, header: [] }],
    ["an encrypted key that is a number", { ...flat, encrypted_key: 1 }],
    ["a ciphertext that is an object", { ...flat, ciphertext: {} }],
    ["a nonce that is a list", { ...flat, iv: ["b"] }],
    ["a tag that is true", { ...flat, tag: true }],
    ["recipients that are an object", { ...flat, recipients: {} }],
    ["no recipients", { ...flat, recipients: [] }],
    ["a recipient that is null", { ...flat, recipients: [null] }],
    ["a recipient that is text", { ...flat, recipients: ["x"] }],
    ["a recipient that is a list", { ...flat, recipients: [[]] }],
    ["too many recipients", { ...flat, recipients: Array(1025).fill({}) }],
    ["a header inherited", `{"__proto__":${JSON.stringify(flat)}}`],
    [
      "an algorithm inherited",
      { ...flat, protected: Buffer.from('{"__proto__":{"alg":"RSA-OAEP"}}').toString("base64url") },
    ],
    ["too much", `{"a":"${"x".repeat(1024 * 1024)}"}`],
  ])("rejects %s", async (_, message) => {
    const error = await expectCode(() => parseJwe(bytes(message)), "WRAPPED_KEY_INVALID");
    expect(error.message.length).toBeLessThan(200);
    const key = jwe.key(pkcs8Pem(ecPair().privateKey));
    await expectCode(key.unwrap(bytes(message)), "WRAPPED_KEY_INVALID");
    await expectCode(() => describeJwe(bytes(message)), "WRAPPED_KEY_INVALID");
  });

  it.each([
    ["a member twice", '{"tag":"a","tag":"b"}'],
    ["members that differ in case only", '{"tag":"a","Tag":"b"}'],
    ["nesting without end", `{"header":${"[".repeat(100_000)}`],
  ])("rejects %s", async (_, text) => {
    await expectCode(() => parseJwe(Buffer.from(text)), "WRAPPED_KEY_INVALID");
  });

  it("accepts the largest number of recipients", () => {
    expect(parseJwe(bytes({ ...flat, recipients: Array(1024).fill({}) }))).toHaveLength(1024);
  });

  // A header of some 100 kB, read again for each of 1024 recipients, takes a minute.
  it("reads the protected header once, not for each recipient", () => {
    const message = bytes({ ...flat, recipients: Array(500).fill({}) });
    const decode = vi.spyOn(Buffer, "from");
    try {
      expect(parseJwe(message)).toHaveLength(500);
      expect(decode.mock.calls.length).toBeLessThan(10);
    } finally {
      decode.mockRestore();
    }
  });

  it("accepts or rejects any JSON with a documented error", async () => {
    const value = fc.jsonValue({ maxDepth: 2 });
    const header = fc.oneof(
      value,
      fc.record({
        alg: fc.constantFrom("RSA-OAEP", "ECDH-ES+A256KW", "dir"),
        epk: value,
        kid: value,
      }),
    );
    const message = fc.record(
      {
        protected: fc.oneof(header.map(b64), value),
        unprotected: value,
        header,
        recipients: fc.oneof(
          fc.array(fc.record({ header, encrypted_key: value }), { maxLength: 3 }),
          value,
        ),
        encrypted_key: fc.oneof(fc.base64String(), value),
        ciphertext: fc.oneof(fc.base64String(), value),
        iv: fc.oneof(fc.base64String(), value),
        tag: fc.oneof(fc.base64String(), value),
      },
      { requiredKeys: [] },
    );
    const key = jwe.key(pkcs8Pem(ecPair().privateKey));
    await fc.assert(
      fc.asyncProperty(fc.oneof(message, value, fc.string()), async (input) => {
        try {
          expect(await key.unwrap(bytes(input))).toBeNull();
          for (const { algorithm } of describeJwe(bytes(input)))
            expect(typeof algorithm).toBe("string");
          expect(typeof key.explain?.(bytes(input))).toBe("string");
        } catch (error) {
          expect(isOcicryptError(error)).toBe(true);
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe("describe", () => {
  it("reports algorithm and kid, if it is text", () => {
    const message = {
      ...flat,
      protected: b64({ enc: "A256GCM" }),
      recipients: [
        { header: { alg: "RSA-OAEP", kid: "one" } },
        { header: { alg: "X-NEW", kid: 2 } },
        { header: { alg: "dir" } },
      ],
    };
    expect(describeJwe(bytes(message))).toEqual([
      { algorithm: "RSA-OAEP", keyId: "one" },
      { algorithm: "X-NEW" },
      { algorithm: "dir" },
    ]);
  });
});

describe("sizes", () => {
  const small = { protected: b64({ alg: "RSA-OAEP", enc: "A256GCM" }), iv: "", tag: "" };

  it("rejects a message of more than 1 MiB", async () => {
    const large = bytes({ ...small, ciphertext: "", other: "a".repeat(1024 * 1024) });
    await expectCode(() => parseJwe(large), "WRAPPED_KEY_INVALID");
  });

  it("rejects a content of more than 16 KiB", async () => {
    const part = (length: number): Uint8Array =>
      bytes({ ...small, ciphertext: "a".repeat(length) });
    expect(parseJwe(part(16 * 1024))).toHaveLength(1);
    await expectCode(() => parseJwe(part(16 * 1024 + 1)), "WRAPPED_KEY_INVALID");
  });
});
