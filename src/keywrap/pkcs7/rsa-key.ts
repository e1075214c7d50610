import type { KeyObject } from "node:crypto";
import { OcicryptError } from "../../errors.js";

const MIN_RSA_BITS = 2048;

/**
 * Key transport takes RSA, and a key of its plain kind: one for RSASSA-PSS is for signing only.
 *
 * @param name how to call the key or certificate in the message
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`
 */
export function requireRsaKey(key: KeyObject | undefined, name: string): asserts key is KeyObject {
  if (key?.asymmetricKeyType !== "rsa") {
    const type = key?.asymmetricKeyType ?? "unknown";
    throw new OcicryptError("KEY_UNSUPPORTED", `${name} has a key of type ${type}, not RSA`);
  }
  const bits = rsaBits(key);
  if (bits >= MIN_RSA_BITS) return;
  const needed = `at least ${String(MIN_RSA_BITS)} are needed`;
  throw new OcicryptError("KEY_UNSUPPORTED", `${name} has ${String(bits)} bits, ${needed}`);
}

/** The length of the modulus. */
export function rsaBits(key: KeyObject): number {
  return key.asymmetricKeyDetails?.modulusLength ?? 0;
}
