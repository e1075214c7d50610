import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ErrorCode } from "../../../src/errors.js";
import { jwe } from "../../../src/keywrap/jwe/index.js";
import {
  keysFromFiles,
  recognizeKeyFile,
  type KeyFile,
  type KeyFileForm,
} from "../../../src/keywrap/key-files/index.js";
import { pkcs11 } from "../../../src/keywrap/pkcs11/index.js";
import { pkcs7 } from "../../../src/keywrap/pkcs7/index.js";
import type { Recipient } from "../../../src/keywrap/types.js";
import { expectCode } from "../../support/codes.js";
import { isWebEngine } from "../../support/engine.js";
import { pkcs8Pem } from "../../support/keys.js";
import { vectorFile } from "../../support/vectors.js";
import { VALID_DATE } from "../pkcs7/files.js";

const PASSWORD = "secret";
const EC_SCHEMES = ["jwe"];
/** A browser opens nothing that is wrapped for a token. */
const hasPkcs11 = !isWebEngine;
const RSA_SCHEMES = ["jwe", "pkcs7", ...(hasPkcs11 ? ["pkcs11"] : [])];
const PRIVATE_OPTIONS = Buffer.from("what a recipient wraps");

const peer = (name: string): Buffer => vectorFile(`peers/keys/${name}`);
const pkcs12 = (name: string): Buffer =>
  readFileSync(new URL(`../../keys/fixtures/pkcs12/${name}.p12`, import.meta.url));
