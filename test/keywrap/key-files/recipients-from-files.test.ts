import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  keysFromFiles,
  recipientKeyIds,
  recipientsFromFiles,
} from "../../../src/keywrap/key-files/index.js";
import { expectCode } from "../../support/codes.js";
import { vectorFile } from "../../support/vectors.js";
import { VALID_DATE } from "../pkcs7/files.js";

const peer = (name: string): Buffer => vectorFile(`peers/keys/${name}`);
const file = (name: string): { content: Buffer; label: string } => ({
  content: peer(name),
  label: name,
});
const SECRET = Buffer.from("what a recipient wraps");

beforeAll(() => void vi.useFakeTimers({ toFake: ["Date"], now: VALID_DATE }));
afterAll(() => void vi.useRealTimers());

describe("recipientsFromFiles", () => {
  it.each([
    ["a public key", "rsa2048.pub.pem", "jwe", "rsa2048.pkcs8.pem"],
    ["a public key as DER", "rsa2048.pub.der", "jwe", "rsa2048.pkcs8.pem"],
    ["a public JWK", "ec256.pub.jwk", "jwe", "ec256.pkcs8.pem"],
    ["a certificate", "cert-rsa2048.pem", "pkcs7", "rsa2048.pkcs8.pem"],
    ["a certificate as DER", "cert-rsa2048.der", "pkcs7", "rsa2048.pkcs8.pem"],
    ["an OpenPGP key", "pgp/rsa2048.pub.asc", "pgp", "pgp/rsa2048.sec.asc"],
    ["a binary OpenPGP key", "pgp/cv25519.pub.gpg", "pgp", "pgp/cv25519.sec.gpg"],
  ])("wraps for %s what its private key opens", async (_, name, scheme, privateKey) => {
    const [recipient, ...more] = await recipientsFromFiles([file(name)]);
    expect([recipient?.scheme, more.length]).toEqual([scheme, 0]);
    const wrapped = await recipient!.wrap(Uint8Array.from(SECRET));
    const keys = await keysFromFiles([file(privateKey)]);
    const opened = await keys.find((key) => key.scheme === scheme)?.unwrap(wrapped);
    expect(Buffer.from(opened!)).toEqual(SECRET);
  });

  it.each<[string, (text: string) => string]>([
    ["a form", (text) => new URLSearchParams({ k: text }).toString().slice(2)],
    ["a URL", (text) => encodeURIComponent(text)],
    ["%0A", (text) => text.replaceAll("\n", "%0A")],
    ["+ for spaces", (text) => text.replaceAll(" ", "+")],
    ["JSON with escaped slashes", (text) => JSON.stringify(text).replaceAll("/", "\\/")],
    // https://learn.microsoft.com/en-us/dotnet/api/system.text.encodings.web.javascriptencoder
    ["JSON of .NET", (text) => JSON.stringify(text).replaceAll("+", "\\u002B")],
  ])("reads keys in the encoding of %s", async (label, change) => {
    const changed = (name: string) => ({
      content: Buffer.from(change(peer(name).toString())),
      label,
    });
    const [recipient] = await recipientsFromFiles([changed("rsa2048.pub.pem")]);
    const wrapped = await recipient!.wrap(Uint8Array.from(SECRET));
    const [key] = await keysFromFiles([changed("rsa2048.pkcs8.pem")]);
    expect(Buffer.from((await key!.unwrap(wrapped))!)).toEqual(SECRET);
    const plain = await recipientKeyIds(peer("rsa2048.pub.pem"));
    expect(await recipientKeyIds(changed("rsa2048.pub.pem").content)).toEqual(plain);
  });

  it("returns the recipients of all files in their order", async () => {
    const set = { keys: ["rsa2048.pub.jwk", "ec256.pub.jwk"].map((name) => json(name)) };
    const recipients = await recipientsFromFiles([
      file("cert-rsa3072.pem"),
      { content: JSON.stringify(set), label: "set" },
    ]);
    expect(recipients.map(({ scheme }) => scheme)).toEqual(["pkcs7", "jwe", "jwe"]);
    expect(await recipientsFromFiles([])).toEqual([]);
  });

  it.each([
    ["a private key", peer("rsa2048.pkcs8.pem"), "KEY_IS_PRIVATE"],
    ["something else", Buffer.from("hello"), "KEY_UNRECOGNIZED"],
    ["a certificate for EC", peer("cert-ec256.pem"), "KEY_UNSUPPORTED"],
  ] as const)("rejects %s and names it", async (_, content, code) => {
    const files = [file("ec256.pub.pem"), { content, label: "the file" }];
    const { message } = await expectCode(recipientsFromFiles(files), code);
    expect(message).toMatch(/^the file: /);
  });

  it("warns about an expired certificate, and rejects it if strict", async () => {
    vi.setSystemTime(new Date("2050-01-01"));
    const onWarning = vi.fn();
    expect(await recipientsFromFiles([file("cert-rsa2048.pem")], { onWarning })).toHaveLength(1);
    expect(onWarning).toHaveBeenCalledOnce();
    const strict = recipientsFromFiles([file("cert-rsa2048.pem")], { strict: true });
    await expectCode(strict, "CERTIFICATE_EXPIRED");
    vi.setSystemTime(VALID_DATE);
  });
});

function json(name: string): unknown {
  return JSON.parse(peer(name).toString());
}
