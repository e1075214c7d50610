import {
  createCipheriv,
  createHash,
  publicEncrypt,
  randomBytes,
  type KeyObject,
} from "node:crypto";
import { deflateRawSync } from "node:zlib";
import type { JWEHeaderParameters } from "jose";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ErrorCode } from "../../../src/errors.js";
import { jwe } from "../../../src/keywrap/jwe/index.js";
import type { Key } from "../../../src/keywrap/types.js";
import { expectCode } from "../../support/codes.js";
import { isWebEngine } from "../../support/engine.js";
import { deepFreeze } from "../../support/freeze.js";
import { ecPair, pkcs8Pem, rsaPair, UNFIT_PAIRS } from "../../support/keys.js";
import { jweVector, vectorFile } from "../../support/vectors.js";
import { bytes, compact, crafted, flattened, general, SECRET } from "./forms.js";

const p256 = ecPair("P-256");
const p256b = ecPair("P-256");
const p384 = ecPair("P-384");
const p521 = ecPair("P-521");
const rsa = rsaPair();
const rsa3072 = rsaPair(3072);
const key = ({ privateKey }: { privateKey: KeyObject }): ReturnType<typeof jwe.key> =>
  jwe.key(pkcs8Pem(privateKey));

const RSA_ALGS = ["RSA-OAEP", "RSA-OAEP-256"];
const EC_ALGS = ["ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW"];
const ENCS = ["A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM"];

async function expectOpens(opener: ReturnType<typeof jwe.key>, message: unknown): Promise<void> {
  expect(Buffer.from((await opener.unwrap(bytes(message))) ?? [])).toEqual(SECRET);
}
async function expectForeign(opener: ReturnType<typeof jwe.key>, message: unknown): Promise<void> {
  expect(await opener.unwrap(bytes(message))).toBeNull();
}

describe("a JWE of each algorithm", () => {
  const pairs = [
    ...RSA_ALGS.map((alg) => ["RSA-2048", alg, rsa, rsa3072] as const),
    ...EC_ALGS.flatMap((alg) => [
      ["P-256", alg, p256, p256b] as const,
      ["P-384", alg, p384, p256] as const,
      ["P-521", alg, p521, p384] as const,
    ]),
  ];
  it.each(pairs)(
    "%s with %s opens in each form, only for its key",
    async (_, alg, right, wrong) => {
      const header = { alg, enc: "A256GCM" };
      const forms = [
        await compact(right.publicKey, header),
        await flattened(right.publicKey, header),
        await general([[right.publicKey, { alg }]]),
      ];
      for (const form of forms) {
        await expectOpens(key(right), form);
        await expectForeign(key(wrong), form);
      }
    },
  );

  it.each(ENCS)("content encrypted with %s opens", async (enc) => {
    for (const [pair, alg] of [
      [rsa, "RSA-OAEP"],
      [p521, "ECDH-ES+A256KW"],
    ] as const) {
      await expectOpens(key(pair), await compact(pair.publicKey, { alg, enc }));
      await expectOpens(key(pair), await flattened(pair.publicKey, { alg, enc }));
      await expectOpens(key(pair), await general([[pair.publicKey, { alg }]], {}, enc));
    }
  });
});