const derOfPem = (pem: Buffer): Buffer =>
  Buffer.from(pem.toString().replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
const concat = (...names: string[]): Buffer => Buffer.concat(names.map(peer));
const keyFile = (content: string | Uint8Array, password?: string): KeyFile => ({
  content,
  password,
  label: "the key",
});
const jwkSet = (...names: string[]): string =>
  JSON.stringify({ keys: names.map((name) => JSON.parse(peer(name).toString()) as object) });
const ED25519 = pkcs8Pem(generateKeyPairSync("ed25519").privateKey);
const PKCS11_KEY_FILE = "pkcs11:\n  uri: pkcs11:token=t;object=o?module-name=m&pin-value=1234\n";

// The peers' certificates are not valid at every date at which this can run.
beforeEach(() => vi.useFakeTimers({ toFake: ["Date"], now: VALID_DATE }));
afterEach(() => vi.useRealTimers());

/** Recipients of every scheme for the peers' keys, by their scheme and key. */
async function recipients(): Promise<Record<string, Recipient>> {
  return {
    "jwe rsa2048": jwe.recipient(peer("rsa2048.pub.pem")),
    "jwe rsa3072": jwe.recipient(peer("rsa3072.pub.pem")),
    "jwe ec256": jwe.recipient(peer("ec256.pub.pem")),
    "jwe ec521": jwe.recipient(peer("ec521.pub.pem")),
    "pkcs7 rsa2048": pkcs7.recipient(peer("cert-rsa2048.pem")),
    "pkcs7 rsa3072": pkcs7.recipient(peer("cert-rsa3072.pem")),
    ...(hasPkcs11 && {
      "pkcs11 rsa2048": await pkcs11.recipient(peer("rsa2048.pub.pem")),
      "pkcs11 rsa3072": await pkcs11.recipient(peer("rsa3072.pub.pem")),
    }),
  };
}

/** The recipients whose wrapped keys one of the files' keys opens. */
async function opened(...files: KeyFile[]): Promise<string[]> {
  const keys = await keysFromFiles(files);
  const names: string[] = [];
  for (const [name, recipient] of Object.entries(await recipients())) {
    const wrapped = await recipient.wrap(Buffer.from(PRIVATE_OPTIONS));
    for (const key of keys.filter(({ scheme }) => scheme === recipient.scheme)) {
      const unwrapped = await key.unwrap(wrapped).catch(() => null);
      if (unwrapped !== null && PRIVATE_OPTIONS.equals(unwrapped)) names.push(name);
    }
  }
  return names;
}

const schemes = async (...files: KeyFile[]): Promise<string[]> =>
  (await keysFromFiles(files)).map(({ scheme }) => scheme);

/** The names of recipients whose scheme is here. */
const here = (names: readonly string[]): string[] =>
  names.filter((name) => hasPkcs11 || !name.startsWith("pkcs11"));

const RSA2048 = ["jwe rsa2048", "pkcs7 rsa2048", "pkcs11 rsa2048"];

const PRIVATE: [string, string | Buffer, string | undefined, string[]][] = [
  ["PKCS#1 as PEM", peer("rsa2048.pkcs1.pem"), undefined, RSA2048],
  ["PKCS#1 as DER", peer("rsa2048.pkcs1.der"), undefined, RSA2048],
  ["PKCS#1 with a password", peer("rsa2048.pkcs1.enc-aes256.pem"), PASSWORD, RSA2048],
  ["PKCS#8 as PEM", peer("rsa2048.pkcs8.pem"), undefined, RSA2048],
  ["PKCS#8 as text", peer("rsa2048.pkcs8.pem").toString(), undefined, RSA2048],
  ["PKCS#8 as DER", peer("rsa2048.pkcs8.der"), undefined, RSA2048],
  ["PKCS#8 with a password", peer("rsa2048.pkcs8.enc-v2.pem"), PASSWORD, RSA2048],
  ["PKCS#8 with a password, as DER", derOfPem(peer("rsa2048.pkcs8.enc-v2.pem")), PASSWORD, RSA2048],
  ["a JWK", peer("rsa2048.priv.jwk"), undefined, RSA2048],
  ["a JWK with an algorithm", peer("rsa2048.priv.RSA-OAEP-256.jwk"), undefined, RSA2048],
  ["SEC1 as PEM", peer("ec256.sec1.pem"), undefined, ["jwe ec256"]],
  ["SEC1 as DER", peer("ec256.sec1.der"), undefined, ["jwe ec256"]],
  ["SEC1 with a password", peer("ec256.sec1.enc-aes128.pem"), PASSWORD, ["jwe ec256"]],
  ["an EC JWK with an algorithm", peer("ec521.priv.ECDH-ES_A256KW.jwk"), undefined, ["jwe ec521"]],
  [
    "a key behind its certificate",
    concat("cert-rsa2048.pem", "rsa2048.pkcs8.pem"),
    undefined,
    RSA2048,
  ],
  [
    "several keys as PEM",
    concat("ec256.sec1.pem", "rsa2048.pkcs8.pem"),
    undefined,
    ["jwe rsa2048", "jwe ec256", "pkcs7 rsa2048", "pkcs11 rsa2048"],
  ],
  [
    "several keys, one with a certificate",
    concat("rsa3072.pkcs8.pem", "rsa2048.pkcs8.pem", "cert-rsa2048.pem"),
    undefined,
    [
      "jwe rsa2048",
      "jwe rsa3072",
      "pkcs7 rsa2048",
      "pkcs7 rsa3072",
      "pkcs11 rsa2048",
      "pkcs11 rsa3072",
    ],
  ],
  [
    "a key that is of use beside one that is not",
    Buffer.concat([Buffer.from(ED25519), peer("ec256.sec1.pem")]),
    undefined,
    ["jwe ec256"],
  ],
  [
    "a JWK Set",
    jwkSet("rsa2048.priv.jwk", "ec521.priv.ECDH-ES_A256KW.jwk"),
    undefined,
    ["jwe rsa2048", "jwe ec521", "pkcs7 rsa2048", "pkcs11 rsa2048"],
  ],
];

const PKCS12: [string, string, string[]][] = [
  ["default", PASSWORD, RSA2048],
  ["default-ec", PASSWORD, ["jwe ec256"]],
  ["legacy", PASSWORD, ["jwe ec256"]],
  ["plain", PASSWORD, ["jwe ec256"]],
  ["pbmac1", PASSWORD, ["jwe ec256"]],
  ["ber", PASSWORD, ["jwe ec256"]],
  ["empty-password", "", ["jwe ec256"]],
  ["unicode-password-3des", "Zürich, пароль 🔑", ["jwe ec256"]],
  ["keytool", PASSWORD, ["jwe rsa2048", "jwe ec256", "pkcs7 rsa2048", "pkcs11 rsa2048"]],
];

describe("recognizeKeyFile", () => {
  it.each<[string, string | Uint8Array, KeyFileForm]>([
    ...PRIVATE.map(([name, content]): [string, string | Uint8Array, KeyFileForm] => [
      name,
      content,
      "private key",
    ]),
    ...PKCS12.map(([name]): [string, Uint8Array, KeyFileForm] => [
      `${name}.p12`,
      pkcs12(name),
      "PKCS#12 file",
    ]),
    ["a public key as PEM", peer("rsa2048.pub.pem"), "public key"],
    ["a public key as DER", peer("rsa2048.pub.der"), "public key"],
    ["a public key of PKCS#1", peer("rsa2048.pkcs1pub.pem"), "public key"],
    ["a public JWK", peer("rsa2048.pub.jwk"), "public key"],
    ["a public JWK Set", jwkSet("rsa2048.pub.jwk", "ec256.pub.jwk"), "public key"],
    ["a certificate as PEM", peer("cert-rsa2048.pem"), "certificate"],
    ["a certificate as DER", peer("cert-rsa2048.der"), "certificate"],
    ["an armoured OpenPGP key", peer("pgp/rsa2048.sec.asc"), "OpenPGP key"],
    ["an armoured OpenPGP key as text", peer("pgp/rsa2048.sec.asc").toString(), "OpenPGP key"],
    ["a binary OpenPGP key", peer("pgp/cv25519.sec.gpg"), "OpenPGP key"],
    ["a public OpenPGP key", peer("pgp/cv25519.pub.gpg"), "OpenPGP key"],
    ["a PKCS#11 key file", Buffer.from(PKCS11_KEY_FILE), "PKCS#11 key file"],
    ["a PKCS#11 key file as text", PKCS11_KEY_FILE, "PKCS#11 key file"],
  ])("%s", (_, content, form) => {
    expect(recognizeKeyFile(content)).toBe(form);
  });

  it.each<[string, string | Uint8Array]>([
    ["nothing", ""],
    ["no bytes", new Uint8Array(0)],
    ["text", "hello"],
    ["bytes", Buffer.from([1, 2, 3, 4])],
    ["PEM of something else", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"],
    ["DER of something else", Buffer.from("300402020400", "hex")],
    ["DER that is cut", peer("rsa2048.pkcs8.der").subarray(0, 100)],
    ["the start of BER of something else", Buffer.from("308002010130", "hex")],
    ["JSON of something else", "{"],
  ])("%s is not recognised", async (_, content) => {
    await expectCode(() => recognizeKeyFile(content), "KEY_UNRECOGNIZED");
    const error = await expectCode(keysFromFiles([keyFile(content)]), "KEY_UNRECOGNIZED");
    expect(error.message).toMatch(/^the key: /);
  });
});

describe("keysFromFiles", () => {
  it("returns nothing for no files", async () => {
    expect(await keysFromFiles([])).toEqual([]);
  });

  it.each(PRIVATE)("opens %s", async (_, content, password, names) => {
    expect(await opened(keyFile(content, password))).toEqual(here(names));
    // A password that is not needed does no harm.
    if (password === undefined) expect(await opened(keyFile(content, "x"))).toEqual(here(names));
  });

  it.each(PKCS12)("opens %s.p12", async (name, password, names) => {
    expect(await opened(keyFile(pkcs12(name), password))).toEqual(here(names));
  });

  it.each<[string, string | Uint8Array, string[]]>([
    ["an RSA key", peer("rsa2048.pkcs8.pem"), RSA_SCHEMES],
    ["an RSA key as PKCS#12", pkcs12("default"), RSA_SCHEMES],
    ["an EC key", peer("ec256.pkcs8.pem"), EC_SCHEMES],
    ["an EC key as PKCS#12", pkcs12("default-ec"), EC_SCHEMES],
    ["both as PKCS#12", pkcs12("keytool"), [...RSA_SCHEMES, ...EC_SCHEMES]],
    ["an armoured OpenPGP key", peer("pgp/rsa2048.sec.asc"), ["pgp"]],
    ["a binary OpenPGP key", peer("pgp/cv25519.sec.gpg"), ["pgp"]],
    ["a locked OpenPGP key", peer("pgp/pass.sec.gpg"), ["pgp"]],
    ["a PKCS#11 key file", Buffer.from(PKCS11_KEY_FILE), ["pkcs11"]],
  ])("%s returns labelled keys of its schemes", async (_, content, expected) => {
    const keys = await keysFromFiles([keyFile(content, PASSWORD)]);
    expect(keys.map(({ scheme }) => scheme)).toEqual(expected);
    expect(keys.map(({ label }) => label)).toEqual(expected.map(() => "the key"));
  });

  it("respects the algorithm of a JWK if its scheme has any", async () => {
    const jwk = JSON.parse(peer("rsa2048.priv.jwk").toString()) as object;
    expect(await schemes(keyFile(JSON.stringify({ ...jwk, alg: "RS256" })))).toEqual(["pkcs7"]);
  });

  it("does not change its input", async () => {
    for (const content of [peer("rsa2048.pkcs8.der"), pkcs12("plain")]) {
      const before = Buffer.from(content);
      await keysFromFiles([keyFile(content, PASSWORD)]);
      expect(content).toEqual(before);
    }
  });

  it.each<[string, string | Uint8Array, string | undefined, ErrorCode]>([
    ["a public key", peer("rsa2048.pub.pem"), undefined, "KEY_IS_PUBLIC"],
    ["a public key as DER", peer("rsa2048.pub.der"), undefined, "KEY_IS_PUBLIC"],
    ["a public JWK", peer("rsa2048.pub.jwk"), undefined, "KEY_IS_PUBLIC"],
    ["a public OpenPGP key", peer("pgp/rsa2048.pub.asc"), undefined, "KEY_IS_PUBLIC"],
    ["certificates as PKCS#12", pkcs12("certificate-only"), PASSWORD, "KEY_IS_PUBLIC"],
    ["a locked key", peer("rsa2048.pkcs8.enc-v2.pem"), undefined, "PASSWORD_MISSING"],
    ["a locked key", peer("rsa2048.pkcs8.enc-v2.pem"), "wrong", "PASSWORD_WRONG"],
    ["PKCS#12", pkcs12("default"), undefined, "PASSWORD_MISSING"],
    ["PKCS#12", pkcs12("default"), "wrong", "PASSWORD_WRONG"],
    ["PKCS#12 with RC2", pkcs12("rc2-key"), PASSWORD, "KEY_UNSUPPORTED"],
    ["PKCS#12 without a MAC", pkcs12("no-mac"), PASSWORD, "KEY_UNSUPPORTED"],
    ["PKCS#12 that is cut", pkcs12("ber").subarray(0, 200), PASSWORD, "KEY_UNRECOGNIZED"],
    ["a signing key", ED25519, undefined, "KEY_UNSUPPORTED"],
    ["a signing key as PKCS#12", pkcs12("ed25519"), PASSWORD, "KEY_UNSUPPORTED"],
    ["a damaged key", peer("rsa2048.pkcs8.der").fill(0, 30), undefined, "KEY_UNRECOGNIZED"],
    [
      "a key of another program",
      "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
      undefined,
      "KEY_UNRECOGNIZED",
    ],
    [
      "a damaged certificate",
      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
      undefined,
      "KEY_UNRECOGNIZED",
    ],
    [
      "a key for signing only",
      JSON.stringify({
        ...(JSON.parse(peer("rsa2048.priv.jwk").toString()) as object),
        use: "sig",
      }),
      undefined,
      "KEY_USE_FORBIDDEN",
    ],
    [
      "a key with another's certificate",
      concat("rsa2048.pkcs8.pem", "cert-rsa3072.pem"),
      undefined,
      "KEY_MISMATCH",
    ],
    [
      "an EC key with another's certificate",
      concat("ec256.pkcs8.pem", "cert-rsa3072.pem"),
      undefined,
      "KEY_MISMATCH",
    ],
    ["a PKCS#11 key file that is damaged", "pkcs11:\n  uri: [1\n", undefined, "KEY_UNRECOGNIZED"],
  ])("rejects %s (%#) and names it", async (_, content, password, code) => {
    const other = { content: peer("ec256.pkcs8.pem"), label: "another" };
    const file = keyFile(content, password);
    for (const files of [[file], [other, file], [file, other]]) {
      const error = await expectCode(keysFromFiles(files), code);
      expect(error.message).toMatch(/^the key: /);
      expect(error.message).not.toContain("another: ");
    }
  });
});

describe("certificates next to keys", () => {
  const file = (name: string, label = name): KeyFile => ({ content: peer(name), label });
  const [key, other] = [file("rsa2048.pkcs8.pem"), file("rsa3072.pkcs8.pem")];
  const ec = file("ec256.pkcs8.pem");
  const certificate = file("cert-rsa2048.pem");
  const renewed = file("cert-multirdn.pem");

  /** Whether the key of a file takes messages for one of two certificates of the same key only. */
  async function isPaired(...files: KeyFile[]): Promise<boolean> {
    const keys = (await keysFromFiles(files)).filter(({ scheme }) => scheme === "pkcs7");
    const unwrapped = async (name: string): Promise<boolean> => {
      const wrapped = await pkcs7.recipient(peer(name)).wrap(Buffer.from(PRIVATE_OPTIONS));
      const results = await Promise.all(keys.map((own) => own.unwrap(wrapped)));
      return results.some((result) => result !== null);
    };
    expect(await unwrapped("cert-rsa2048.pem")).toBe(true);
    return !(await unwrapped("cert-multirdn.pem"));
  }

  const chain = { content: pkcs12("chain"), password: PASSWORD, label: "chain.p12" };
  const plainP12 = { content: pkcs12("default"), password: PASSWORD, label: "default.p12" };

  it.each<[string, boolean, KeyFile[]]>([
    ["none", false, [key]],
    ["before its key", true, [certificate, key]],
    ["behind its key", true, [key, certificate]],
    ["as DER", true, [file("cert-rsa2048.der"), key]],
    ["as text", true, [{ content: certificate.content.toString(), label: "text" }, key]],
    ["among other files", true, [other, certificate, ec, key]],
    ["of several keys", true, [certificate, other, file("cert-rsa3072.pem"), key]],
    ["twice", true, [certificate, key, certificate]],
    ["renewed", false, [certificate, key, renewed]],
    [
      "in the key's file",
      true,
      [{ content: concat("rsa2048.pkcs8.pem", "cert-rsa2048.pem"), label: "both" }],
    ],
    [
      "renewed, beside that in the key's file",
      false,
      [{ content: concat("rsa2048.pkcs8.pem", "cert-rsa2048.pem"), label: "both" }, renewed],
    ],
    [
      "in a chain",
      true,
      [key, { content: concat("cert-rsa2048.pem", "cert-rsa4096.pem"), label: "chain" }],
    ],
    ["in a PKCS#12 file", true, [plainP12]],
    ["renewed, beside a PKCS#12 file", false, [renewed, plainP12]],
    ["in a PKCS#12 file, with more keys", true, [{ ...plainP12, content: pkcs12("keytool") }]],
    ["beside a PKCS#12 file with another one", true, [chain, certificate]],
  ])("%s", async (_, paired, files) => {
    expect(await isPaired(...files)).toBe(paired);
  });

  it("does not count as a key", async () => {
    expect(await schemes(certificate, key)).toEqual(RSA_SCHEMES);
    expect(await schemes(ec, file("cert-ec256.pem"))).toEqual(EC_SCHEMES);
  });

  it.each<[string, KeyFile[]]>([
    ["alone", [certificate]],
    ["with another key", [other, certificate]],
    ["with a key of another kind", [certificate, ec]],
    ["with an OpenPGP key", [file("pgp/rsa2048.sec.asc"), certificate]],
    [
      "with another PKCS#12 file",
      [{ content: pkcs12("default-ec"), password: PASSWORD, label: "p" }, certificate],
    ],
    ["beside one that fits", [ec, file("cert-ec256.pem"), certificate]],
  ])("%s it is rejected and named", async (_, files) => {
    const error = await expectCode(keysFromFiles(files), "KEY_MISMATCH");
    expect(error.message).toContain("cert-rsa2048.pem is a certificate");
  });
});
