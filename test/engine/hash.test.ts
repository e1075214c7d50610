import * as crypto from "node:crypto";
import { describe, expect, it } from "vitest";
import { createAnyHash, createAnyHmac } from "#engine/any-hash";
import { createHash, createHmac, isEqual, randomBytes } from "#engine/hash";
import type { HashName } from "../../src/engine/types.js";

const content = crypto.randomBytes(1000);

const of = (name: "sha256" | "sha512") =>
  [name, () => createHash(name), (key: Uint8Array) => createHmac(name, key)] as const;
const ofAny = (name: HashName) =>
  [name, () => createAnyHash(name), (key: Uint8Array) => createAnyHmac(name, key)] as const;

describe.each([
  of("sha256"),
  of("sha512"),
  ofAny("md5"),
  ofAny("sha1"),
  ofAny("sha224"),
  ofAny("sha256"),
  ofAny("sha384"),
  ofAny("sha512"),
  ofAny("sha512-224"),
  ofAny("sha512-256"),
])("%s", (name, start, startHmac) => {
  it("equals OpenSSL in parts", () => {
    const hash = start();
    hash.update(content.subarray(0, 77));
    hash.update(content.subarray(77));
    const expected = crypto.createHash(name).update(content).digest();
    expect(Buffer.from(hash.digest())).toEqual(expected);
  });

  it("equals OpenSSL as an HMAC, with keys shorter and longer than a block", () => {
    for (const key of [content.subarray(0, 20), content.subarray(0, 300)]) {
      const hmac = startHmac(key);
      hmac.update(content);
      const expected = crypto.createHmac(name, key).update(content).digest();
      expect(Buffer.from(hmac.digest())).toEqual(expected);
    }
  });
});

it("random bytes have the size that was asked for", () => {
  const bytes = randomBytes(65_536);
  expect(bytes.byteLength).toBe(65_536);
  expect(bytes.subarray(-32).some((byte) => byte !== 0)).toBe(true);
});

it("bytes are compared as a whole", () => {
  const same = Uint8Array.from(content);
  expect(isEqual(content, same)).toBe(true);
  expect(isEqual(content, same.subarray(1))).toBe(false);
  same[999]! ^= 1;
  expect(isEqual(content, same)).toBe(false);
});