describe("the parts of a JWE", () => {
  const alg = "RSA-OAEP-256";
  const enc = "A256GCM";

  it("may have their headers anywhere", async () => {
    const forms = [
      await flattened(rsa.publicKey, { enc }, { unprotected: { alg } }),
      await flattened(rsa.publicKey, { enc }, { own: { alg } }),
      await flattened(rsa.publicKey, { alg }, { own: { enc } }),
      await flattened(rsa.publicKey, { typ: "x" }, { unprotected: { enc }, own: { alg } }),
      await flattened(
        rsa.publicKey,
        { alg, enc },
        { own: { kid: "k" }, unprotected: { jku: "x" } },
      ),
      await general([[rsa.publicKey, {}]], { alg }),
    ];
    for (const form of forms) await expectOpens(key(rsa), form);
  });

  it("may have no protected header at all", async () => {
    const cek = randomBytes(32);
    const iv = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", cek, iv);
    const ciphertext = Buffer.concat([cipher.update(SECRET), cipher.final()]);
    await expectOpens(key(rsa), {
      header: { alg, enc },
      iv: iv.toString("base64url"),
      ciphertext: ciphertext.toString("base64url"),
      tag: cipher.getAuthTag().toString("base64url"),
      encrypted_key: publicEncrypt({ key: rsa.publicKey, oaepHash: "sha256" }, cek).toString(
        "base64url",
      ),
    });
  });

  it("may have additional authenticated data", async () => {
    const form = await flattened(p256.publicKey, { alg: "ECDH-ES+A256KW", enc }, { aad: "data" });
    await expectOpens(key(p256), form);
    await expectForeign(key(p256), { ...form, aad: Buffer.from("other").toString("base64url") });
  });

  it("may have unknown members and surrounding space", async () => {
    const form = await flattened(rsa.publicKey, { alg, enc });
    await expectOpens(key(rsa), { ...form, unknown: { a: 1 }, "": null });
    await expectOpens(key(rsa), `\n ${JSON.stringify(form, null, 2)}\n`);
    await expectOpens(key(rsa), `${await compact(rsa.publicKey, { alg, enc })}\n`);
  });

  it("may be compressed", async () => {
    // RFC 7516, section 4.1.3
    const message = crafted(rsa.publicKey, { zip: "DEF" }, deflateRawSync(SECRET));
    await expectOpens(key(rsa), message);
  });

  it("cannot be a decompression bomb", async () => {
    for (const size of [250_001, 10 * 1024 * 1024]) {
      const bomb = deflateRawSync(Buffer.alloc(size));
      await expectForeign(key(rsa), crafted(rsa.publicKey, { zip: "DEF" }, bomb));
    }
    const largest = Buffer.alloc(250_000, "a");
    const message = crafted(rsa.publicKey, { zip: "DEF" }, deflateRawSync(largest));
    const unwrapped = await key(rsa).unwrap(Buffer.from(message));
    expect(unwrapped).toEqual(new Uint8Array(largest));
  });

  it("must not be changed", async () => {
    const form = await flattened(p384.publicKey, { alg: "ECDH-ES+A256KW", enc });
    const flip = (text: string): string => (text.startsWith("A") ? "B" : "A") + text.slice(1);
    for (const name of ["encrypted_key", "iv", "ciphertext", "tag"] as const) {
      await expectForeign(key(p384), { ...form, [name]: flip(form[name]!) });
      await expectForeign(key(p384), { ...form, [name]: undefined });
      await expectForeign(key(p384), { ...form, [name]: "" });
      await expectForeign(key(p384), { ...form, [name]: "ä+/" });
    }
    await expectForeign(key(p384), { ...form, tag: form.tag!.slice(0, 16) });
  });

  it("must not require unknown extensions", async () => {
    await expectOpens(key(rsa), crafted(rsa.publicKey, { exp: 1 }));
    await expectForeign(key(rsa), crafted(rsa.publicKey, { exp: 1, crit: ["exp"] }));
    await expectForeign(key(rsa), crafted(rsa.publicKey, { zip: "BR" }));
  });
});

