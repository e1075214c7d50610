import {
  constants,
  createHash,
  createPrivateKey,
  createPublicKey,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  type KeyObject,
} from "node:crypto";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { decodeOaep as decode } from "../../../src/keys/oaep.js";
import {
  decryptOaep,
  defaultOaepHash,
  encryptOaep,
  requireRsa,
  type OaepHash,
} from "../../../src/keywrap/pkcs11/oaep.js";
import { expectCode } from "../../support/codes.js";
import { vectorFile } from "../../support/vectors.js";

const keys = new Map<number, { publicKey: KeyObject; privateKey: KeyObject }>();
beforeAll(() => {
  for (const bits of [2048, 3072]) {
    const pem = vectorFile(`keys/rsa-${String(bits)}.pem`);
    keys.set(bits, { privateKey: createPrivateKey(pem), publicKey: createPublicKey(pem) });
  }
});

/** The result of a token's raw RSA for a ciphertext. */
function rawDecrypt(key: KeyObject, ciphertext: Buffer): Buffer {
  return privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, ciphertext);
}

describe("encryptOaep", () => {
  // RFC 8017 section 7.1.1: the modulus' bytes less twice the hash's less two.
  it.each([
    { bits: 2048, hash: "sha1", capacity: 214 },
    { bits: 2048, hash: "sha256", capacity: 190 },
    { bits: 3072, hash: "sha1", capacity: 342 },
    { bits: 3072, hash: "sha256", capacity: 318 },
  ] as const)(
    "can hold $capacity bytes with RSA-$bits and $hash",
    async ({ bits, hash, capacity }) => {
      const { publicKey, privateKey } = keys.get(bits)!;
      const full = Buffer.alloc(capacity, 7);
      const oaep = { key: privateKey, oaepHash: hash, padding: constants.RSA_PKCS1_OAEP_PADDING };
      expect(privateDecrypt(oaep, encryptOaep(publicKey, hash, full))).toEqual(full);
      const error = await expectCode(
        () => encryptOaep(publicKey, hash, Buffer.alloc(capacity + 1, 7)),
        "WRAP_FAILED",
      );
      expect(error.message).toContain(`RSA-${String(bits)}`);
    },
  );

  it("says what to do with RSA-2048 and SHA-256", async () => {
    const { publicKey } = keys.get(2048)!;
    const error = await expectCode(
      () => encryptOaep(publicKey, "sha256", Buffer.alloc(193)),
      "WRAP_FAILED",
    );
    expect(error.message).toContain("OCICRYPT_OAEP_HASHALG=sha1");
    expect(error.message).toContain("3072");
    expect(error.message).toContain("193");
  });
});

describe("decryptOaep", () => {
  it("returns null for another hash, another key and damage", () => {
    const { publicKey, privateKey } = keys.get(2048)!;
    const ciphertext = encryptOaep(publicKey, "sha1", Buffer.from("secret"));
    expect(decryptOaep(privateKey, "sha1", ciphertext)?.toString()).toBe("secret");
    expect(decryptOaep(privateKey, "sha256", ciphertext)).toBeNull();
    expect(decryptOaep(keys.get(3072)!.privateKey, "sha1", ciphertext)).toBeNull();
    ciphertext[100]! ^= 1;
    expect(decryptOaep(privateKey, "sha1", ciphertext)).toBeNull();
  });
});

function decodeOaep(encoded: Buffer, hash: OaepHash): Buffer | null {
  const message = decode(encoded, { hash, label: new Uint8Array() });
  return message && Buffer.from(message);
}

