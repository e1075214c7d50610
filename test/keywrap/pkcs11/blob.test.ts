import { describe, expect, it } from "vitest";
import { parseBlob, serializeBlob } from "../../../src/keywrap/pkcs11/blob.js";
import { describe as describeBlob } from "../../../src/keywrap/pkcs11/blob.js";
import { expectCode } from "../../support/codes.js";

const AQID = { version: 0, blob: "AQID", hash: "sha1" };

function bytes(value: unknown): Buffer {
  return Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
}

describe("serializeBlob", () => {
  it("writes what Go writes, in its order of members", () => {
    const blob = serializeBlob({ hash: "sha256", ciphertext: Buffer.from([1, 2, 3]) });
    expect(Buffer.from(blob).toString()).toBe(
      '{"version":0,"recipients":[{"version":0,"blob":"AQID","hash":"sha256"}]}',
    );
  });
});

describe("parseBlob", () => {
  it("reads several recipients, and SHA-1 for a recipient without a hash", () => {
    const recipients = [
      AQID,
      { version: 0, blob: "BAUG", hash: "sha256" },
      { version: 0, blob: "Bw==" },
      { version: 0, blob: "CA==", hash: "" },
      { version: 0, blob: "CQ==", hash: null },
    ];
    expect(parseBlob(bytes({ version: 0, recipients }))).toEqual([
      { hash: "sha1", ciphertext: Buffer.from([1, 2, 3]) },
      { hash: "sha256", ciphertext: Buffer.from([4, 5, 6]) },
      { hash: "sha1", ciphertext: Buffer.from([7]) },
      { hash: "sha1", ciphertext: Buffer.from([8]) },
      { hash: "sha1", ciphertext: Buffer.from([9]) },
    ]);
  });

  it.each([
    { why: "nothing", value: "" },
    { why: "no JSON", value: "{" },
    { why: "bytes that are no UTF-8", value: Buffer.from([0x7b, 0xff, 0x7d]) },
    { why: "null", value: "null" },
    { why: "a list", value: [AQID] },
    { why: "no version", value: { recipients: [AQID] } },
    { why: "a version as a string", value: { version: "0", recipients: [AQID] } },
    { why: "no recipients", value: { version: 0 } },
    { why: "an empty list of recipients", value: { version: 0, recipients: [] } },
    { why: "recipients as an object", value: { version: 0, recipients: { 0: AQID } } },
    { why: "too many recipients", value: { version: 0, recipients: Array(1025).fill(AQID) } },
    { why: "a recipient that is not an object", value: { version: 0, recipients: [null] } },
    { why: "no version of a recipient", value: recipient({ version: undefined }) },
    { why: "no blob", value: recipient({ blob: undefined }) },
    { why: "an empty blob", value: recipient({ blob: "" }) },
    { why: "a blob that is no string", value: recipient({ blob: [1, 2, 3] }) },
    { why: "a blob that is no base64", value: recipient({ blob: "AQI" }) },
    { why: "a blob in base64url", value: recipient({ blob: "_-_-" }) },
    { why: "a blob beyond any RSA key", value: recipient({ blob: "AAAA".repeat(683) }) },
    { why: "a hash that is no string", value: recipient({ hash: 1 }) },
    { why: "a member in other letters", value: recipient({ hash: "sha1", "Ha\u017fh": "sha256" }) },
    { why: "another spelling alone", value: recipient({ Version: 0, Hash: "sha256" }) },
    { why: "its size", value: `{"version":0,"recipients":[]}${" ".repeat(1024 * 1024)}` },
  ])("rejects $why", async ({ value }) => {
    const blob = Buffer.isBuffer(value) ? value : bytes(value);
    await expectCode(() => parseBlob(blob), "WRAPPED_KEY_INVALID");
  });

  it.each([
    { why: "another version", value: { version: 1, recipients: [AQID] } },
    { why: "another version of a recipient", value: recipient({ version: 1 }) },
    { why: "another hash", value: recipient({ hash: "sha512" }) },
    { why: "a hash in upper case", value: recipient({ hash: "SHA1" }) },
    { why: "a hash with the name of a method", value: recipient({ hash: "constructor" }) },
  ])("does not support $why", async ({ value }) => {
    await expectCode(() => parseBlob(bytes(value)), "WRAPPED_KEY_UNSUPPORTED");
  });
});

describe("describe", () => {
  it("names the algorithm of each recipient, but no key", () => {
    const recipients = [AQID, { ...AQID, hash: "sha256" }];
    expect(describeBlob(bytes({ version: 0, recipients }))).toEqual([
      { algorithm: "RSA-OAEP" },
      { algorithm: "RSA-OAEP-256" },
    ]);
  });
});

function recipient(changes: object): unknown {
  return { version: 0, recipients: [{ ...AQID, ...changes }] };
}
