import { createPrivateKey, webcrypto } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import { readJwks } from "../../src/keys/jwk.js";
import { readPrivateKeys } from "../../src/keys/private-key.js";
import { readPublicKeys } from "../../src/keys/public-key.js";
import { expectCode } from "../support/codes.js";
import { deepFreeze } from "../support/freeze.js";
import { ecPair, UNFIT_PAIRS, nodeKey } from "../support/keys.js";
import { vectorFile } from "../support/vectors.js";

type Jwk = Record<string, unknown>;
const load = (name: string): Jwk =>
  deepFreeze(JSON.parse(vectorFile(`keys/${name}`).toString()) as Jwk);

const EC = { private: load("ec-p256.jwk"), public: load("ec-p256.pub.jwk") };
const RSA = { private: load("rsa-2048.jwk"), public: load("rsa-2048.pub.jwk") };
const ed25519 = UNFIT_PAIRS.Ed25519!();
const OKP = {
  private: ed25519.privateKey.export({ format: "jwk" }) as Jwk,
  public: ed25519.publicKey.export({ format: "jwk" }) as Jwk,
};

describe("use and key_ops", () => {
  type Row = [Partial<Jwk>, { rsa: [boolean, boolean]; ec: [boolean, boolean] }];
  const both = (yes: boolean): { rsa: [boolean, boolean]; ec: [boolean, boolean] } => ({
    rsa: [yes, yes],
    ec: [yes, yes],
  });
  // Whether [the public half, the private half] may be used; RFC 7517, sections 4.2 and 4.3.
  const rows: Row[] = [
    [{}, both(true)],
    [{ use: "enc" }, both(true)],
    [{ use: "sig" }, both(false)],
    [{ use: "" }, both(false)],
    [{ use: "ENC" }, both(false)],
    [{ use: null }, both(true)],
    [{ use: ["enc"] }, both(false)],
    [{ key_ops: ["wrapKey"] }, { rsa: [true, false], ec: [false, false] }],
    [{ key_ops: ["encrypt"] }, { rsa: [true, false], ec: [false, false] }],
    [{ key_ops: ["unwrapKey"] }, { rsa: [false, true], ec: [false, false] }],
    [{ key_ops: ["decrypt"] }, { rsa: [false, true], ec: [false, false] }],
    [{ key_ops: ["deriveKey"] }, { rsa: [false, false], ec: [true, true] }],
    [{ key_ops: ["deriveBits", "x"] }, { rsa: [false, false], ec: [true, true] }],
    [{ key_ops: ["sign", "verify"] }, both(false)],
    [{ key_ops: [] }, { rsa: [false, false], ec: [true, false] }],
    [{ key_ops: "deriveKey" }, both(false)],
    [{ key_ops: null }, both(true)],
    [{ key_ops: [["wrapKey"]] }, both(false)],
    [{ use: "sig", key_ops: ["encrypt", "decrypt", "deriveKey"] }, both(false)],
    [{ use: "enc", key_ops: ["sign"] }, both(false)],
    [{ use: "enc", key_ops: ["encrypt", "decrypt", "deriveKey"] }, both(true)],
  ];

  it.each(rows)("%j", async (members, { rsa, ec }) => {
    const cases = [
      [RSA, rsa],
      [EC, ec],
    ] as const;
    for (const [pair, [publicAllowed, privateAllowed]] of cases) {
      const read = {
        public: () => readPublicKeys({ ...pair.public, ...members }),
        private: () => readPrivateKeys({ ...pair.private, ...members }),
      };
      if (publicAllowed) expect(read.public()).toHaveLength(1);
      else await expectCode(read.public, "KEY_USE_FORBIDDEN");
      if (privateAllowed) expect(await read.private()).toHaveLength(1);
      else await expectCode(read.private, "KEY_USE_FORBIDDEN");
    }
  });

  it("reads JWKs that Web Cryptography exports", async () => {
    const algorithm = { name: "ECDH", namedCurve: "P-256" };
    const ecdh = await webcrypto.subtle.generateKey(algorithm, true, ["deriveKey", "deriveBits"]);
    const oaep = await webcrypto.subtle.generateKey(
      {
        name: "RSA-OAEP",
        modulusLength: 2048,
        publicExponent: Uint8Array.of(1, 0, 1),
        hash: "SHA-1",
      },
      true,
      ["encrypt", "decrypt", "wrapKey", "unwrapKey"],
    );
    for (const pair of [ecdh, oaep] as webcrypto.CryptoKeyPair[]) {
      const publicJwk = (await webcrypto.subtle.exportKey("jwk", pair.publicKey)) as Jwk;
      const privateJwk = (await webcrypto.subtle.exportKey("jwk", pair.privateKey)) as Jwk;
      expect(readPublicKeys(publicJwk)).toHaveLength(1);
      expect(await readPrivateKeys(privateJwk)).toHaveLength(1);
    }
  });
});

