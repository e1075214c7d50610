import { FlattenedEncrypt } from "jose";
import type { KeyInput } from "../../keys/material.js";
import { readPublicKeys } from "../../keys/public-key.js";
import { thumbprint } from "../../keys/jwk.js";
import type { AsymmetricKey } from "../../keys/material.js";
import type { Recipient } from "../types.js";
import { keyAlgorithm, mapUsable, requireJweKey } from "./algorithms.js";

/**
 * Recipients for all the public keys of a file, of a JWK Set for example.
 *
 * @param input SPKI or PKCS#1 as PEM or DER, a JWK or JWK Set, or an X.509 certificate; RSA from
 *   2048 bits on, or EC on P-256, P-384 or P-521. A JWK's `alg` and `kid` are honoured.
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PRIVATE`
 */
export function recipients(input: KeyInput): Recipient[] {
  return mapUsable(readPublicKeys(input), toRecipient);
}

/**
 * A recipient for one public key. The layer's key is wrapped as a flattened JWE of its own, which
 * Go reads and of which the Rust side reads nothing else.
 *
 * @param input as of {@link recipients}
 * @throws {@link OcicryptError} as {@link recipients}
 * @throws {TypeError} when the input holds several keys
 */
export function recipient(input: KeyInput): Recipient {
  const [first, ...more] = recipients(input);
  if (first === undefined || more.length > 0) {
    throw new TypeError("the input holds several keys; use jwe.recipients()");
  }
  return first;
}

function toRecipient(publicKey: AsymmetricKey): Recipient {
  const { key, kid } = publicKey;
  requireJweKey(key);
  const algorithm = keyAlgorithm(publicKey);
  const header = {
    alg: algorithm,
    enc: "A256GCM",
    ...(kid !== undefined && { kid }),
  };
  return {
    scheme: "jwe",
    algorithm,
    thumbprint: thumbprint(key),
    async wrap(privateOptions) {
      const jwe = await new FlattenedEncrypt(privateOptions)
        .setProtectedHeader(header)
        .encrypt(key);
      return Buffer.from(JSON.stringify(jwe), "utf8");
    },
  };
}
