import { randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { createEncryptor } from "../../src/cipher/aes-ctr-hmac.js";
import { findSame, reencrypt } from "../../src/layer/reencrypt.js";
import { chunked, collect } from "../support/bytes.js";
import { sha256 } from "../support/vectors.js";

// The guard against reusing a keystream compares blocks; parts of a file end anywhere in them.
it.each([1, 50_001, 65_536, 1_048_577])("reads parts of %d bytes", async (size) => {
  const plaintext = randomBytes(size < 100 ? 70_001 : 3 * 1024 * 1024 + 7);
  const secret = { symkey: randomBytes(32), nonce: randomBytes(16), digest: "" };
  const encryptor = createEncryptor(secret);
  const ciphertext = Buffer.from(encryptor.update(plaintext));
  const candidate = { secret, digest: sha256(ciphertext), hmac: encryptor.finish() };
  const descriptor = { digest: sha256(plaintext), size: plaintext.byteLength };

  const match = await findSame(chunked(plaintext, size), descriptor, [candidate]);
  const again = await collect(reencrypt(chunked(plaintext, size), match!));
  expect(again.equals(ciphertext)).toBe(true);
});