describe("a JWE of several recipients", () => {
  type Addressed = [KeyObject, JWEHeaderParameters];
  const to = (pair: { publicKey: KeyObject }, alg: string, kid?: string): Addressed => [
    pair.publicKey,
    { alg, ...(kid !== undefined && { kid }) },
  ];

  it("opens only for these recipients", async () => {
    const message = await general([
      to(rsa, "RSA-OAEP"),
      to(rsa3072, "RSA-OAEP-256"),
      to(p256, "ECDH-ES+A128KW"),
      to(p521, "ECDH-ES+A256KW"),
    ]);
    for (const pair of [rsa, rsa3072, p256, p521]) await expectOpens(key(pair), message);
    for (const pair of [p256b, p384, rsaPair()]) await expectForeign(key(pair), message);
  });

  it("opens after other recipients with the same algorithm and curve", async () => {
    const others = Array.from({ length: 5 }, () => to(ecPair(), "ECDH-ES+A256KW"));
    const message = await general([...others, to(p256, "ECDH-ES+A256KW")]);
    await expectOpens(key(p256), message);
  });

  it("has a surplus encrypted_key if go-jose wrote it", async () => {
    const message = await general([to(rsa, "RSA-OAEP"), to(p256, "ECDH-ES+A256KW")]);
    const stray = { ...message, encrypted_key: message.recipients[0]!.encrypted_key };
    await expectOpens(key(rsa), stray);
    await expectOpens(key(p256), stray);
    await expectForeign(key(p384), stray);
  });

  it("opens although others have unsupported or unknown algorithms", async () => {
    const message = await general([to(rsa, "RSA-OAEP"), to(p256, "ECDH-ES+A256KW")]);
    const [first, second] = message.recipients;
    const foreign = [
      "RSA1_5",
      "dir",
      "ECDH-ES",
      "PBES2-HS256+A128KW",
      "X-NEW",
      "",
      "__proto__",
    ].map((alg) => ({ header: { alg }, encrypted_key: "AAAA" }));
    const mixed = { ...message, recipients: [...foreign, first, ...foreign, second] };
    await expectOpens(key(rsa), mixed);
    await expectOpens(key(p256), mixed);
    await expectForeign(key(p384), mixed);
  });

  it.each([
    ["the key's own", "a", "a"],
    ["another one", "a", "b"],
    ["none", "a", undefined],
    ["one that is not for the key", undefined, "b"],
  ])("does not depend on kid: %s", async (_, mine, theirs) => {
    const jwk = { ...p256.privateKey.export({ format: "jwk" }), ...(mine && { kid: mine }) };
    const message = await general([
      to(p256b, "ECDH-ES+A256KW", mine),
      to(p256, "ECDH-ES+A256KW", theirs),
    ]);
    await expectOpens(jwe.key(jwk), message);
    const single = await flattened(p256.publicKey, {
      alg: "ECDH-ES+A128KW",
      enc: "A128GCM",
      ...(theirs !== undefined && { kid: theirs }),
    });
    await expectOpens(jwe.key(jwk), single);
  });

  it("opens for a key whose JWK names another of the algorithms", async () => {
    const jwk = { ...rsa.privateKey.export({ format: "jwk" }), alg: "RSA-OAEP-256" };
    await expectOpens(
      jwe.key(jwk),
      await flattened(rsa.publicKey, { alg: "RSA-OAEP", enc: "A256GCM" }),
    );
    const ec = { ...p256.privateKey.export({ format: "jwk" }), alg: "ECDH-ES+A128KW" };
    const message = await flattened(p256.publicKey, { alg: "ECDH-ES+A256KW", enc: "A256GCM" });
    await expectOpens(jwe.key(ec), message);
  });
});

describe("a JWE that is rejected", () => {
  const protect = (header: object): string =>
    Buffer.from(JSON.stringify(header)).toString("base64url");
  const withHeader = (header: object): object => ({
    protected: protect({ enc: "A256GCM", ...header }),
    encrypted_key: "AAAA",
    iv: "AAAAAAAAAAAAAAAA",
    ciphertext: "AAAA",
    tag: "AAAAAAAAAAAAAAAAAAAAAA",
  });
  const general1 = (alg: string): object => ({
    protected: protect({ enc: "A256GCM" }),
    recipients: [{ header: { alg }, encrypted_key: "AAAA" }],
    ciphertext: "AAAA",
  });

  it.each<[string, () => unknown]>([
    ["RSA1_5", () => withHeader({ alg: "RSA1_5" })],
    ["RSA-OAEP-384", () => withHeader({ alg: "RSA-OAEP-384" })],
    ["RSA-OAEP-512", () => withHeader({ alg: "RSA-OAEP-512" })],
    ["dir", () => compact(randomBytes(32), { alg: "dir", enc: "A256GCM" })],
    ["ECDH-ES direct", () => compact(p256.publicKey, { alg: "ECDH-ES", enc: "A256GCM" })],
    ["A256KW", () => compact(randomBytes(32), { alg: "A256KW", enc: "A256GCM" })],
    ["PBES2", () => withHeader({ alg: "PBES2-HS256+A128KW", p2c: 2 ** 31, p2s: "AAAA" })],
    ["an unknown one", () => withHeader({ alg: "X-NEW" })],
    ["an empty one", () => withHeader({ alg: "" })],
    ["another case", () => withHeader({ alg: "rsa-oaep" })],
    ["a general one", () => general1("RSA1_5")],
    ["a name of every object", () => general1("constructor")],
  ])("for its algorithm: %s", async (_, make) => {
    const message = bytes(await make());
    for (const pair of [p256, rsa]) {
      await expectCode(key(pair).unwrap(message), "WRAPPED_KEY_UNSUPPORTED");
    }
  });

  it("shortens a huge algorithm in the message", async () => {
    const message = bytes(withHeader({ alg: "x".repeat(10_000) }));
    const error = await expectCode(key(p256).unwrap(message), "WRAPPED_KEY_UNSUPPORTED");
    expect(error.message.length).toBeLessThan(300);
  });

  it("limits the number of reasons", () => {
    const message = bytes({
      ...withHeader({ alg: "x".repeat(6_000), kid: "y".repeat(6_000) }),
      recipients: Array(100).fill({ encrypted_key: "AAAA" }),
    });
    expect(key(p256).explain?.(message).length).toBeLessThan(10_000);
  });

  it("for its content encryption, as if it were foreign", async () => {
    const form = await flattened(rsa.publicKey, { alg: "RSA-OAEP", enc: "A256GCM" });
    for (const enc of ["C20P", "none", "", "A256GCMKW"]) {
      await expectForeign(key(rsa), { ...form, protected: protect({ alg: "RSA-OAEP", enc }) });
    }
  });
});

