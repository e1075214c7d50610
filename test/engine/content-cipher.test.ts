import * as crypto from "node:crypto";
import { describe, expect, it } from "vitest";
import { decryptCbc, decryptGcm, encryptGcm, hasContentCipher } from "#engine/content-cipher";
import { isWebEngine } from "../support/engine.js";

const bytes = (size: number): Buffer => crypto.randomBytes(size);

describe.each([128, 192, 256])("AES with %i bits", (bits) => {
  const key = bytes(bits / 8);

  it("in CBC leaves the padding", () => {
    const name = `aes-${String(bits)}-cbc`;
    const iv = bytes(16);
    for (const size of [0, 1, 15, 16, 300]) {
      const plaintext = bytes(size);
      const cipher = crypto.createCipheriv(name, key, iv);
      const encrypted = Buffer.concat([cipher.update(plaintext), cipher.final()]);
      const padding = Buffer.alloc(16 - (size % 16), 16 - (size % 16));
      const expected = Buffer.concat([plaintext, padding]);
      expect(Buffer.from(decryptCbc({ name, key, iv }, encrypted))).toEqual(expected);
      // Nor is a wrong padding an error.
      expect(decryptCbc({ name, key, iv }, bytes(48))).toHaveLength(48);
    }
  });

  const name = `aes-${String(bits)}-gcm` as crypto.CipherGCMTypes;

  it.each([8, 12, 13, 16, 64])(
    "in GCM opens what OpenSSL seals with a nonce of %i bytes",
    (size) => {
      const iv = bytes(size);
      for (const authTagLength of [12, 13, 14, 15, 16]) {
        for (const additional of [Buffer.alloc(0), bytes(40)]) {
          for (const plaintext of [Buffer.alloc(0), bytes(1), bytes(300)]) {
            const cipher = crypto.createCipheriv(name, key, iv, { authTagLength });
            cipher.setAAD(additional);
            const encrypted = Buffer.concat([cipher.update(plaintext), cipher.final()]);
            const tag = cipher.getAuthTag();
            const opened = decryptGcm({ name, key, iv }, encrypted, { tag, additional });
            expect(Buffer.from(opened!)).toEqual(plaintext);
          }
        }
      }
    },
  );

  it("in GCM rejects what was changed", () => {
    const iv = bytes(12);
    const sealed = encryptGcm({ name, key, iv }, bytes(100));
    const tag = sealed.subarray(100);
    const ciphertext = sealed.subarray(0, 100);
    const additional = new Uint8Array();
    const cipher = { name, key, iv };
    expect(decryptGcm(cipher, ciphertext, { tag, additional })).toBeDefined();
    for (const at of [0, 99]) {
      const other = Uint8Array.from(ciphertext);
      other[at]! ^= 1;
      expect(decryptGcm(cipher, other, { tag, additional })).toBeUndefined();
    }
    for (const at of [0, 15]) {
      const other = Uint8Array.from(tag);
      other[at]! ^= 0x80;
      expect(decryptGcm(cipher, ciphertext, { tag: other, additional })).toBeUndefined();
    }
    const nonce = { ...cipher, iv: bytes(12) };
    expect(decryptGcm(nonce, ciphertext, { tag, additional })).toBeUndefined();
    expect(decryptGcm(cipher, ciphertext, { tag, additional: bytes(1) })).toBeUndefined();
  });

  it("in GCM is opened by OpenSSL", () => {
    const iv = bytes(12);
    const plaintext = bytes(257);
    const sealed = encryptGcm({ name, key, iv }, plaintext);
    const decipher = crypto.createDecipheriv(name, key, iv).setAuthTag(sealed.subarray(257));
    const opened = Buffer.concat([decipher.update(sealed.subarray(0, 257)), decipher.final()]);
    expect(opened.equals(plaintext)).toBe(true);
  });
});

it("says what it has", () => {
  for (const name of ["aes-128-gcm", "aes-192-gcm", "aes-256-gcm"]) {
    expect(hasContentCipher(name, 12)).toBe(true);
    expect(hasContentCipher(name, 4)).toBe(!isWebEngine);
  }
  expect(hasContentCipher("aes-192-cbc", 16)).toBe(true);
  expect(hasContentCipher("des-ede3-cbc", 8)).toBe(!isWebEngine);
  expect(hasContentCipher("none", 8)).toBe(false);
});
