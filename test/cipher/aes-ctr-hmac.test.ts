import { createCipheriv, createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  createDecryptor,
  createEncryptor,
  type Encryptor,
  generateSecret,
  type CipherSecret,
} from "../../src/cipher/aes-ctr-hmac.js";
import { CIPHER } from "../../src/cipher/options.js";
import { cipherVectors, expand, sha256 } from "../support/vectors.js";

const PARTS = [1, 15, 16, 17, 4096, 65535, 65536, 65537];

function secretOf(vector: { key: string; nonce: string }): CipherSecret {
  return {
    symkey: Buffer.from(vector.key, "base64"),
    nonce: Buffer.from(vector.nonce, "base64"),
  };
}

function inParts(bytes: Uint8Array, size: number): Uint8Array[] {
  const count = Math.ceil(bytes.byteLength / size);
  return Array.from({ length: count }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

describe.each(cipherVectors)("Go's vector $name", (vector) => {
  const plaintext = expand(vector.plaintext);
  const hmac = Buffer.from(vector.hmac, "base64");
  // A part of one byte would make the vectors of 64 KiB slow and prove nothing more.
  const sizes = plaintext.byteLength > 1000 ? PARTS.slice(1) : PARTS;

  it.each(sizes)("in parts of %i", async (size) => {
    const encryptor = createEncryptor(secretOf(vector));
    const ciphertext = await updateAll(encryptor, inParts(plaintext, size));
    expect(ciphertext.byteLength).toBe(vector.size);
    expect(sha256(ciphertext)).toBe(vector.sha256);
    if (vector.ciphertext !== undefined) {
      expect(ciphertext.toString("base64")).toBe(vector.ciphertext);
    }
    expect(Buffer.from(await encryptor.finish())).toEqual(hmac);

    const decryptor = createDecryptor(secretOf(vector));
    const decrypted = await updateAll(decryptor, inParts(ciphertext, size));
    expect(decrypted.equals(plaintext)).toBe(true);
    expect(await decryptor.verify(hmac)).toBe(true);
  });

  it.each([
    ["another one", (right: Buffer) => Buffer.from(right).fill(0xa5, 31)],
    ["one bit off", (right: Buffer) => Buffer.from([right[0]! ^ 1, ...right.subarray(1)])],
    ["an empty one", () => Buffer.alloc(0)],
    ["a prefix", (right: Buffer) => right.subarray(0, 31)],
    ["a longer one", (right: Buffer) => Buffer.concat([right, Buffer.alloc(1)])],
  ])("rejects %s as its HMAC", async (_, change) => {
    const decryptor = createDecryptor(secretOf(vector));
    const cipher = createCipheriv("aes-256-ctr", ...keyAndNonce(vector));
    await decryptor.update(cipher.update(plaintext));
    expect(await decryptor.verify(change(hmac))).toBe(false);
  });
});

async function updateAll(
  cipher: Pick<Encryptor, "update">,
  pieces: readonly Uint8Array[],
): Promise<Buffer> {
  const updated: Uint8Array[] = [];
  for (const piece of pieces) updated.push(await cipher.update(piece));
  return Buffer.concat(updated);
}

function keyAndNonce(vector: { key: string; nonce: string }): [Uint8Array, Uint8Array] {
  const { symkey, nonce } = secretOf(vector);
  return [symkey, nonce];
}

describe("cipher", () => {
  it("has the name that the public options use", () => {
    expect(CIPHER).toBe("AES_256_CTR_HMAC_SHA256");
  });

  it("is AES-256-CTR with an HMAC of the ciphertext, for chunks of any size", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 }),
        async (symkey, nonce, pieces) => {
          const encryptor = createEncryptor({ symkey, nonce });
          const ciphertext = await updateAll(encryptor, pieces);
          const cipher = createCipheriv("aes-256-ctr", symkey, nonce);
          expect(ciphertext).toEqual(cipher.update(Buffer.concat(pieces)));
          const hmac = createHmac("sha256", symkey).update(ciphertext).digest();
          expect(Buffer.from(await encryptor.finish())).toEqual(hmac);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("copies the key and nonce, so the caller may wipe them immediately", async () => {
    const vector = cipherVectors.find(({ name }) => name === "plain-48")!;
    const secret = secretOf(vector);
    const encryptor = createEncryptor(secret);
    const decryptor = createDecryptor(secret);
    secret.symkey.fill(0);
    secret.nonce.fill(0);
    const ciphertext = await encryptor.update(expand(vector.plaintext));
    expect(Buffer.from(ciphertext).toString("base64")).toBe(vector.ciphertext);
    expect(Buffer.from(await decryptor.update(ciphertext))).toEqual(expand(vector.plaintext));
  });

  it("writes into new memory", async () => {
    const { symkey, nonce } = generateSecret();
    const input = Buffer.from("the caller's own");
    await createEncryptor({ symkey, nonce }).update(input);
    await createDecryptor({ symkey, nonce }).update(input);
    expect(input.toString()).toBe("the caller's own");
  });
});

describe("generateSecret", () => {
  it("creates a new key and nonce each time", () => {
    const secrets = Array.from({ length: 20 }, generateSecret);
    for (const { symkey, nonce } of secrets) {
      expect(symkey.byteLength).toBe(32);
      expect(nonce.byteLength).toBe(16);
    }
    const values = secrets.flatMap(({ symkey, nonce }) => [
      Buffer.from(symkey).toString("hex"),
      Buffer.from(nonce).toString("hex"),
    ]);
    expect(new Set(values).size).toBe(40);
  });
});
