import { createPrivateKey, type KeyObject } from "node:crypto";
import { flattenedDecrypt, type FlattenedJWE } from "jose";
import { describe, expect, it } from "vitest";
import { type ErrorCode, isOcicryptError, type OcicryptError } from "../../../src/errors.js";
import { describe as describeJwe } from "../../../src/keywrap/jwe/message.js";
import { jwe } from "../../../src/keywrap/jwe/index.js";
import type { KeyInput } from "../../../src/keys/material.js";
import { expectCode } from "../../support/codes.js";
import { deepFreeze } from "../../support/freeze.js";
import { ecPair, rsaPair, spkiPem, UNFIT_PAIRS } from "../../support/keys.js";
import { vectorFile } from "../../support/vectors.js";
import { SECRET } from "./forms.js";

const p256 = ecPair();
const rsa = rsaPair();
const peer = (name: string): Buffer => vectorFile(`peers/keys/${name}`);

async function wrap(
  input: KeyInput,
): Promise<{ message: FlattenedJWE; header: Record<string, unknown> }> {
  const recipient = deepFreeze(jwe.recipient(input));
  expect(recipient.scheme).toBe("jwe");
  const message = JSON.parse(Buffer.from(await recipient.wrap(SECRET)).toString()) as FlattenedJWE;
  const header = JSON.parse(Buffer.from(message.protected!, "base64url").toString()) as Record<
    string,
    unknown
  >;
  return { message, header };
}

