import {
  constants,
  createPrivateKey,
  createPublicKey,
  publicEncrypt,
  randomBytes,
} from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  decryptContentKey,
  decryptPkcs1v15,
  type KeyTransport,
} from "../../../src/keywrap/pkcs7/key-transport.js";
import { readKey } from "./files.js";

const privateKey = createPrivateKey(readKey("rsa2048.pkcs8.pem"));

// RFC 3218 section 2.3.2: a key that cannot be decrypted is replaced, so that no one learns why the
// message does not open. Were the substitute always the same, whoever made the message could tell.
it.each([
  ["RSAES-OAEP", { name: "RSAES-OAEP", hash: "sha256", label: new Uint8Array() }],
  ["RSAES-PKCS1-v1_5", { name: "RSAES-PKCS1-v1_5" }],
] as [string, KeyTransport][])("substitutes another random key each time: %s", (_, transport) => {
  const attempt = (): string =>
    Buffer.from(decryptContentKey(transport, privateKey, randomBytes(256), 32)).toString("hex");
  const substitutes = new Set(Array.from({ length: 4 }, attempt));
  expect(substitutes.size).toBe(4);
  for (const substitute of substitutes) expect(substitute).toHaveLength(64);
});

const publicKey = createPublicKey(privateKey);
const MODULUS_SIZE = 256;
const KEY = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");

/** 00 02 PS 00 M of RFC 8017 section 7.2.1, changed before it is encrypted. */
function encrypt(change: (encoded: Buffer) => void, key = KEY): Buffer {
  const padding = Buffer.alloc(MODULUS_SIZE - 3 - key.byteLength, 0xa5);
  const encoded = Buffer.concat([Buffer.of(0, 2), padding, Buffer.of(0), key]);
  change(encoded);
  return publicEncrypt({ key: publicKey, padding: constants.RSA_NO_PADDING }, encoded);
}

describe("decryptPkcs1v15", () => {
  it.each([16, 24, 32])("returns a key of %i bytes", (size) => {
    const key = Buffer.alloc(size, 7);
    const encrypted = publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_PADDING }, key);
    expect(Buffer.from(decryptPkcs1v15(privateKey, encrypted, size)).equals(key)).toBe(true);
  });

  const separator = MODULUS_SIZE - KEY.byteLength - 1;
  it.each<{ name: string; change: (encoded: Buffer) => void }>([
    { name: "a first byte that is not 0", change: (encoded) => encoded.writeUInt8(1, 0) },
    { name: "block type 1", change: (encoded) => encoded.writeUInt8(1, 1) },
    { name: "block type 0", change: (encoded) => encoded.writeUInt8(0, 1) },
    { name: "0 as the first byte of the padding", change: (encoded) => encoded.writeUInt8(0, 2) },
    {
      name: "0 as the last byte of the padding",
      change: (encoded) => encoded.writeUInt8(0, separator - 1),
    },
    { name: "no separator", change: (encoded) => encoded.writeUInt8(0x80, separator) },
  ])("returns a random key for $name", ({ change }) => {
    const encrypted = encrypt(change);
    const first = decryptPkcs1v15(privateKey, encrypted, KEY.byteLength);
    const second = decryptPkcs1v15(privateKey, encrypted, KEY.byteLength);
    expect(first).toHaveLength(KEY.byteLength);
    expect(Buffer.compare(first, KEY)).not.toBe(0);
    expect(Buffer.compare(first, second)).not.toBe(0);
  });

  it("returns the key if nothing was changed", () => {
    const encrypted = encrypt(() => undefined);
    expect(Buffer.from(decryptPkcs1v15(privateKey, encrypted, 16)).equals(KEY)).toBe(true);
  });

  it.each([
    { name: "a longer key", encrypted: encrypt(() => undefined, Buffer.alloc(32, 7)) },
    { name: "a shorter key", encrypted: encrypt(() => undefined, Buffer.alloc(8, 7)) },
    { name: "a number above the modulus", encrypted: Buffer.alloc(MODULUS_SIZE, 0xff) },
    { name: "too few bytes", encrypted: Buffer.alloc(MODULUS_SIZE - 1, 1) },
    { name: "too many bytes", encrypted: Buffer.alloc(MODULUS_SIZE + 1, 1) },
    { name: "no bytes", encrypted: Buffer.alloc(0) },
  ])("returns a random key of the requested size for $name", ({ encrypted }) => {
    const first = decryptPkcs1v15(privateKey, encrypted, 16);
    const second = decryptPkcs1v15(privateKey, encrypted, 16);
    expect(first).toHaveLength(16);
    expect(Buffer.compare(first, second)).not.toBe(0);
    expect(Buffer.compare(first, Buffer.alloc(16, 7))).not.toBe(0);
  });
});