describe("readJwks", () => {
  it.each<[string, Jwk, "public" | "private", ErrorCode]>([
    ["an empty object", {}, "public", "KEY_UNSUPPORTED"],
    ["a symmetric key", { kty: "oct", k: "AAAA" }, "private", "KEY_UNSUPPORTED"],
    ["Ed25519", OKP.public, "public", "KEY_UNSUPPORTED"],
    ["a private Ed25519", OKP.private, "private", "KEY_UNSUPPORTED"],
    ["an unknown type", { ...EC.public, kty: "ec" }, "public", "KEY_UNSUPPORTED"],
    ["a type that every object has", { kty: "constructor" }, "public", "KEY_UNSUPPORTED"],
    ["a type that is a list", { ...EC.public, kty: ["EC"] }, "public", "KEY_UNSUPPORTED"],
    ["a private key as public", EC.private, "public", "KEY_IS_PRIVATE"],
    ["a private RSA key as public", RSA.private, "public", "KEY_IS_PRIVATE"],
    ["a public key as private", EC.public, "private", "KEY_IS_PUBLIC"],
    ["a public RSA key as private", RSA.public, "private", "KEY_IS_PUBLIC"],
    ["a key of another point", { ...EC.public, x: EC.public.y }, "public", "KEY_UNRECOGNIZED"],
    ["no point", { kty: "EC", crv: "P-256" }, "public", "KEY_UNRECOGNIZED"],
    ["an unknown curve", { ...EC.public, crv: "P-257" }, "public", "KEY_UNRECOGNIZED"],
    ["a number that is not text", { ...RSA.public, n: 7 }, "public", "KEY_UNRECOGNIZED"],
    ["no modulus", { kty: "RSA", e: "AQAB" }, "public", "KEY_UNRECOGNIZED"],
    [
      "a private key without its primes",
      { ...RSA.public, d: RSA.private.d },
      "private",
      "KEY_UNRECOGNIZED",
    ],
    ["a private key that is null", { ...EC.public, d: null }, "private", "KEY_IS_PUBLIC"],
    ["a set without keys", { keys: [] }, "public", "KEY_UNRECOGNIZED"],
    ["a set that is an object", { keys: { 0: EC.public } }, "public", "KEY_UNRECOGNIZED"],
    ["a set that is null", { keys: null }, "public", "KEY_UNSUPPORTED"],
    ["a set of null", { keys: [null] }, "public", "KEY_UNRECOGNIZED"],
    ["a set of text", { keys: ["x"] }, "public", "KEY_UNRECOGNIZED"],
    [
      "a set of signing keys",
      { keys: [{ ...EC.public, use: "sig" }] },
      "public",
      "KEY_USE_FORBIDDEN",
    ],
    ["a set of other keys", { keys: [OKP.public] }, "public", "KEY_UNSUPPORTED"],
    ["a set with one private key", { keys: [EC.public, RSA.private] }, "public", "KEY_IS_PRIVATE"],
    ["a set of public keys as private", { keys: [EC.public] }, "private", "KEY_IS_PUBLIC"],
    ["a set in a set", { keys: [{ keys: [EC.public] }] }, "public", "KEY_UNSUPPORTED"],
  ])("rejects %s", async (_, jwk, half, code) => {
    const error = await expectCode(() => readJwks(deepFreeze(jwk), half), code);
    expect(error.message.length).toBeLessThan(300);
    expect(error.cause).toBeUndefined();
  });

  it("reads the keys of a set in their order, with alg and kid", () => {
    const read = readJwks({ keys: [EC.public, RSA.public] }, "public");
    expect(read.map(({ kid, alg, key }) => [kid, alg, key.asymmetricKeyType])).toEqual([
      ["ec-p256", "ECDH-ES+A128KW", "ec"],
      ["rsa-2048", "RSA-OAEP-256", "rsa"],
    ]);
  });

  it("skips keys of a set that have another use", () => {
    const keys = [{ ...RSA.public, use: "sig" }, OKP.public, null, { kty: "x" }, EC.public];
    expect(readJwks({ keys }, "public").map(({ kid }) => kid)).toEqual(["ec-p256"]);
    const privateKeys = [{ ...RSA.private, use: "sig" }, OKP.private, RSA.public, EC.private];
    expect(readJwks({ keys: privateKeys }, "private").map(({ kid }) => kid)).toEqual(["ec-p256"]);
  });

  it("uses alg and kid only if they are text", () => {
    const [read] = readJwks({ ...EC.public, alg: 7, kid: { a: 1 } }, "public");
    expect(Object.keys(read!)).toEqual(["key"]);
  });

  it("imports the given key", () => {
    const { privateKey } = ecPair("P-521");
    const [read] = readJwks(privateKey.export({ format: "jwk" }), "private");
    const der = { type: "pkcs8", format: "der" } as const;
    expect(nodeKey(read!.key).export(der)).toEqual(privateKey.export(der));
    const pem = createPrivateKey(vectorFile("keys/rsa-2048.pem"));
    expect(nodeKey(readJwks(RSA.private, "private")[0]!.key).export(der)).toEqual(pem.export(der));
  });

  it("ignores inherited members", async () => {
    const inherited = Object.create(EC.public) as Jwk;
    await expectCode(() => readJwks({ ...inherited }, "public"), "KEY_UNSUPPORTED");
    const text = `{"__proto__":${JSON.stringify(EC.public)}}`;
    await expectCode(() => readPublicKeys(text), "KEY_UNSUPPORTED");
  });
});
