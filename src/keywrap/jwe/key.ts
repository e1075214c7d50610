import { flattenedDecrypt } from "jose";
import { OcicryptError, shown } from "../../errors.js";
import type { KeyInput } from "../../keys/material.js";
import { readPrivateKeys, type PrivateKeyOptions } from "../../keys/private-key.js";
import { thumbprint } from "../../keys/jwk.js";
import type { AsymmetricKey } from "../../keys/material.js";
import type { Key } from "../types.js";
import {
  algorithmFits,
  CONTENT_ALGORITHMS,
  describeKey,
  KEY_ALGORITHMS,
  keyAlgorithm,
  mapUsable,
  requireJweKey,
} from "./algorithms.js";
import { parseJwe, type JweRecipient } from "./message.js";

export interface JweKeyOptions extends PrivateKeyOptions {
  /** How to call the key in reports. */
  label?: string | undefined;
}

/** People read no more. */
const MAX_EXPLAINED = 10;

/**
 * All the private keys of a file.
 *
 * @param input PKCS#1, PKCS#8 or SEC1 as PEM or DER, encrypted PKCS#8, PEM with a DEK-Info header,
 *   or a JWK or JWK Set; RSA from 2048 bits on, or EC on P-256, P-384 or P-521
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PUBLIC`, `PASSWORD_MISSING`, `PASSWORD_WRONG`
 */
export function keys(input: KeyInput, options: JweKeyOptions = {}): Key[] {
  return mapUsable(readPrivateKeys(input, options), (key) => toKey(key, options.label));
}

/**
 * A private key. It is tried on every recipient of every JWE, whatever `kid` says, as peers do.
 *
 * @param input as of {@link keys}
 * @throws {@link OcicryptError} as {@link keys}
 * @throws {TypeError} when the input holds several keys
 */
export function key(input: KeyInput, options: JweKeyOptions = {}): Key {
  const [first, ...more] = keys(input, options);
  if (first === undefined || more.length > 0) {
    throw new TypeError("the input holds several keys; use jwe.keys()");
  }
  return first;
}

function toKey(privateKey: AsymmetricKey, label: string | undefined): Key {
  requireJweKey(privateKey.key);
  // A JWK for RSA-OAEP-256 opens what was wrapped for RSA-OAEP too, as with Go; one for signing
  // or for an algorithm that is not read here is refused rather than never used.
  keyAlgorithm(privateKey);
  return {
    scheme: "jwe",
    label,
    thumbprint: thumbprint(privateKey.key),
    unwrap: (wrapped) => unwrap(privateKey, wrapped),
    explain: (wrapped) =>
      parseJwe(wrapped)
        .slice(0, MAX_EXPLAINED)
        .map((recipient) => explain(privateKey, recipient))
        .join("; "),
  };
}

async function unwrap({ key }: AsymmetricKey, wrapped: Uint8Array): Promise<Uint8Array | null> {
  const recipients = parseJwe(wrapped);
  for (const { algorithm, crv, flattened } of recipients) {
    if (!algorithmFits(key, algorithm, crv)) continue;
    try {
      const { plaintext } = await flattenedDecrypt(flattened, key, {
        keyManagementAlgorithms: [...KEY_ALGORITHMS],
        contentEncryptionAlgorithms: [...CONTENT_ALGORITHMS],
      });
      return plaintext;
    } catch {
      // Another key and a damaged message can not be told apart, and must not be: a difference
      // would be an oracle.
    }
  }
  if (recipients.some(({ algorithm }) => KEY_ALGORITHMS.includes(algorithm))) return null;
  const named = recipients.slice(0, MAX_EXPLAINED).map(({ algorithm }) => shown(algorithm));
  throw new OcicryptError("WRAPPED_KEY_UNSUPPORTED", `a JWE uses ${named.join(", ")}`);
}

function explain({ key, kid }: AsymmetricKey, recipient: JweRecipient): string {
  const { algorithm, crv } = recipient;
  const name = algorithm.slice(0, 40);
  const needs = crv === undefined ? name : `${name} on ${crv.slice(0, 40)}`;
  if (!algorithmFits(key, algorithm, crv)) {
    return `the recipient needs ${needs}, the key is ${describeKey(key)}`;
  }
  if (kid !== undefined && recipient.kid !== undefined && kid !== recipient.kid) {
    return `the recipient is kid ${shown(recipient.kid)}, the key is ${shown(kid)}`;
  }
  return `${needs}: for another key than this one (${describeKey(key)}), or damaged`;
}
