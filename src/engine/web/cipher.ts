import type { Bytes, CipherEngine } from "../types.js";

const BLOCK = 16;

/**
 * Web Cryptography encrypts a whole message, so that each part is a message of its own: its
 * counter is the nonce plus the number of blocks before it, with carries over all 16 bytes. Zeros
 * stand for the bytes of its first block that another part has.
 */
export const createAesCtr: CipherEngine["createAesCtr"] = (secret, nonce) => {
  const counter: Bytes = Uint8Array.from(nonce);
  const raw: Bytes = Uint8Array.from(secret);
  const importing = crypto.subtle
    .importKey("raw", raw, "AES-CTR", false, ["encrypt"])
    .finally(() => raw.fill(0));
  // Reported by the first part.
  importing.catch(() => undefined);
  /** The bytes of the block at `counter` that parts have had, 0 to 15. */
  let used = 0;
  return {
    async update(bytes) {
      const key = await importing;
      const padded = new Uint8Array(used + bytes.byteLength);
      padded.set(bytes, used);
      const algorithm = { name: "AES-CTR", counter: counter.slice(), length: 128 };
      const encrypted = new Uint8Array(await crypto.subtle.encrypt(algorithm, key, padded));
      const part = encrypted.subarray(used);
      increase(counter, Math.floor(padded.byteLength / BLOCK));
      used = padded.byteLength % BLOCK;
      return part;
    },
  };
};

/** Adds to a big-endian number of 128 bits, modulo its size. */
function increase(counter: Uint8Array, blocks: number): void {
  let carry = blocks;
  for (let at = BLOCK - 1; at >= 0 && carry > 0; at--) {
    const sum = (counter[at] ?? 0) + carry;
    counter[at] = sum % 256;
    carry = Math.floor(sum / 256);
  }
}