describe("decodeOaep", () => {
  it.each(["sha1", "sha256"] as const)("decodes what OpenSSL encodes with %s", (hash) => {
    const { publicKey, privateKey } = keys.get(3072)!;
    const capacity = 384 - 2 * (hash === "sha1" ? 20 : 32) - 2;
    for (const size of [0, 1, 193, capacity - 1, capacity]) {
      for (const fill of [0, 1, 255]) {
        const plaintext = Buffer.alloc(size, fill);
        const ciphertext = publicEncrypt({ key: publicKey, oaepHash: hash }, plaintext);
        const encoded = rawDecrypt(privateKey, ciphertext);
        expect(decodeOaep(encoded, hash)).toEqual(plaintext);
        expect(encoded.equals(Buffer.alloc(384))).toBe(true);
      }
    }
  });

  // Each damage that RFC 8017 section 7.1.2 step 3g has to find, made before the masks are put on.
  // OpenSSL says what is to come out of each.
  it.each([
    { what: "no damage", opens: true, change: () => undefined },
    { what: "the first byte of all", opens: false, first: 1, change: () => undefined },
    { what: "the label's first byte", opens: false, change: (block) => flip(block, 0, 1) },
    {
      what: "the label's last byte",
      opens: false,
      change: (block, size) => flip(block, size - 1, 0x80),
    },
    { what: "a 2 in the padding", opens: false, change: (block, size) => flip(block, size + 3, 2) },
    { what: "a 1 at its start", opens: true, change: (block, size) => flip(block, size, 1) },
    {
      what: "a 2 for the separator",
      opens: false,
      change: (block, size) => flip(block, size + 10, 3),
    },
    { what: "no separator", opens: false, change: (block, size) => block.fill(0, size) },
    {
      what: "a 255 for the separator",
      opens: false,
      change: (block, size) => flip(block, size + 10, 254),
    },
    {
      what: "the separator at the end",
      opens: true,
      change: (block, size) => block.fill(0, size).fill(1, block.byteLength - 1),
    },
    { what: "the message", opens: true, change: (block) => flip(block, block.byteLength - 1, 1) },
  ] satisfies Damage[])("takes $what as OpenSSL does", ({ opens, first, change }: Damage) => {
    const { privateKey, publicKey } = keys.get(2048)!;
    for (const hash of ["sha1", "sha256"] as const) {
      const label = createHash(hash).digest();
      const size = label.byteLength;
      const block = Buffer.alloc(255 - size, 7)
        .fill(label, 0, size)
        .fill(0, size, size + 10);
      block[size + 10] = 1;
      change(block, size);
      const seed = randomBytes(size);
      const maskedBlock = mask(block, seed, hash);
      const maskedSeed = mask(seed, maskedBlock, hash);
      const encoded = Buffer.concat([Buffer.from([first ?? 0]), maskedSeed, maskedBlock]);
      const ciphertext = publicEncrypt(
        { key: publicKey, padding: constants.RSA_NO_PADDING },
        encoded,
      );
      const expected = decryptOaep(privateKey, hash, ciphertext);
      expect(expected !== null).toBe(opens);
      expect(decodeOaep(encoded, hash)).toEqual(expected);
    }
  });

  it("rejects a block that is too short", () => {
    expect(decodeOaep(Buffer.alloc(41), "sha1")).toBeNull();
    expect(decodeOaep(Buffer.alloc(65), "sha256")).toBeNull();
  });
});

interface Damage {
  what: string;
  opens: boolean;
  first?: number;
  change: (block: Buffer, size: number) => unknown;
}

function flip(bytes: Buffer, at: number, bits: number): Buffer {
  bytes[at]! ^= bits;
  return bytes;
}

/** `bytes` XOR MGF1(`seed`); RFC 8017 appendix B.2.1. */
function mask(bytes: Buffer, seed: Buffer, hash: OaepHash): Buffer {
  const blocks = Array.from({ length: 16 }, (_, i) =>
    createHash(hash)
      .update(seed)
      .update(Buffer.from([0, 0, 0, i]))
      .digest(),
  );
  const stream = Buffer.concat(blocks);
  return Buffer.from(bytes.map((byte, i) => byte ^ stream[i]!));
}

describe("defaultOaepHash", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it.each([
    { value: "", hash: "sha256" },
    { value: "sha1", hash: "sha1" },
    { value: "SHA1", hash: "sha1" },
    { value: "Sha256", hash: "sha256" },
  ] satisfies { value: string; hash: OaepHash }[])("reads $value as $hash", ({ value, hash }) => {
    vi.stubEnv("OCICRYPT_OAEP_HASHALG", value);
    expect(defaultOaepHash()).toBe(hash);
  });

  it("is sha256 by default", () => {
    vi.stubEnv("OCICRYPT_OAEP_HASHALG", undefined);
    expect(defaultOaepHash()).toBe("sha256");
  });

  it("rejects other hashes", async () => {
    vi.stubEnv("OCICRYPT_OAEP_HASHALG", "md5");
    await expectCode(defaultOaepHash, "PKCS11_CONFIG_INVALID");
  });
});

describe("requireRsa", () => {
  const key = createPublicKey(vectorFile("keys/rsa-2048.pub.pem"));

  it.each(["RSA-OAEP", "RSA-OAEP-256", undefined])("accepts a JWK for %s", (alg) => {
    expect(requireRsa({ key, ...(alg !== undefined && { alg }) })).toBe(key);
  });

  it.each(["RSA-OAEP-512", "RSA1_5", "xRSA-OAEP", "RSA-OAEP-256x"])(
    "rejects a JWK for %s",
    async (alg) => {
      await expectCode(() => requireRsa({ key, alg }), "KEY_UNSUPPORTED");
    },
  );
});

it.each([
  ["sha1", 42],
  ["sha256", 66],
] as const)("decodes nothing shorter than OAEP with %s, which has %d bytes", (hash, size) => {
  for (let length = 0; length < size; length++) {
    expect(decodeOaep(Buffer.alloc(length, 1), hash)).toBeNull();
  }
});
