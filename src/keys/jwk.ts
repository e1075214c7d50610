import * as engine from "#engine/keys";
import { OcicryptError, shown, unrecognizedKey } from "../errors.js";
import { MAX_KEYS_PER_FILE } from "../spec/limits.js";
import {
  type AsymmetricKey,
  isRsa,
  notAsymmetric,
  requireSoundPrivateKey,
  tooManyKeys,
} from "./asymmetric-key.js";

type Jwk = Readonly<Record<string, unknown>>;
type Half = "public" | "private";

/**
 * The operations that wrapping needs, by their names in RFC 7517 section 4.3 and Web Cryptography.
 */
const OPERATIONS: Record<Half, Record<"RSA" | "EC", readonly string[]>> = {
  public: { RSA: ["encrypt", "wrapKey"], EC: ["deriveKey", "deriveBits"] },
  private: { RSA: ["decrypt", "unwrapKey"], EC: ["deriveKey", "deriveBits"] },
};

/**
 * Returns the keys of a JWK or a JWK Set. Keys of a set that have other uses, such as signing, are
 * skipped if at least one other key is left.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PRIVATE`, `KEY_IS_PUBLIC`
 */
export function readJwks(value: Jwk, half: Half): AsymmetricKey[] {
  const { keys } = value;
  if (keys === undefined || keys === null) return [readJwk(value, half)];
  if (!Array.isArray(keys) || keys.length === 0) throw unrecognizedKey("its JWK Set holds no keys");
  if (keys.length > MAX_KEYS_PER_FILE) throw tooManyKeys();
  const read: AsymmetricKey[] = [];
  let refusal: OcicryptError | undefined;
  for (const jwk of keys as unknown[]) {
    try {
      if (typeof jwk !== "object" || jwk === null)
        throw unrecognizedKey("its JWK Set is malformed");
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
    const message =
      typeof kty === "string"
        ? `the JWK's "kty" is ${shown(kty)}, not RSA or EC`
        : 'this is JSON without the "kty" of a JWK';
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
  // As in Go, a null member counts as absent.
  const isPrivate = jwk.d !== undefined && jwk.d !== null;
  if (half === "public" && isPrivate) {
    throw new OcicryptError("KEY_IS_PRIVATE", "this JWK is a private key; a public key is needed");
  }
  if (half === "private" && !isPrivate) {
    throw new OcicryptError("KEY_IS_PUBLIC", "this JWK is a public key; the private key is needed");
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
  if (use !== undefined && use !== null && use !== "enc") {
    const what = JSON.stringify(use).slice(0, 20);
    throw new OcicryptError("KEY_USE_FORBIDDEN", `the JWK's "use" is ${what}, not "enc"`);
  }
  if (ops === undefined || ops === null) return;
  const allowed = OPERATIONS[half][kty];
  if (Array.isArray(ops) && areAllowed(ops, kty, half)) return;
  const message = `the JWK's "key_ops" allow none of ${allowed.join(", ")}`;
  throw new OcicryptError("KEY_USE_FORBIDDEN", message);
}

/**
 * The half that is needed of a key of Node.js or Web Cryptography.
 *
 * @param other makes the error for the other half
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED` for a symmetric key; `KEY_USE_FORBIDDEN`
 */
export function requireHalf(
  { operations, ...asymmetric }: AsymmetricKey & { operations?: readonly string[] },
  half: Half,
  other: () => OcicryptError,
): AsymmetricKey {
  const { key } = asymmetric;
  if (key.type === "secret") throw notAsymmetric();
  if (key.type !== half) throw other();
  const kty = isRsa(key) ? "RSA" : "EC";
  if (operations !== undefined && !areAllowed(operations, kty, half)) {
    const allowed = OPERATIONS[half][kty].join(", ");
    throw new OcicryptError("KEY_USE_FORBIDDEN", `the key's usages allow none of ${allowed}`);
  }
  if (half === "private") requireSoundPrivateKey(key);
  return asymmetric;
}

function areAllowed(operations: readonly unknown[], kty: "RSA" | "EC", half: Half): boolean {
  // The public half of a key for key agreement has no operations: Web Cryptography exports [].
  if (kty === "EC" && half === "public" && operations.length === 0) return true;
  return operations.some((each) => OPERATIONS[half][kty].includes(each as string));
}

function importJwk(jwk: Jwk, half: Half): engine.PlatformKey {
  try {
    const key = engine.importJwk(jwk, half);
    return half === "public" ? key : requireSoundPrivateKey(key);
  } catch {
    throw unrecognizedKey("its JWK does not hold a valid key");
  }
}
