import {
  createPublicKey,
  X509Certificate,
  type JsonWebKeyInput,
  type KeyObject,
} from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import type { KeyInput } from "../../src/keys/material.js";
import { readPublicKeys } from "../../src/keys/public-key.js";
import { expectCode } from "../support/codes.js";
import { pkcs8Pem, spkiPem, UNFIT_PAIRS, nodeKey } from "../support/keys.js";
import { vectorFile, vectorFolder } from "../support/vectors.js";

const peer = (name: string): Buffer => vectorFile(`peers/keys/${name}`);
const fixture = (name: string): Buffer =>
  readFileSync(new URL(`fixtures/${name}`, import.meta.url));
const spki = (key: KeyObject): Buffer => nodeKey(key).export({ type: "spki", format: "der" });
const jwk = (bytes: Buffer): KeyObject =>
  createPublicKey({ key: JSON.parse(bytes.toString()) as JsonWebKeyInput["key"], format: "jwk" });

function expectedKey(name: string, bytes: Buffer): KeyObject {
  if (name.startsWith("cert-")) return new X509Certificate(bytes).publicKey;
  if (name.endsWith(".jwk")) return jwk(bytes);
  if (name.endsWith(".der")) return createPublicKey({ key: bytes, format: "der", type: "spki" });
  return createPublicKey(bytes);
}

const peerFiles = vectorFolder("peers/keys").map((name) => [name, peer(name)] as const);
const ownFiles = vectorFolder("keys").map((name) => [name, vectorFile(`keys/${name}`)] as const);
const isPublic = (name: string): boolean => /pub|cert/.test(name);
const files = [...peerFiles, ...ownFiles];