describe("jwe.key", () => {
  it.each(Object.keys(UNFIT_PAIRS))("rejects %s", async (name) => {
    const { privateKey } = UNFIT_PAIRS[name]!();
    await expectCode(() => jwe.key(pkcs8Pem(privateKey)), "KEY_UNSUPPORTED");
    const der = privateKey.export({ type: "pkcs8", format: "der" });
    await expectCode(() => jwe.key(der), "KEY_UNSUPPORTED");
  });

  it.each<[string, string, ErrorCode | null]>([
    ["rsa", "RSA-OAEP", null],
    ["rsa", "RSA-OAEP-256", null],
    ["rsa", "RSA-OAEP-384", "KEY_UNSUPPORTED"],
    ["rsa", "RSA1_5", "KEY_UNSUPPORTED"],
    ["rsa", "RS256", "KEY_UNSUPPORTED"],
    ["rsa", "ECDH-ES+A256KW", "KEY_UNSUPPORTED"],
    ["rsa", "", "KEY_UNSUPPORTED"],
    ["ec", "ECDH-ES+A128KW", null],
    ["ec", "ECDH-ES+A192KW", null],
    ["ec", "ECDH-ES+A256KW", null],
    ["ec", "ECDH-ES", "KEY_UNSUPPORTED"],
    ["ec", "ES256", "KEY_UNSUPPORTED"],
    ["ec", "RSA-OAEP", "KEY_UNSUPPORTED"],
    ["ec", "ecdh-es+a256kw", "KEY_UNSUPPORTED"],
  ])("with a JWK of type %s for %s: %s", async (type, alg, code) => {
    const { privateKey, publicKey } = type === "rsa" ? rsa : p256;
    const privateJwk = { ...privateKey.export({ format: "jwk" }), alg };
    const publicJwk = { ...publicKey.export({ format: "jwk" }), alg };
    if (code === null) {
      expect(jwe.key(privateJwk).scheme).toBe("jwe");
      expect(jwe.recipient(publicJwk).scheme).toBe("jwe");
    } else {
      await expectCode(() => jwe.key(privateJwk), code);
      await expectCode(() => jwe.recipient(publicJwk), code);
    }
  });

  it.each<[string, Buffer, ErrorCode]>([
    ["a public key", vectorFile("keys/rsa-2048.pub.pem"), "KEY_IS_PUBLIC"],
    ["a public JWK", vectorFile("keys/rsa-2048.pub.jwk"), "KEY_IS_PUBLIC"],
    ["a certificate", vectorFile("peers/keys/cert-rsa2048.pem"), "KEY_IS_PUBLIC"],
    ["an encrypted key", vectorFile("peers/keys/rsa2048.pkcs8.enc-v2.pem"), "PASSWORD_MISSING"],
    ["nothing", Buffer.alloc(0), "KEY_UNRECOGNIZED"],
  ])("rejects %s", async (_, input, code) => {
    await expectCode(() => jwe.key(input), code);
    await expectCode(() => jwe.keys(input), code);
  });

  it("accepts a password and a label", async () => {
    const file = vectorFile("peers/keys/rsa2048.pkcs1.enc-aes256.pem");
    const opener = jwe.key(file, deepFreeze({ password: "secret", label: "rsa.pem" }));
    expect(opener.label).toBe("rsa.pem");
    const publicKey = jwe.recipient(vectorFile("peers/keys/rsa2048.pub.pem"));
    const wrapped = await publicKey.wrap(SECRET);
    expect(Buffer.from((await opener.unwrap(wrapped)) ?? [])).toEqual(SECRET);
  });

  it("rejects a wrong password for a DEK-Info header: at once on Node.js, from unwrap in browsers", async () => {
    const file = vectorFile("peers/keys/rsa2048.pkcs1.enc-aes256.pem");
    const wrapped = await jwe.recipient(vectorFile("peers/keys/rsa2048.pub.pem")).wrap(SECRET);
    const read = (): Key => jwe.key(file, { password: "wrong" });
    if (!isWebEngine) await expectCode(read, "PASSWORD_WRONG");
    else await expectCode(() => read().unwrap(wrapped), "PASSWORD_WRONG");
    await expectCode(() => jwe.key(file), "PASSWORD_MISSING");
  });

  it("accepts one key, whereas jwe.keys accepts several", () => {
    const text = pkcs8Pem(p256.privateKey) + pkcs8Pem(rsa.privateKey);
    expect(() => jwe.key(text)).toThrow(TypeError);
    expect(jwe.keys(text, { label: "both" }).map(({ label }) => label)).toEqual(["both", "both"]);
    const set = { keys: [p256, rsa].map(({ privateKey }) => privateKey.export({ format: "jwk" })) };
    expect(jwe.keys(set)).toHaveLength(2);
    expect(jwe.keys(JSON.stringify(set))).toHaveLength(2);
    expect(() => jwe.key(set)).toThrow(TypeError);
  });

  it.each([
    ["for signing by its alg", rsa.privateKey, { alg: "RS256" }],
    ["on a curve that is not read", UNFIT_PAIRS["EC on secp256k1"]!().privateKey, {}],
  ])("skips a key of a set that is %s", (_, other, members) => {
    const keys = [other.export({ format: "jwk" }), p256.privateKey.export({ format: "jwk" })];
    expect(jwe.keys({ keys: [{ ...keys[0], ...members }, keys[1]] })).toHaveLength(1);
  });

  it("neither keeps nor changes the wrapped key", async () => {
    const message = bytes(
      await flattened(p256.publicKey, { alg: "ECDH-ES+A256KW", enc: "A256GCM" }),
    );
    const before = createHash("sha256").update(message).digest("hex");
    const opener = deepFreeze(key(p256));
    expect(Buffer.from((await opener.unwrap(message)) ?? [])).toEqual(SECRET);
    expect(createHash("sha256").update(message).digest("hex")).toBe(before);
    const again = Buffer.from((await opener.unwrap(message)) ?? []);
    expect(again).toEqual(SECRET);
  });
});

