import * as crypto from "node:crypto";
import { describe, expect, it, vi } from "vitest";
import { importDer, importJwk, type PlatformKey } from "#engine/keys";
import { decryptOaep, decryptRaw, encryptPkcs1, hasNumbers } from "#engine/rsa";
import type { HashName } from "../../src/engine/types.js";
import { isWebEngine } from "../support/engine.js";
import { vectorFile } from "../support/vectors.js";

const { RSA_NO_PADDING, RSA_PKCS1_OAEP_PADDING, RSA_PKCS1_PADDING } = crypto.constants;

const read = (name: string): crypto.KeyObject =>
  crypto.createPrivateKey(vectorFile(`peers/keys/${name}`));
const KEYS = ["rsa2048", "rsa3072", "rsa4096"].map((name) => ({
  name,
  native: read(`${name}.pkcs8.pem`),
}));

const privateOf = (native: crypto.KeyObject): PlatformKey =>
  importDer(native.export({ type: "pkcs8", format: "der" }), "pkcs8");
const publicOf = (native: crypto.KeyObject): PlatformKey =>
  importDer(crypto.createPublicKey(native).export({ type: "spki", format: "der" }), "spki");

const sizeOf = (native: crypto.KeyObject): number =>
  native.asymmetricKeyDetails!.modulusLength! / 8;
const modulusOf = (native: crypto.KeyObject): bigint =>
  BigInt(`0x${Buffer.from(native.export({ format: "jwk" }).n!, "base64url").toString("hex")}`);
const bytesOf = (value: bigint, size: number): Buffer =>
  Buffer.from(value.toString(16).padStart(2 * size, "0"), "hex");

describe.each(KEYS)("RSA with $name", ({ native }) => {
  const size = sizeOf(native);
  const key = privateOf(native);

  it("decrypts what OpenSSL encrypts without padding", () => {
    for (const first of [0, 1, 0x7f]) {
      const message = crypto.randomBytes(size);
      message[0] = first;
      const padding = RSA_NO_PADDING;
      const encrypted = crypto.publicEncrypt({ key: native, padding }, message);
      expect(Buffer.from(decryptRaw(key, encrypted)!).equals(message)).toBe(true);
    }
  });

  it("decrypts 0, 1 and the greatest number, and nothing above", () => {
    const modulus = modulusOf(native);
    const decrypt = (value: bigint): string | undefined => {
      const result = decryptRaw(key, bytesOf(value, size));
      return result && Buffer.from(result).toString("hex");
    };
    for (const value of [0n, 1n, modulus - 1n]) {
      // An odd power of 0, 1 and -1 is the number itself.
      expect(decrypt(value)).toBe(bytesOf(value, size).toString("hex"));
    }
    expect(decrypt(modulus)).toBeUndefined();
    expect(decrypt(modulus + 1n)).toBeUndefined();
  });

  it("encrypts with the padding of PKCS#1 v1.5, which is different each time", () => {
    for (const length of [0, 1, 16, 32, size - 11]) {
      const message = crypto.randomBytes(length);
      const encrypted = [encryptPkcs1(publicOf(native), message), encryptPkcs1(key, message)];
      expect(Buffer.compare(encrypted[0]!, encrypted[1]!)).not.toBe(0);
      for (const each of encrypted) {
        const block = crypto.privateDecrypt({ key: native, padding: RSA_NO_PADDING }, each);
        expect(block.subarray(0, 2).toString("hex")).toBe("0002");
        expect(block.indexOf(0, 2)).toBe(size - length - 1);
        expect(block.subarray(size - length).equals(message)).toBe(true);
      }
    }
  });

  it.each<HashName>(["sha1", "sha224", "sha256", "sha384", "sha512"])(
    "decrypts OAEP with %s and a label",
    async (hash) => {
      const label = Buffer.from("a label");
      const message = crypto.randomBytes(16);
      const options = { padding: RSA_PKCS1_OAEP_PADDING, oaepHash: hash, oaepLabel: label };
      const encrypted = crypto.publicEncrypt({ key: native, ...options }, message);
      const decrypt = async (parameters: {
        hash: HashName;
        label: Uint8Array;
      }): Promise<Buffer | undefined> => {
        const result = await decryptOaep(key, encrypted, parameters);
        return result && Buffer.from(result);
      };
      expect(await decrypt({ hash, label })).toEqual(message);
      expect(await decrypt({ hash, label: Buffer.from("a labe") })).toBeUndefined();
      expect(await decrypt({ hash, label: new Uint8Array() })).toBeUndefined();
      const other = hash === "sha1" ? "sha224" : "sha1";
      expect(await decrypt({ hash: other, label })).toBeUndefined();
      encrypted[size - 1]! ^= 1;
      expect(await decrypt({ hash, label })).toBeUndefined();
    },
  );
});