describe("readPublicKeys", () => {
  it.each(files.filter(([name]) => isPublic(name)))("reads %s", (name, bytes) => {
    const inputs: KeyInput[] = [bytes, Uint8Array.from(bytes)];
    if (!name.endsWith(".der")) inputs.push(bytes.toString());
    if (name.endsWith(".jwk")) inputs.push(JSON.parse(bytes.toString()) as KeyInput);
    for (const input of inputs) {
      const [read, ...more] = readPublicKeys(input);
      expect(more).toEqual([]);
      expect(read!.key.type).toBe("public");
      expect(spki(read!.key)).toEqual(spki(expectedKey(name, bytes)));
    }
  });

  it.each(files.filter(([name]) => !isPublic(name)))(
    "rejects %s, a private key",
    async (_, bytes) => {
      await expectCode(() => readPublicKeys(bytes), "KEY_IS_PRIVATE");
      await expectCode(() => readPublicKeys(Uint8Array.from(bytes)), "KEY_IS_PRIVATE");
    },
  );

  it("uses the alg and kid of a JWK only", () => {
    const [read] = readPublicKeys(vectorFile("keys/rsa-2048.pub.jwk"));
    expect([read!.alg, read!.kid]).toEqual(["RSA-OAEP-256", "rsa-2048"]);
    const [pem] = readPublicKeys(vectorFile("keys/rsa-2048.pub.pem"));
    expect(Object.keys(pem!)).toEqual(["key"]);
  });

  const PEM = vectorFile("keys/ec-p256.pub.pem").toString();
  const expected = spki(createPublicKey(PEM));

  it.each<[string, string]>([
    ["a byte order mark", `\uFEFF${PEM}`],
    ["CRLF", PEM.replaceAll("\n", "\r\n")],
    ["text around it", `Subject: x\n\n${PEM}\nSent from my terminal\n`],
    ["no newline at its end", PEM.trimEnd()],
    ["space before it", `  \n\n${PEM}`],
  ])("reads PEM with %s", (_, text) => {
    expect(spki(readPublicKeys(text)[0]!.key)).toEqual(expected);
    expect(spki(readPublicKeys(Buffer.from(text))[0]!.key)).toEqual(expected);
  });

  it("reads all public keys of a file, but only the first certificate of a chain", () => {
    const rsa = vectorFile("keys/rsa-2048.pub.pem").toString();
    expect(readPublicKeys(`${PEM}${rsa}`).map(({ key }) => spki(key))).toEqual([
      expected,
      spki(createPublicKey(rsa)),
    ]);
    const chain = `${peer("cert-rsa3072.pem").toString()}${peer("cert-rsa2048.pem").toString()}`;
    expect(readPublicKeys(chain).map(({ key }) => spki(key))).toEqual([
      spki(new X509Certificate(peer("cert-rsa3072.pem")).publicKey),
    ]);
  });

  it("reads keys that JWE cannot use but other schemes may", () => {
    for (const [name, make] of Object.entries(UNFIT_PAIRS)) {
      if (name.startsWith("RSA of")) continue;
      const { publicKey } = make();
      expect(spki(readPublicKeys(spkiPem(publicKey))[0]!.key)).toEqual(spki(publicKey));
      expect(spki(readPublicKeys(spki(publicKey))[0]!.key)).toEqual(spki(publicKey));
    }
  });

  const damaged = Buffer.from(expected);
  damaged[5] = 0x7f;
  const offCurve = Buffer.from(expected);
  offCurve[offCurve.length - 1]! ^= 1;
  const asPem = (label: string, bytes: Buffer): string =>
    `-----BEGIN ${label}-----\n${bytes.toString("base64")}\n-----END ${label}-----\n`;

  it.each<[string, KeyInput, ErrorCode]>([
    ["nothing", "", "KEY_UNRECOGNIZED"],
    ["no bytes", new Uint8Array(0), "KEY_UNRECOGNIZED"],
    ["garbage", Buffer.from([1, 2, 3]), "KEY_UNRECOGNIZED"],
    ["a PEM that is cut", PEM.slice(0, 100), "KEY_UNRECOGNIZED"],
    ["a PEM whose body is cut", PEM.replace(/.{20}\n-----END/, "\n-----END"), "KEY_UNRECOGNIZED"],
    ["a PEM of garbage", asPem("PUBLIC KEY", Buffer.from("garbage")), "KEY_UNRECOGNIZED"],
    ["an empty PEM", asPem("PUBLIC KEY", Buffer.alloc(0)), "KEY_UNRECOGNIZED"],
    ["a certificate of garbage", asPem("CERTIFICATE", Buffer.from("garbage")), "KEY_UNRECOGNIZED"],
    ["a certificate request", asPem("CERTIFICATE REQUEST", Buffer.alloc(9)), "KEY_UNRECOGNIZED"],
    ["a PGP key", asPem("PGP PUBLIC KEY BLOCK", Buffer.alloc(9)), "KEY_UNRECOGNIZED"],
    ["PKCS#12", fixture("key-and-certificate.p12"), "KEY_UNRECOGNIZED"],
    ["DER that is cut", peer("rsa2048.pub.der").subarray(0, 200), "KEY_UNRECOGNIZED"],
    ["DER that is damaged", damaged, "KEY_UNRECOGNIZED"],
    ["a point that is not on its curve", offCurve, "KEY_UNRECOGNIZED"],
    ["the same as PEM", asPem("PUBLIC KEY", offCurve), "KEY_UNRECOGNIZED"],
    [
      "a private key labelled as public",
      pkcs8Pem(UNFIT_PAIRS.Ed25519!().privateKey).replaceAll("PRIVATE", "PUBLIC"),
      "KEY_UNRECOGNIZED",
    ],
    [
      "a public key before a private one",
      `${PEM}${vectorFile("keys/ec-p256.pem").toString()}`,
      "KEY_IS_PRIVATE",
    ],
    ["an OpenSSH private key", asPem("OPENSSH PRIVATE KEY", Buffer.alloc(9)), "KEY_IS_PRIVATE"],
    ["an encrypted private key as DER", fixture("pbe-sha1-rc2.der"), "KEY_IS_PRIVATE"],
    ["a huge file", "x".repeat(1024 * 1024 + 1), "KEY_UNRECOGNIZED"],
  ])("rejects %s", async (_, input, code) => {
    const error = await expectCode(() => readPublicKeys(input), code);
    expect(error.message.length).toBeLessThan(300);
  });
});
