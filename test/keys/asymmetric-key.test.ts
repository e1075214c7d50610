import { createPublicKey, generateKeyPairSync, webcrypto } from "node:crypto";
import { describe, expect, it } from "vitest";
import { jwe } from "../../src/keywrap/jwe/index.js";
import { pkcs7 } from "../../src/keywrap/pkcs7/index.js";
import { pkcs11 } from "../../src/keywrap/pkcs11/index.js";
import { X509Certificate } from "node:crypto";
import { createPrivateKey, createSecretKey } from "node:crypto";
import { encodeElement, INTEGER, SEQUENCE } from "../../src/keys/der.js";
import { expectCode } from "../support/codes.js";
import { ecPair, rsaPair } from "../support/keys.js";
import { vectorFile } from "../support/vectors.js";

const rsa = rsaPair();
const SECRET = Buffer.from("secret");

describe("public keys that protect nothing are rejected", () => {
  const jwk = rsa.publicKey.export({ format: "jwk" });
  const integer = (value: Buffer): Uint8Array =>
    encodeElement(INTEGER, (value[0] ?? 0) < 0x80 ? value : Buffer.concat([Buffer.of(0), value]));
  const n = Buffer.from(jwk.n ?? "", "base64url");

  it.each<[string, string]>([
    ["1", "01"],
    ["2", "02"],
    ["an even one", "010000"],
    ["one above Go's limit", "0100000001"],
  ])("RSA with the exponent %s", async (_, hex) => {
    const e = Buffer.from(hex, "hex");
    const pkcs1 = Buffer.from(encodeElement(SEQUENCE, integer(n), integer(e)));
    const inputs = [{ ...jwk, e: e.toString("base64url") }, pkcs1, pkcs1.toString("base64")];
    for (const input of inputs) {
      await expectCode(() => jwe.recipient(input), "KEY_UNSUPPORTED");
      await expectCode(pkcs11.recipient(input, { hash: "sha1" }), "KEY_UNSUPPORTED");
    }
  });

  it.each(["03", "11", "010001", "7fffffff"])("RSA with the exponent 0x%s is accepted", (hex) => {
    expect(jwe.recipient({ ...jwk, e: Buffer.from(hex, "hex").toString("base64url") }).scheme).toBe(
      "jwe",
    );
  });

  it("RSA with an even modulus", async () => {
    const even = Buffer.from(n);
    even[even.length - 1]! &= 0xfe;
    await expectCode(
      () => jwe.recipient({ ...jwk, n: even.toString("base64url") }),
      "KEY_UNSUPPORTED",
    );
  });

  it("EC with its own parameters", async () => {
    const { publicKey } = generateKeyPairSync("ec", {
      namedCurve: "P-256",
      paramEncoding: "explicit",
    });
    const pem = publicKey.export({ type: "spki", format: "pem" }).toString();
    for (const input of [pem, publicKey, createPublicKey(pem)]) {
      await expectCode(() => jwe.recipient(input), "KEY_UNSUPPORTED");
    }
  });
});

describe("keys of Node.js and Web Cryptography", () => {
  it.each([
    ["RSA", rsa],
    ["EC", ecPair("P-384")],
  ])("a KeyObject of %s", async (_, { publicKey, privateKey }) => {
    const wrapped = await jwe.recipient(publicKey).wrap(Buffer.from(SECRET));
    expect(Buffer.from((await jwe.key(privateKey).unwrap(wrapped)) ?? [])).toEqual(SECRET);
    await expectCode(() => jwe.recipient(privateKey), "KEY_IS_PRIVATE");
    await expectCode(() => jwe.key(publicKey), "KEY_IS_PUBLIC");
  });

  const oaep = (hash: string, extractable: boolean) =>
    webcrypto.subtle.generateKey(
      { name: "RSA-OAEP", modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1), hash },
      extractable,
      ["encrypt", "decrypt"],
    );

  it.each([
    ["SHA-1", "RSA-OAEP"],
    ["SHA-256", "RSA-OAEP-256"],
  ])("a CryptoKey for RSA-OAEP with %s wraps with %s", async (hash, algorithm) => {
    const { publicKey, privateKey } = await oaep(hash, false);
    const recipient = jwe.recipient(publicKey);
    expect(recipient.algorithm).toBe(algorithm);
    const wrapped = await recipient.wrap(Buffer.from(SECRET));
    expect(Buffer.from((await jwe.key(privateKey).unwrap(wrapped)) ?? [])).toEqual(SECRET);
  });

  it("a CryptoKey for ECDH", async () => {
    const { publicKey, privateKey } = await webcrypto.subtle.generateKey(
      { name: "ECDH", namedCurve: "P-256" },
      false,
      ["deriveBits"],
    );
    const wrapped = await jwe.recipient(publicKey).wrap(Buffer.from(SECRET));
    expect(Buffer.from((await jwe.key(privateKey).unwrap(wrapped)) ?? [])).toEqual(SECRET);
  });

  it("rejects keys for other algorithms, hashes and uses", async () => {
    const sha512 = await oaep("SHA-512", false);
    await expectCode(() => jwe.recipient(sha512.publicKey), "KEY_UNSUPPORTED");
    const ecdsa = await webcrypto.subtle.generateKey(
      { name: "ECDSA", namedCurve: "P-256" },
      false,
      ["sign", "verify"],
    );
    await expectCode(() => jwe.recipient(ecdsa.publicKey), "KEY_USE_FORBIDDEN");
    await expectCode(() => jwe.key(ecdsa.privateKey), "KEY_USE_FORBIDDEN");
    const secret = createSecretKey(Buffer.alloc(32));
    await expectCode(() => jwe.key(secret), "KEY_UNSUPPORTED");
    await expectCode(() => jwe.recipient(secret), "KEY_UNSUPPORTED");
  });

  it("a KeyObject and an X509Certificate for PKCS#7", async () => {
    const certificate = new X509Certificate(vectorFile("peers/keys/cert-rsa2048.pem"));
    const privateKey = createPrivateKey(vectorFile("peers/keys/rsa2048.pkcs8.pem"));
    const wrapped = await pkcs7.recipient(certificate).wrap(Buffer.from(SECRET));
    for (const key of [pkcs7.key(privateKey), pkcs7.key(privateKey, { certificate })]) {
      expect(Buffer.from((await key.unwrap(wrapped)) ?? [])).toEqual(SECRET);
    }
  });
});