describe("a key", () => {
  const { native } = KEYS[0]!;
  const jwk = native.export({ format: "jwk" });
  const message = Buffer.alloc(16, 3);
  const encrypted = crypto.publicEncrypt({ key: native, padding: RSA_PKCS1_PADDING }, message);
  const expected = crypto.privateDecrypt({ key: native, padding: RSA_NO_PADDING }, encrypted);
  const changed = (name: "n" | "p" | "q" | "dp" | "dq" | "qi", change: (n: bigint) => bigint) => {
    const number = BigInt(`0x${Buffer.from(jwk[name]!, "base64url").toString("hex")}`);
    const bytes = bytesOf(change(number), Buffer.from(jwk[name]!, "base64url").byteLength);
    return importJwk({ ...jwk, [name]: bytes.toString("base64url") }, "private");
  };

  it("as a JWK has its numbers", () => {
    const key = importJwk({ ...jwk }, "private");
    expect(hasNumbers(key)).toBe(true);
    expect(Buffer.from(decryptRaw(key, encrypted)!).equals(expected)).toBe(true);
  });

  it.runIf(isWebEngine)("is blinded with other numbers for each message", () => {
    const random = vi.spyOn(globalThis.crypto, "getRandomValues");
    const key = importJwk({ ...jwk }, "private");
    const numbers = [1, 2].map(() => {
      random.mockClear();
      decryptRaw(key, encrypted);
      return random.mock.results.map(({ value }) =>
        Buffer.from(value as Uint8Array).toString("hex"),
      );
    });
    random.mockRestore();
    // Of the ciphertext and of the exponents for both primes.
    expect(numbers.map((each) => each.map((hex) => hex.length / 2))).toEqual([
      [264, 8, 8],
      [264, 8, 8],
    ]);
    expect(new Set(numbers.flat()).size).toBe(6);
  });

  // OpenSSL checks what it computes with the primes, and computes again without them.
  it.each(["dp", "dq", "qi"] as const)("with a wrong %s still decrypts", (name) => {
    const key = changed(name, (number) => number - 2n);
    expect(Buffer.from(decryptRaw(key, encrypted)!).equals(expected)).toBe(true);
  });

  it.runIf(isWebEngine).each([
    ["a prime that is 0", () => changed("p", () => 0n)],
    ["an even modulus", () => changed("n", (number) => number - 1n)],
  ])("with %s gives bytes or nothing, and no error", (_, make) => {
    const result = decryptRaw(make(), encrypted);
    expect(result?.byteLength ?? 256).toBe(256);
    if (result !== undefined) expect(Buffer.from(result).equals(expected)).toBe(false);
  });

  it.runIf(isWebEngine)("of another program may have an exponent as long as its modulus", () => {
    const { privateKey } = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
    const { e, d, ...rest } = privateKey.export({ format: "jwk" });
    const swapped = importJwk({ ...rest, e: d, d: e }, "private");
    const block = crypto.privateEncrypt(
      { key: privateKey, padding: RSA_NO_PADDING },
      Buffer.alloc(256, 1),
    );
    expect(Buffer.from(decryptRaw(swapped, block)!).equals(Buffer.alloc(256, 1))).toBe(true);
  });
});
