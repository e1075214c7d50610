import { createPrivateKey } from "node:crypto";
import { describe, expect, it } from "vitest";
import { readKeyMaterial, recoverKeyFile } from "../../src/keys/material.js";
import { readPrivateKeys } from "../../src/keys/private-key.js";
import { readPublicKeys } from "../../src/keys/public-key.js";
import { age } from "../../src/keyserver/age/index.js";
import { recognizeKeyFile } from "../../src/keywrap/key-files/index.js";
import { readKeyRing } from "../../src/keywrap/pgp/key-ring.js";
import { expectCode } from "../support/codes.js";
import { vectorFile } from "../support/vectors.js";
import { nodeKey } from "../support/keys.js";

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
  ])("recognises %s, as text and as bytes", (_, text, form) => {
    expect(readKeyMaterial(text).form).toBe(form);
    expect(readKeyMaterial(Buffer.from(text)).form).toBe(form);
    expect(readKeyMaterial(Uint8Array.from(Buffer.from(text))).form).toBe(form);
  });

  it("recognises DER as bytes, but not as text", async () => {
    expect(readKeyMaterial(DER)).toEqual({ form: "der", kind: "spki", bytes: DER });
    await expectCode(() => readKeyMaterial(DER.toString("latin1")), "KEY_UNRECOGNIZED");
    expect(readKeyMaterial(DER.toString("base64"))).toEqual({
      form: "der",
      kind: "spki",
      bytes: DER,
    });
  });

  it("treats an object as a JWK", () => {
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
  ])("rejects %s", async (_, input, reason) => {
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

const PRIVATE_PEM = vectorFile("keys/rsa-2048.pem").toString();
const ENCRYPTED = vectorFile("peers/keys/rsa2048.pkcs1.enc-aes256.pem").toString();
const TRIPLE_DES = vectorFile("peers/keys/rsa2048.pkcs1.enc-des3.pem").toString();
const PRIVATE_JWK = vectorFile("keys/ec-p256.jwk").toString();
const ARMOUR = vectorFile("peers/keys/pgp/rsa2048.sec.asc").toString();

const utf16be = (text: string): Buffer => Buffer.from(text, "utf16le").swap16();
const mark = Buffer.from([0xef, 0xbb, 0xbf]);

/** Changes that secret stores, environment variables, YAML and PowerShell make to a text. */
const CHANGES: [string, (text: string) => string | Buffer][] = [
  ["an escaped line end", (text) => text.replaceAll("\n", "\\n")],
  ["an escaped line end twice", (text) => text.replaceAll("\n", "\\\\n")],
  ["an escaped CRLF", (text) => text.replaceAll("\n", "\\r\\n")],
  ["quotes and an escaped line end", (text) => `"${text.replaceAll("\n", "\\n")}"`],
  ["indented lines", (text) => text.replaceAll(/^/gm, "    ")],
  ["lines indented by tabs", (text) => text.replaceAll(/^/gm, "\t")],
  ["spaces at the ends of lines", (text) => text.replaceAll("\n", "  \n")],
  ["carriage returns", (text) => text.replaceAll("\n", "\r")],
  ["empty lines", (text) => text.replaceAll("\n", "\n\n")],
  ["UTF-16LE", (text) => Buffer.from(`\uFEFF${text}`, "utf16le")],
  ["UTF-16BE", (text) => utf16be(`\uFEFF${text}`)],
  ["UTF-16LE without a mark", (text) => Buffer.from(text, "utf16le")],
  ["UTF-16BE without a mark", (text) => utf16be(text)],
  ["single quotes", (text) => `'${text}'`],
  ["a byte order mark", (text) => Buffer.concat([mark, Buffer.from(text)])],
  ["base64", (text) => Buffer.from(text).toString("base64")],
  ["base64 in lines", (text) => Buffer.from(text).toString("base64").replace(/.{76}/g, "$&\n")],
  ["base64url", (text) => Buffer.from(text).toString("base64url")],
  ["base64 of base64", (text) => Buffer.from(btoa(text)).toString("base64")],
  ["base64 of UTF-16", (text) => Buffer.from(`\uFEFF${text}`, "utf16le").toString("base64")],
];
const JOINED: [string, (text: string) => string][] = [
  ["blanks for line ends", (text) => text.replaceAll("\n", " ")],
  ["no line ends", (text) => text.replaceAll("\n", "")],
];
/** A browser shows a key with no-break spaces, and a JWK has none outside its strings. */
const NO_BREAK: [string, (text: string) => string][] = [
  ["no-break spaces", (text) => text.replaceAll(" ", "\u00A0")],
];
const AGE =
  "# created: 2026-11-30\nAGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n";

const pkcs8 = (pem: string, passphrase?: string): Buffer =>
  createPrivateKey({ key: pem, ...(passphrase !== undefined && { passphrase }) }).export({
    type: "pkcs8",
    format: "der",
  });

describe.each([...CHANGES, ...JOINED, ...NO_BREAK])("a file with %s", (_, change) => {
  it.each<[string, string, string | undefined]>([
    ["a private key", PRIVATE_PEM, undefined],
    ["a key with a DEK-Info header", ENCRYPTED, "secret"],
    ["a key with a shorter IV", TRIPLE_DES, "secret"],
  ])("is read: %s", async (_name, pem, password) => {
    const changed = change(pem);
    for (const input of [changed, Buffer.from(changed)]) {
      const [read] = await readPrivateKeys(input, { password });
      expect(nodeKey(read!.key).export({ type: "pkcs8", format: "der" })).toEqual(
        pkcs8(pem, password),
      );
    }
  });
});

describe.each([...CHANGES, ...JOINED, ...NO_BREAK])("a file with %s", (name, change) => {
  it("is read: an armoured OpenPGP key", () => {
    for (const changed of [change(ARMOUR), Buffer.from(change(ARMOUR))]) {
      expect(recognizeKeyFile(changed)).toBe("OpenPGP key");
      expect(readKeyRing(changed)).toEqual(readKeyRing(ARMOUR));
    }
  });

  it.skipIf(JOINED.some(([joined]) => joined === name))("is read: an age identity", async () => {
    expect(recognizeKeyFile(change(AGE))).toBe("age identity");
    expect(await age.keys(change(AGE))).toHaveLength(1);
  });

  // In JSON, an escaped line end belongs to a string.
  it.skipIf(/escaped|indented|carriage|no-break/.test(name))("is read: a JWK", async () => {
    expect(await readPrivateKeys(change(PRIVATE_JWK))).toHaveLength(1);
  });
});

describe("recoverKeyFile", () => {
  it("finds a JWK in a JSON string", () => {
    const text = JSON.stringify(JSON.parse(PRIVATE_JWK), null, 2);
    expect(recoverKeyFile(JSON.stringify(text))).toBe(text);
  });

  it("says that age identities have lost their line ends, which comments need", async () => {
    const error = await expectCode(
      () => recognizeKeyFile(AGE.replaceAll("\n", " ")),
      "KEY_UNRECOGNIZED",
    );
    expect(error.message).toContain("without its line ends");
  });

  it("finds DER in base64, with a byte order mark too", () => {
    const der = vectorFile("peers/keys/rsa2048.pub.der");
    expect(recoverKeyFile(der)).toEqual(der);
    expect(recoverKeyFile(der.toString("base64"))).toEqual(der);
    expect(recoverKeyFile(Buffer.concat([mark, der]))).toEqual(der);
    expect(readPublicKeys(der.toString("base64"))).toHaveLength(1);
  });

  it.each([
    "ssh-rsa AAAA DOMAIN\\name@host",
    "x".repeat(64),
    "hunter2",
    "correct horse battery staple ".repeat(9),
    "",
  ])("does not change other text: %j", (text) => {
    expect(recoverKeyFile(text)).toBe(text.trim());
    expect(recoverKeyFile(Buffer.from(text))).toBe(text.trim());
  });

  it("limits the layers of base64", async () => {
    let text = PRIVATE_PEM;
    for (let i = 0; i < 10; i++) text = Buffer.from(text).toString("base64");
    await expectCode(() => recognizeKeyFile(text), "KEY_UNRECOGNIZED");
  });
});

describe("a file that lost a part of its key", () => {
  const lines = PRIVATE_PEM.trim().split("\n");
  it.each<[string, string, RegExp]>([
    ["a character", lines.with(3, lines[3]!.slice(1)).join("\n"), /base64|cut off/],
    ["a line", lines.toSpliced(3, 1).join("\n"), /cut off/],
    ["its BEGIN line", lines.slice(1).join("\n"), /no BEGIN/],
    ["its END line", lines.slice(0, -1).join("\n"), /no end/],
    ["its hyphens", PRIVATE_PEM.replaceAll("-----", "–"), /hyphens/],
    ["base64 for text", lines.with(3, "…").join("\n"), /not base64/],
  ])("says so: %s", async (_, text, reason) => {
    const error = await expectCode(readPrivateKeys(text), "KEY_UNRECOGNIZED");
    expect(error.message).toMatch(reason);
    expect(error.message).not.toContain(lines[5]!.slice(0, 20));
  });
});

describe("other programs' files are rejected by name, with the command that converts them", () => {
  it.each<[string, string | Buffer, RegExp]>([
    ["JKS", Buffer.from("feedfeed000000020000", "hex"), /Java key store.*keytool -importkeystore/],
    ["JCEKS", Buffer.from("cececece000000020000", "hex"), /keytool -importkeystore/],
    ["base64 of JKS", Buffer.from(`feedfeed${"00".repeat(60)}`, "hex").toString("base64"), /Java/],
    ["PuTTY", "PuTTY-User-Key-File-3: ssh-rsa\r\nEncryption: none\r\n", /puttygen/],
    [
      "JSON with PEM",
      JSON.stringify({ type: "service", private_key: PRIVATE_PEM }),
      /in its member "private_key".*jq -r/,
    ],
    [
      "SSH2",
      "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----",
      /ssh-keygen -i/,
    ],
  ])("%s", async (_, content, reason) => {
    for (const read of [() => readPrivateKeys(content), () => readPublicKeys(content)]) {
      expect((await expectCode(read, "KEY_UNRECOGNIZED")).message).toMatch(reason);
    }
    expect((await expectCode(() => recognizeKeyFile(content), "KEY_UNRECOGNIZED")).message).toMatch(
      reason,
    );
  });
});

it("rejects a megabyte of blank lines fast", async () => {
  const start = performance.now();
  for (const text of ["\n".repeat(1_000_000), " \n".repeat(500_000), "\t".repeat(1_000_000)]) {
    await expectCode(() => recognizeKeyFile(Buffer.from(`${text}x`)), "KEY_UNRECOGNIZED");
    await expectCode(() => recognizeKeyFile(`x${text}x`), "KEY_UNRECOGNIZED");
  }
  // A search that starts anew at each of the lines takes minutes.
  expect(performance.now() - start).toBeLessThan(10_000);
});

it("reads a file of backslashes only once", () => {
  const text = `-----BEGIN ${"\\\\".repeat(500_000)}`;
  expect(() => readKeyMaterial(text)).toThrow("its PEM block has no end");
});
