import { createHash, createPublicKey, type KeyObject } from "node:crypto";

/** The JWK thumbprint of an RSA or EC key with SHA-256, the same for both halves: RFC 7638. */
export function thumbprint(key: KeyObject): string {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  const { crv, e, kty, n, x, y } = publicKey.export({ format: "jwk" });
  // Section 3.2: the required members in the order of their names. Those that this type of key
  // does not have are undefined, which JSON leaves out.
  const json = JSON.stringify({ crv, e, kty, n, x, y });
  return createHash("sha256").update(json).digest("base64url");
}
