import * as crypto from "node:crypto";
import { describe, expect, it } from "vitest";
import { createHash, createHmac, isEqual, randomBytes } from "#engine/hash";

const content = crypto.randomBytes(1000);

describe.each([
  "md5",
  "sha1",
  "sha224",
  "sha256",
  "sha384",
  "sha512",
  "sha512-224",
  "sha512-256",
] as const)("%s", (name) => {
  it("equals OpenSSL in parts", () => {
    const hash = createHash(name);
    hash.update(content.subarray(0, 77));
    hash.update(content.subarray(77));
    const expected = crypto.createHash(name).update(content).digest();
    expect(Buffer.from(hash.digest())).toEqual(expected);
  });

  it("equals OpenSSL as an HMAC, with keys shorter and longer than a block", () => {
    for (const key of [content.subarray(0, 20), content.subarray(0, 300)]) {
      const hmac = createHmac(name, key);
      hmac.update(content);
      const expected = crypto.createHmac(name, key).update(content).digest();
      expect(Buffer.from(hmac.digest())).toEqual(expected);
    }
  });
});

it("random bytes have any size", () => {
  const bytes = randomBytes(200_000);
  expect(bytes.byteLength).toBe(200_000);
  // The last of many pieces is filled too.
  expect(bytes.subarray(-32).some((byte) => byte !== 0)).toBe(true);
});

it("bytes are compared as a whole", () => {
  const same = Uint8Array.from(content);
  expect(isEqual(content, same)).toBe(true);
  expect(isEqual(content, same.subarray(1))).toBe(false);
  same[999]! ^= 1;
  expect(isEqual(content, same)).toBe(false);
});
