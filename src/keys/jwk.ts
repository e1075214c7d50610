import { createPrivateKey, createPublicKey, type KeyObject, createHash } from "node:crypto";
import { OcicryptError } from "../errors.js";
import { requireSound, unrecognized, type AsymmetricKey } from "./material.js";

type Jwk = Readonly<Record<string, unknown>>;
type Half = "public" | "private";

/** What RFC 7517 section 4.3 and Web Cryptography call the operations that wrapping keys takes. */
const OPERATIONS: Record<Half, Record<string, readonly string[]>> = {
  public: { RSA: ["encrypt", "wrapKey"], EC: ["deriveKey", "deriveBits"] },
  private: { RSA: ["decrypt", "unwrapKey"], EC: ["deriveKey", "deriveBits"] },
};

/**
 * The keys of a JWK or a JWK Set. Keys of a set that are for something else, such as signing, are
 * passed over as long as one is left.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PRIVATE`, `KEY_IS_PUBLIC`
 */
export function readJwks(value: Jwk, half: Half): AsymmetricKey[] {
  const { keys } = value;
  if (keys === undefined) return [readJwk(value, half)];
  if (!Array.isArray(keys) || keys.length === 0) throw unrecognized("its JWK Set holds no keys");
  const read: AsymmetricKey[] = [];
  let refusal: OcicryptError | undefined;
  for (const jwk of keys as unknown[]) {
    try {
      if (typeof jwk !== "object" || jwk === null) throw unrecognized("its JWK Set is malformed");
      read.push({ ...readJwk(jwk as Jwk, half), isOfSet: true });
    } catch (error) {
      if (!(error instanceof OcicryptError) || error.code === "KEY_IS_PRIVATE") throw error;
      refusal ??= error;
    }
  }
  if (read.length === 0 && refusal !== undefined) throw refusal;
  return read;
}

function readJwk(jwk: Jwk, half: Half): AsymmetricKey {
  const { kty, kid, alg } = jwk;
  if (kty !== "RSA" && kty !== "EC") {
    const what = typeof kty === "string" ? JSON.stringify(kty.slice(0, 20)) : "none";
    throw new OcicryptError("KEY_UNSUPPORTED", `the type of the JWK is ${what}, not RSA or EC`);
  }
  const isPrivate = jwk.d !== undefined;
  if (half === "public" && isPrivate) {
    throw new OcicryptError("KEY_IS_PRIVATE", "this JWK is a private key; a public one is needed");
  }
  if (half === "private" && !isPrivate) {
    throw new OcicryptError("KEY_IS_PUBLIC", "this JWK is a public key; the private one is needed");
  }
  checkUse(jwk, kty, half);
  return {
    key: importJwk(jwk, half),
    ...(typeof kid === "string" && { kid }),
    ...(typeof alg === "string" && { alg }),
  };
}

/** RFC 7517, sections 4.2 and 4.3. */
function checkUse(jwk: Jwk, kty: "RSA" | "EC", half: Half): void {
  const { use, key_ops: ops } = jwk;
  if (use !== undefined && use !== "enc") {
    const what = JSON.stringify(use).slice(0, 20);
    throw new OcicryptError("KEY_USE_FORBIDDEN", `the JWK's "use" is ${what}, not "enc"`);
  }
  if (ops === undefined) return;
  // The public half of an agreement key has no operation of its own: Web Cryptography exports [].
  if (kty === "EC" && half === "public" && Array.isArray(ops) && ops.length === 0) return;
  const allowed = OPERATIONS[half][kty] ?? [];
  if (!Array.isArray(ops) || !ops.some((op) => allowed.includes(op as string))) {
    const message = `the JWK's "key_ops" allow none of ${allowed.join(", ")}`;
    throw new OcicryptError("KEY_USE_FORBIDDEN", message);
  }
}

function importJwk(jwk: Jwk, half: Half): KeyObject {
  try {
    const input = { key: { ...jwk }, format: "jwk" } as const;
    return half === "public" ? createPublicKey(input) : requireSound(createPrivateKey(input));
  } catch {
    throw unrecognized("its JWK does not hold a valid key");
  }
}

/** The JWK thumbprint of an RSA or EC key with SHA-256, the same for both halves: RFC 7638. */
export function thumbprint(key: KeyObject): string {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  const { crv, e, kty, n, x, y } = publicKey.export({ format: "jwk" });
  // Section 3.2: the required members in the order of their names. Those that this type of key
  // does not have are undefined, which JSON leaves out.
  const json = JSON.stringify({ crv, e, kty, n, x, y });
  return createHash("sha256").update(json).digest("base64url");
}
