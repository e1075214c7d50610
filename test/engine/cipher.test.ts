import { createCipheriv, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createAesCtr } from "#engine/cipher";

const plaintext = randomBytes(100_003);

/** The sizes of parts: around a block, and parts that leave the block in every position. */
const PARTS = [1000, 15, 16, 17, 65_536, 7];

describe.each([
  ["all zeros", "00".repeat(16)],
  ["a carry out of 32 bits", `${"00".repeat(12)}ffffffff`],
  ["a carry out of 64 bits", `${"00".repeat(8)}${"ff".repeat(8)}`],
  ["a carry out of all bits", "ff".repeat(16)],
  ["a carry in the upper half only", `${"ff".repeat(8)}${"00".repeat(8)}`],
  ["a carry within this text", `${"ff".repeat(14)}fe00`],
])("AES-CTR with the nonce %s", (_, hex) => {
  const nonce = Buffer.from(hex, "hex");

  it.each([16, 24, 32])("and a key of %i bytes equals OpenSSL", async (size) => {
    const key = randomBytes(size);
    const stream = createAesCtr(key, nonce);
    const parts: Uint8Array[] = [];
    for (let at = 0, i = 0; at < plaintext.byteLength; i++) {
      const part = plaintext.subarray(at, at + PARTS[i % PARTS.length]!);
      parts.push(await stream.update(part));
      at += part.byteLength;
    }
    const openssl = createCipheriv(`aes-${String(8 * size)}-ctr`, key, nonce).update(plaintext);
    expect(Buffer.concat(parts).equals(openssl)).toBe(true);
  });
});

it("the key and nonce of AES-CTR can be wiped immediately", async () => {
  const [key, nonce] = [randomBytes(32), randomBytes(16)];
  const openssl = createCipheriv("aes-256-ctr", key, nonce).update(plaintext);
  const stream = createAesCtr(key, nonce);
  key.fill(0);
  nonce.fill(0);
  expect(Buffer.from(await stream.update(plaintext)).equals(openssl)).toBe(true);
});
