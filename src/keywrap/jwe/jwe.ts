import { fromUtf8 } from "#engine/bytes";
import { joseKey } from "#engine/keys";
import type { KeyInput } from "../../keys/material.js";
import { readPublicKeys } from "../../keys/public-key.js";
import { type AsymmetricKey, thumbprint } from "../../keys/asymmetric-key.js";
import type { Recipient } from "../types.js";
import type { JweRecipientOptions } from "./key.js";
import { isMissing, keyAlgorithm, mapUsable, noAes192, requireJweKey } from "./algorithms.js";

export { key, keys } from "./key.js";

/** Enough for a thumbprint URI or a URL; every layer contains it. */
const MAX_KID_LENGTH = 256;

/**
 * Returns recipients for all the public keys of a file, such as a JWK Set.
 *
 * @param input SPKI or PKCS#1 as PEM or DER, OpenSSH public keys, a JWK or JWK Set, an X.509
 *   certificate, a `KeyObject` or a `CryptoKey`; RSA of 2048 bits or more, or EC on P-256, P-384 or
 *   P-521. A JWK's `alg` and `kid` are used.
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PRIVATE`
 * @throws {TypeError} for a `kid` that is empty or longer than 256 characters
 */
export function recipients(input: KeyInput, options: JweRecipientOptions = {}): Recipient[] {
  const { kid } = options;
  if (kid !== undefined && (kid === "" || kid.length > MAX_KID_LENGTH)) {
    throw new TypeError(`a kid has 1 to ${String(MAX_KID_LENGTH)} characters`);
  }
  return mapUsable(readPublicKeys(input), (key) => toRecipient(key, kid));
}

/**
 * Returns a recipient for one public key. The layer's key is wrapped in a separate flattened JWE,
 * which Go reads and which is the only form that Rust reads.
 *
 * @param input as in {@link recipients}
 * @throws {@link OcicryptError} as {@link recipients}
 * @throws {TypeError} if the input contains several keys
 */
export function recipient(input: KeyInput, options: JweRecipientOptions = {}): Recipient {
  const [first, ...more] = recipients(input, options);
  if (first === undefined || more.length > 0) {
    throw new TypeError("the input holds several keys; use jwe.recipients()");
  }
  return first;
}

function toRecipient(publicKey: AsymmetricKey, name: string | undefined): Recipient {
  const { key } = publicKey;
  requireJweKey(key);
  const algorithm = keyAlgorithm(publicKey);
  const ownThumbprint = thumbprint(key);
  const kid = name ?? publicKey.kid ?? ownThumbprint;
  const header = {
    alg: algorithm,
    enc: "A256GCM",
    ...(kid !== undefined && kid !== "none" && { kid }),
  };
  return {
    scheme: "jwe",
    algorithm,
    thumbprint: ownThumbprint,
    async wrap(privateOptions) {
      if (await isMissing(algorithm)) throw noAes192("KEY_UNSUPPORTED", algorithm);
      // Loaded late, because few programs wrap and open keys.
      const { FlattenedEncrypt } = await import("jose/jwe/flattened/encrypt");
      const jwe = await new FlattenedEncrypt(privateOptions)
        .setProtectedHeader(header)
        .encrypt(joseKey(key));
      return fromUtf8(JSON.stringify(jwe));
    },
  };
}
