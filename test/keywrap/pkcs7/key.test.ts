import { describe, expect, it } from "vitest";
import { pkcs7 } from "../../../src/keywrap/pkcs7/index.js";
import type { Key } from "../../../src/keywrap/types.js";
import { expectCode } from "../../support/codes.js";
import { isWebEngine } from "../../support/engine.js";
import { wipedSizes } from "../../support/wipes.js";
import { readFixture, readKey } from "./files.js";

const privateKey = readKey("rsa2048.pkcs8.pem");
const certificate = readKey("cert-rsa2048.pem");

describe("a private key", () => {
  it.each([
    { name: "rsa2048.pkcs1.pem" },
    { name: "rsa2048.pkcs1.der" },
    { name: "rsa2048.pkcs8.der" },
    { name: "rsa2048.priv.jwk" },
    { name: "rsa2048.pkcs1.enc-aes256.pem", password: "secret" },
    { name: "rsa2048.pkcs1.enc-des3.pem", password: "secret" },
    { name: "rsa2048.pkcs8.enc-v2.pem", password: "secret" },
  ])("as $name", async ({ name, password }) => {
    const file = readKey(name);
    const input = name.endsWith(".jwk") ? file.toString() : file;
    const key = pkcs7.key(input, { certificate, password, label: name });
    expect(key.label).toBe(name);
    expect(await key.unwrap(readFixture("aes-256-gcm.cms"))).not.toBeNull();
  });

  it("takes its certificate from its own file", async () => {
    const key = pkcs7.key(Buffer.concat([privateKey, readFixture("root.pem"), certificate]));
    expect(await key.unwrap(readFixture("aes-256-gcm.cms"))).not.toBeNull();
    // It is for another certificate of this key, which would open it.
    expect(await key.unwrap(readFixture("bmp-issuer.cms"))).toBeNull();
    expect(await pkcs7.key(privateKey).unwrap(readFixture("bmp-issuer.cms"))).not.toBeNull();
  });

  it("may have several certificates", async () => {
    const both = Buffer.concat([certificate, readFixture("bmp-name.pem")]);
    const key = pkcs7.key(privateKey, { certificate: both });
    expect(await key.unwrap(readFixture("aes-256-gcm.cms"))).not.toBeNull();
    expect(await key.unwrap(readFixture("bmp-issuer.cms"))).not.toBeNull();
  });

  it("may be one of several in a file", () => {
    const both = Buffer.concat([privateKey, readKey("rsa3072.pkcs8.pem")]);
    expect(pkcs7.keys(both)).toHaveLength(2);
    expect(() => pkcs7.key(both)).toThrow(TypeError);
  });

  it.each([
    {
      name: "a certificate of another key",
      input: privateKey,
      options: { certificate: readKey("cert-rsa3072.pem") },
      code: "KEY_MISMATCH",
    },
    {
      name: "a certificate of another key of the same size",
      input: readFixture("other-rsa2048.key"),
      options: { certificate },
      code: "KEY_MISMATCH",
    },
    {
      name: "a certificate of another key in the same file",
      input: Buffer.concat([privateKey, readFixture("root.pem")]),
      options: {},
      code: "KEY_MISMATCH",
    },
    {
      name: "two keys and a certificate of one",
      input: Buffer.concat([privateKey, readKey("rsa3072.pkcs8.pem")]),
      options: { certificate },
      code: "KEY_MISMATCH",
    },
    {
      name: "a private key as the certificate",
      input: privateKey,
      options: { certificate: privateKey },
      code: "KEY_IS_PRIVATE",
    },
    {
      name: "a public key as the certificate",
      input: privateKey,
      options: { certificate: readKey("rsa2048.pub.pem") },
      code: "KEY_UNSUPPORTED",
    },
    { name: "an EC key", input: readKey("ec256.pkcs8.pem"), options: {}, code: "KEY_UNSUPPORTED" },
    { name: "a certificate", input: certificate, options: {}, code: "KEY_IS_PUBLIC" },
    { name: "a public key", input: readKey("rsa2048.pub.pem"), options: {}, code: "KEY_IS_PUBLIC" },
    {
      name: "no password",
      input: readKey("rsa2048.pkcs8.enc-v2.pem"),
      options: {},
      code: "PASSWORD_MISSING",
    },
    {
      name: "a wrong password",
      input: readKey("rsa2048.pkcs1.enc-aes256.pem"),
      options: { password: "wrong" },
      code: "PASSWORD_WRONG",
    },
  ])("is rejected for $name: $code", async ({ input, options, code }) => {
    const read = (): Key[] => pkcs7.keys(input, options);
    // Browsers load the code for a DEK-Info header first.
    const isLate = isWebEngine && code === "PASSWORD_WRONG";
    if (!isLate) expect(read).toThrow(expect.objectContaining({ code }) as Error);
    else await expectCode(() => read()[0]!.unwrap(readFixture("aes-256-gcm.cms")), code);
  });
});

describe("explain", () => {
  it("names the recipients and the key's certificate", async () => {
    const wrapped = readFixture("several.cms");
    const key = pkcs7.key(readKey("rsa3072.pkcs8.pem"), {
      certificate: readKey("cert-rsa3072.pem"),
    });
    expect(await key.unwrap(wrapped)).toBeNull();
    const reason = key.explain!(wrapped);
    expect(reason).toContain(
      "O=Spike,CN=rcpt one, serial 29b2523d09592191abf267bbf7e3e534c06ce874",
    );
    expect(reason).toContain(
      "O=Spike,CN=rcpt two, serial 42072aadf8ae3eb8a6c67350ddec1c78b50c73a2",
    );
    expect(reason).toContain("KeyAgreeRecipientInfo");
    expect(reason).toContain("the key's certificate is O=Späik,CN=rcpt three é, serial f0e1d2c3");
  });

  it("names the size of a key without a certificate", async () => {
    const wrapped = readFixture("key-identifier.cms");
    const key = pkcs7.key(readKey("rsa4096.pkcs8.pem"));
    expect(await key.unwrap(wrapped)).toBeNull();
    const reason = key.explain!(wrapped);
    expect(reason).toContain("key identifier d1daf2a2e62a3be170233d7df83f38ef05a7a31a");
    expect(reason).toContain("RSA-4096");
  });
});

describe("a private key wipes", () => {
  const key = pkcs7.key(privateKey, { certificate });
  const SIZE = readFixture("private-options.txt").byteLength;

  it("the content key of a message that it opens", async () => {
    const sizes = await wipedSizes(() => key.unwrap(readFixture("aes-256-gcm.cms")));
    expect(sizes).toContain(32);
  });

  it.each([
    { name: "aes-256-gcm.cms", size: SIZE },
    { name: "aes-256-cbc.cms", size: SIZE + 16 - (SIZE % 16) },
  ])("what it decrypts of $name after its last byte was changed", async ({ name, size }) => {
    const message = Buffer.from(readFixture(name));
    message[message.byteLength - 1]! ^= 1;
    const refused = (): Promise<unknown> => expectCode(key.unwrap(message), "WRAPPED_KEY_INVALID");
    expect(await wipedSizes(refused)).toContain(size);
  });
});
