// The machine's own limit: the four passes over the bytes and nothing else, on one thread.
import { createCipheriv, createHash, createHmac, randomBytes } from "node:crypto";

/** Seconds for SHA-256 of the plaintext, AES-256-CTR, HMAC-SHA256 and SHA-256 of the ciphertext. */
export function primitives(chunk, count) {
  const plain = createHash("sha256");
  const cipher = createCipheriv("aes-256-ctr", randomBytes(32), randomBytes(16));
  const mac = createHmac("sha256", randomBytes(32));
  const encrypted = createHash("sha256");
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    plain.update(chunk);
    const output = cipher.update(chunk);
    mac.update(output);
    encrypted.update(output);
  }
  plain.digest();
  mac.digest();
  encrypted.digest();
  return (performance.now() - start) / 1000;
}