describe("jwe.recipient", () => {
  // README of vectors/peers: which private key belongs to a file. alg: what Go chooses.
  it.each<[string, string, string]>([
    ["rsa2048.pub.pem", "rsa2048", "RSA-OAEP"],
    ["rsa2048.pub.der", "rsa2048", "RSA-OAEP"],
    ["rsa2048.pkcs1pub.pem", "rsa2048", "RSA-OAEP"],
    ["rsa2048.pub.jwk", "rsa2048", "RSA-OAEP"],
    ["rsa2048.pub.RSA-OAEP-256.jwk", "rsa2048", "RSA-OAEP-256"],
    ["cert-rsa2048.pem", "rsa2048", "RSA-OAEP"],
    ["cert-rsa2048.der", "rsa2048", "RSA-OAEP"],
    ["rsa3072.pub.pem", "rsa3072", "RSA-OAEP"],
    ["rsa4096.pub.pem", "rsa4096", "RSA-OAEP"],
    ["ec256.pub.pem", "ec256", "ECDH-ES+A256KW"],
    ["ec256.pub.jwk", "ec256", "ECDH-ES+A256KW"],
    ["cert-ec256.pem", "ec256", "ECDH-ES+A256KW"],
    ["ec384.pub.pem", "ec384", "ECDH-ES+A256KW"],
    ["ec521.pub.pem", "ec521", "ECDH-ES+A256KW"],
    ["ec521.pub.ECDH-ES_A256KW.jwk", "ec521", "ECDH-ES+A256KW"],
  ])("of %s wraps for %s with %s", async (file, name, alg) => {
    const { message, header } = await wrap(peer(file));
    expect(header).toMatchObject({ alg, enc: "A256GCM" });
    const privateKey = createPrivateKey(peer(`${name}.pkcs8.pem`));
    const { plaintext } = await flattenedDecrypt(message, privateKey);
    expect(Buffer.from(plaintext)).toEqual(SECRET);
  });

  it("writes the form that every peer reads: flattened, all in the protected header", async () => {
    for (const input of [spkiPem(rsa.publicKey), spkiPem(p256.publicKey)]) {
      const { message, header } = await wrap(input);
      expect(Object.keys(message).sort()).toEqual([
        "ciphertext",
        "encrypted_key",
        "iv",
        "protected",
        "tag",
      ]);
      for (const part of Object.values(message)) expect(part).toMatch(/^[A-Za-z0-9_-]+$/);
      const { epk, ...rest } = header;
      expect(Object.keys(rest).sort()).toEqual(["alg", "enc", "kid"]);
      if (epk !== undefined)
        expect(Object.keys(epk as object).sort()).toEqual(["crv", "kty", "x", "y"]);
    }
  });

  it.each(["rsa-2048", "rsa-3072", "rsa-4096", "ec-p256", "ec-p384", "ec-p521"])(
    "honours alg and kid of the JWK of %s, as Go does",
    async (name) => {
      const jwk = JSON.parse(vectorFile(`keys/${name}.pub.jwk`).toString()) as { alg?: string };
      const { header } = await wrap(deepFreeze(jwk));
      expect(header.alg).toBe(jwk.alg ?? "RSA-OAEP");
      expect(header.kid).toBe(name);
    },
  );

  it("names the key by its thumbprint, by a name, or not at all", async () => {
    const kidOf = async (input: KeyInput, kid?: string): Promise<unknown> => {
      const wrapped = await jwe.recipient(input, { kid }).wrap(Buffer.from(SECRET));
      return describeJwe(wrapped)[0]!.keyId;
    };
    // RFC 7638 section 3.1
    const example = {
      kty: "RSA",
      n: "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
      e: "AQAB",
    };
    expect(await kidOf(example)).toBe("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    expect(await kidOf({ ...example, kid: "own" })).toBe("own");
    expect(await kidOf({ ...example, kid: "own" }, "mine")).toBe("mine");
    expect(await kidOf({ ...example, kid: "own" }, "none")).toBeUndefined();
    expect(() => jwe.recipient(example, { kid: "" })).toThrow(TypeError);
    expect(() => jwe.recipient(example, { kid: "x".repeat(257) })).toThrow(TypeError);
  });

  it("wraps with new secrets each time", async () => {
    const parts = ["encrypted_key", "iv", "ciphertext", "tag"] as const;
    const messages = await Promise.all(
      Array.from({ length: 5 }, async () => (await wrap(spkiPem(p256.publicKey))).message),
    );
    for (const part of parts)
      expect(new Set(messages.map((message) => message[part])).size).toBe(5);
  });

  it("does not change its input", async () => {
    const secret = Buffer.from(SECRET);
    await jwe.recipient(spkiPem(rsa.publicKey)).wrap(secret);
    expect(secret).toEqual(SECRET);
  });

  it.each(Object.keys(UNFIT_PAIRS))("rejects %s", async (name) => {
    const { publicKey } = UNFIT_PAIRS[name]!();
    await expectCode(() => jwe.recipient(spkiPem(publicKey)), "KEY_UNSUPPORTED");
    const der = publicKey.export({ type: "spki", format: "der" });
    await expectCode(() => jwe.recipient(der), "KEY_UNSUPPORTED");
  });

  const jwkOf = (key: KeyObject, members: object = {}): Record<string, unknown> => ({
    ...key.export({ format: "jwk" }),
    ...members,
  });

  it.each<[string, KeyInput, ErrorCode]>([
    ["RSA1_5", peer("rsa2048.pub.RSA1_5.jwk"), "KEY_UNSUPPORTED"],
    ["ECDH-ES direct", peer("ec256.pub.ECDH-ES.jwk"), "KEY_UNSUPPORTED"],
    ["a private key as PEM", peer("rsa2048.pkcs8.pem"), "KEY_IS_PRIVATE"],
    ["a private key as DER", peer("ec256.sec1.der"), "KEY_IS_PRIVATE"],
    ["a private key as JWK", peer("rsa2048.priv.jwk"), "KEY_IS_PRIVATE"],
    ["an encrypted private key", peer("rsa2048.pkcs8.enc-v2.pem"), "KEY_IS_PRIVATE"],
    ["a private key as a parsed JWK", jwkOf(p256.privateKey), "KEY_IS_PRIVATE"],
    ["a JWK for signing", jwkOf(p256.publicKey, { use: "sig" }), "KEY_USE_FORBIDDEN"],
    [
      "a JWK that only decrypts",
      jwkOf(rsa.publicKey, { key_ops: ["decrypt"] }),
      "KEY_USE_FORBIDDEN",
    ],
    ["garbage", "garbage", "KEY_UNRECOGNIZED"],
    ["nothing", "", "KEY_UNRECOGNIZED"],
  ])("rejects %s", async (_, input, code) => {
    await expectCode(() => jwe.recipient(input), code);
    await expectCode(() => jwe.recipients(input), code);
  });

  it("accepts one key, whereas jwe.recipients accepts several", async () => {
    const text = spkiPem(p256.publicKey) + spkiPem(rsa.publicKey);
    expect(() => jwe.recipient(text)).toThrow(TypeError);
    const set = { keys: [jwkOf(p256.publicKey), jwkOf(rsa.publicKey)] };
    expect(() => jwe.recipient(set)).toThrow(TypeError);
    for (const input of [text, set, JSON.stringify(set), Buffer.from(JSON.stringify(set))]) {
      const all = jwe.recipients(input);
      expect(all).toHaveLength(2);
      const [first, second] = await Promise.all(all.map((one) => one.wrap(SECRET)));
      const open = async (key: KeyObject, wrapped: Uint8Array): Promise<Buffer> => {
        const message = JSON.parse(Buffer.from(wrapped).toString()) as FlattenedJWE;
        return Buffer.from((await flattenedDecrypt(message, key)).plaintext);
      };
      expect(await open(p256.privateKey, first!)).toEqual(SECRET);
      expect(await open(rsa.privateKey, second!)).toEqual(SECRET);
    }
  });

  it.each([
    ["for signing by its alg", rsa.publicKey, { alg: "RS256" }],
    ["on a curve that is not read", UNFIT_PAIRS["EC on secp256k1"]!().publicKey, {}],
  ])("skips a key of a set that is %s", (_, other, members) => {
    const set = { keys: [jwkOf(other, members), jwkOf(p256.publicKey)] };
    expect(jwe.recipients(set)).toHaveLength(1);
  });
});

it.each([
  ["RSA of 1024 bits", UNFIT_PAIRS["RSA of 1024 bits"]!().publicKey, {}],
  ["an alg for signing", rsaPair().publicKey, { alg: "RS256" }],
  ["an alg that is not written", rsaPair().publicKey, { alg: "RSA-OAEP-512" }],
  ["Ed25519", UNFIT_PAIRS.Ed25519!().publicKey, {}],
  ["EC on secp256k1", UNFIT_PAIRS["EC on secp256k1"]!().publicKey, {}],
])("rejects a JWK Set whose only key is unusable: %s", async (_, key, members) => {
  const set = { keys: [{ ...key.export({ format: "jwk" }), ...members }] };
  const error = await expectRefusal(() => jwe.recipients(set));
  expect(error.code).toMatch(/^KEY_(?:UNSUPPORTED|USE_FORBIDDEN)$/);
});

async function expectRefusal(operation: () => unknown): Promise<OcicryptError> {
  try {
    await operation();
  } catch (error) {
    if (isOcicryptError(error)) return error;
    throw error;
  }
  throw new Error("it was accepted");
}
