// The passes over the bytes of a layer, and nothing else.
import { createCipheriv, createHash, createHmac, randomBytes } from "node:crypto";

/** SHA-256 of the plaintext, AES-256-CTR, HMAC-SHA256 and SHA-256 of the ciphertext. */
export function openPasses() {
  const plain = createHash("sha256");
  const cipher = createCipheriv("aes-256-ctr", randomBytes(32), randomBytes(16));
  const mac = createHmac("sha256", randomBytes(32));
  const encrypted = createHash("sha256");
  return {
    update(part) {
      plain.update(part);
      const output = cipher.update(part);
      mac.update(output);
      encrypted.update(output);
      return output;
    },
    finish() {
      for (const pass of [plain, mac, encrypted]) pass.digest();
    },
  };
}

/** Returns the seconds for the passes over one chunk again and again. */
export function primitives(chunk, count) {
  const passes = openPasses();
  const start = performance.now();
  for (let i = 0; i < count; i++) passes.update(chunk);
  passes.finish();
  return (performance.now() - start) / 1000;
}
