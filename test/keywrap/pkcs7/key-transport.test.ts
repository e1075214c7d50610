import { createPrivateKey, randomBytes } from "node:crypto";
import { expect, it } from "vitest";
import { decryptContentKey, type KeyTransport } from "../../../src/keywrap/pkcs7/key-transport.js";
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
