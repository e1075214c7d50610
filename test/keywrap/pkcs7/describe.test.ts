import { describe, expect, it, vi } from "vitest";
import { describe as describeMessage } from "../../../src/keywrap/pkcs7/message.js";
import { readFixture, readMessage } from "./files.js";

// They take long to load, and are only for a key.
vi.mock("pkijs", () => {
  throw new Error("pkijs was loaded");
});
vi.mock("asn1js", () => {
  throw new Error("asn1js was loaded");
});

// The serial numbers and names are those that `openssl x509 -serial -issuer` prints.
const ONE = "O=Spike,CN=rcpt one, serial 29b2523d09592191abf267bbf7e3e534c06ce874";
const TWO = "O=Spike,CN=rcpt two, serial 42072aadf8ae3eb8a6c67350ddec1c78b50c73a2";

describe("describe", () => {
  it.each([
    { name: "aes-128-cbc", recipients: [{ algorithm: "RSAES-PKCS1-v1_5", keyId: ONE }] },
    { name: "oaep-label", recipients: [{ algorithm: "RSAES-OAEP", keyId: ONE }] },
    {
      name: "key-identifier",
      recipients: [
        {
          algorithm: "RSAES-PKCS1-v1_5",
          keyId: "key identifier d1daf2a2e62a3be170233d7df83f38ef05a7a31a",
        },
      ],
    },
    {
      name: "bmp-issuer",
      recipients: [
        { algorithm: "RSAES-PKCS1-v1_5", keyId: String.raw`CN=a\,b\+c,O=Grüße, serial f1e` },
      ],
    },
    { name: "password-only", recipients: [{ algorithm: "PasswordRecipientInfo" }] },
    {
      name: "several",
      recipients: [
        { algorithm: "KeyAgreeRecipientInfo" },
        { algorithm: "RSAES-PKCS1-v1_5", keyId: ONE },
        { algorithm: "RSAES-PKCS1-v1_5", keyId: TWO },
      ],
    },
    // The content does not matter.
    { name: "camellia", recipients: [{ algorithm: "RSAES-PKCS1-v1_5", keyId: ONE }] },
  ])("$name", ({ name, recipients }) => {
    const found = describeMessage(readFixture(`${name}.cms`));
    found.sort((a, b) => (a.keyId ?? "").localeCompare(b.keyId ?? ""));
    expect(found).toEqual(recipients);
  });

  it("reports the recipients of Go's messages", () => {
    expect(describeMessage(readMessage("pkcs7-2rec"))).toEqual([
      { algorithm: "RSAES-PKCS1-v1_5", keyId: "CN=one, serial 1" },
      { algorithm: "RSAES-PKCS1-v1_5", keyId: "CN=two, serial 2" },
    ]);
  });

  it.each([
    {
      name: "a CMS message of another type",
      bytes: readFixture("encrypted-data.cms"),
      code: "WRAPPED_KEY_UNSUPPORTED",
    },
    { name: "no CMS message", bytes: Buffer.from("{}"), code: "WRAPPED_KEY_INVALID" },
  ])("rejects $name: $code", ({ bytes, code }) => {
    expect(() => describeMessage(bytes)).toThrow(expect.objectContaining({ code }) as Error);
  });
});