describe.runIf(isWebEngine)("where Web Cryptography has no AES-192, as in Chromium", () => {
  const { annotations } = jweVector("jwk-ecdh-es-a192kw");
  const wrapped = Buffer.from(annotations["org.opencontainers.image.enc.keys.jwe"]!, "base64");

  beforeEach(() => {
    const importKey = crypto.subtle.importKey.bind(crypto.subtle) as Import;
    const withoutAes192: Import = (format, material, ...rest) =>
      material.byteLength === 24
        ? Promise.reject(new DOMException("192-bit AES keys are not supported", "OperationError"))
        : importKey(format, material, ...rest);
    vi.spyOn(crypto.subtle as { importKey: Import }, "importKey").mockImplementation(withoutAes192);
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it("a wrapped key that may be for a key of its curve is rejected", async () => {
    const owner = jwe.key(vectorFile("keys/ec-p384.pem"));
    await expectCode(owner.unwrap(wrapped), "WRAPPED_KEY_UNSUPPORTED");
    expect(await key(p256).unwrap(wrapped)).toBeNull();
  });

  it("a recipient whose JWK asks for it is rejected", async () => {
    const jwk = { ...p384.publicKey.export({ format: "jwk" }), alg: "ECDH-ES+A192KW" };
    await expectCode(jwe.recipient(jwk).wrap(SECRET), "KEY_UNSUPPORTED");
  });
});

type Import = (
  format: string,
  material: Partial<Uint8Array>,
  ...rest: unknown[]
) => Promise<unknown>;
