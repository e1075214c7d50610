import { createCipheriv, randomBytes, type CipherGCM } from "node:crypto";
import { expect, it } from "vitest";
import { decryptFile, hasCipher } from "#engine/key-cipher";
import { isWrappedWith, legacyPem } from "#engine/keys";
import { expectCode } from "../support/codes.js";

const key = Buffer.alloc(32, 0x2a);
const iv = Buffer.alloc(16, 0x17);

it("a part of a key file is decrypted as Node.js encrypts it, and only with its key", async () => {
  const cipher = createCipheriv("aes-256-cbc", key, iv);
  // Eleven blocks, so that no wrong key gives the padding and this text.
  const text = Buffer.alloc(170, "key ");
  const ciphertext = Buffer.concat([cipher.update(text), cipher.final()]);
  const decryption = { name: "aes-256-cbc", key, iv, isPadded: true };
  expect(await decryptFile(decryption, ciphertext)).toEqual(text);
  const other = await decryptFile({ ...decryption, key: randomBytes(32) }, ciphertext);
  expect(other).not.toEqual(text);
  expect(await decryptFile(decryption, ciphertext.subarray(1))).toBeUndefined();
});

it.each([
  ["cbc", true],
  ["cbc", false],
  ["ctr", false],
  ["gcm", false],
] as const)("AES-192 in %s is decrypted as Node.js encrypts it", async (mode, isPadded) => {
  const name = `aes-192-${mode}`;
  const [shortKey, nonce] = [key.subarray(0, 24), mode === "gcm" ? iv.subarray(0, 12) : iv];
  const cipher = createCipheriv(name, shortKey, nonce) as CipherGCM;
  cipher.setAutoPadding(isPadded);
  const text = Buffer.alloc(176, "key ");
  const ciphertext = Buffer.concat([cipher.update(text), cipher.final()]);
  const tag = mode === "gcm" ? cipher.getAuthTag() : undefined;
  const decryption = { name, key: shortKey, iv: nonce, isPadded, tag };
  expect(await decryptFile(decryption, ciphertext)).toEqual(text);
  if (mode === "ctr") return;
  expect(await decryptFile({ ...decryption, key: randomBytes(24) }, ciphertext)).not.toEqual(text);
});

it("an error names a cipher that the platform lacks, instead of reporting a wrong password", async () => {
  expect(hasCipher("aes-256-cbc")).toBe(true);
  expect(hasCipher("rot-13-cbc")).toBe(false);
  const decryption = { name: "rot-13-cbc", key, iv, isPadded: true };
  await expectCode(async () => decryptFile(decryption, iv), "KEY_UNSUPPORTED");
});

const openLegacyPem = "open" in legacyPem ? legacyPem.open : await legacyPem.load();

const pemWith = (cipher: string): string =>
  `-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: ${cipher},${iv.toString("hex").toUpperCase()}\n\n${Buffer.alloc(48, 5).toString("base64")}\n-----END EC PRIVATE KEY-----\n`;

it.each(["ROT-13-CBC", "IDEA-CBC"])(
  "PEM that is encrypted with %s is unsupported",
  async (cipher) => {
    const encrypted = { cipher, pem: pemWith(cipher) };
    await expectCode(() => openLegacyPem(encrypted, key), "KEY_UNSUPPORTED");
  },
);

it("PEM with a wrong password fails with another error", () => {
  const encrypted = { cipher: "AES-256-CBC", pem: pemWith("AES-256-CBC") };
  let error: unknown;
  try {
    openLegacyPem(encrypted, key);
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(Error);
  expect(error).not.toHaveProperty("code", "KEY_UNSUPPORTED");
});

it("a wrapped key counts as fitting where the platform lacks the cipher to check it", async () => {
  const wrap = createCipheriv("id-aes256-wrap", key, Buffer.alloc(8, 0xa6));
  const wrapped = Buffer.concat([wrap.update(randomBytes(32)), wrap.final()]);
  expect(await isWrappedWith(key, wrapped)).toBe(true);
  expect(await isWrappedWith(randomBytes(32), wrapped)).toBe(false);
  // No platform has AES with 40 bits.
  expect(await isWrappedWith(randomBytes(5), wrapped)).toBe(true);
});
