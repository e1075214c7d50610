import type { KeyObject } from "node:crypto";
import type { KeyInput } from "../../keys/material.js";
import { readPrivateKeys, type PrivateKeyOptions } from "../../keys/private-key.js";
import { thumbprint, type AsymmetricKey } from "../../keys/asymmetric-key.js";
import type { Key } from "../types.js";
import { parseBlob, type Pkcs11Recipient } from "./blob.js";
import { isKeyFile, parseKeyFile, requireKeyNamed } from "./key-file.js";
import type { TokenOptions } from "./module.js";
import { decryptOaep, oaepAlgorithm, requireRsa, rsaBits, type OaepHash } from "./oaep.js";

export interface Pkcs11RecipientOptions extends TokenOptions {
  /**
   * The hash of RSA-OAEP; by default the value of the environment variable
   * `OCICRYPT_OAEP_HASHALG`, or `sha256`. An RSA key of 2048 bits needs `sha1`: with `sha256` it can
   * hold 190 bytes, and the options of a layer have 193.
   */
  hash?: OaepHash | undefined;
}

export interface Pkcs11KeyOptions extends TokenOptions, PrivateKeyOptions {
  /** The key's name in reports. */
  label?: string | undefined;
}

/**
 * Creates a key from a private key in a PKCS#11 token, or from an RSA key outside of a token.
 *
 * A token is used only during `unwrap`, which blocks the process. A PIN that a token has rejected is
 * not tried again by the same process, because a few wrong PINs lock a token. In a worker thread,
 * the environment of a key file reaches the module only with `SHARE_ENV`.
 *
 * @param input a key file in YAML with the URI of a key in a token and its PIN, or an RSA private
 *   key: PKCS#1 or PKCS#8 as PEM or DER, possibly encrypted, or a JWK
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PUBLIC`, `PASSWORD_MISSING`, `PASSWORD_WRONG`. Its `unwrap`: `WRAPPED_KEY_INVALID`,
 *   `WRAPPED_KEY_UNSUPPORTED`; with a key file also `PIN_MISSING`, `PIN_WRONG`,
 *   `PKCS11_CONFIG_MISSING`, `PKCS11_CONFIG_INVALID`, `MODULE_NOT_FOUND`, `MODULE_NOT_ALLOWED`,
 *   `PACKAGE_MISSING`, `TOKEN_NOT_FOUND`, `TOKEN_FAILED`, `OBJECT_NOT_FOUND`, `OBJECT_AMBIGUOUS`,
 *   `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`
 * @throws {TypeError} when the input holds several keys
 */
export async function key(input: KeyInput, options: Pkcs11KeyOptions = {}): Promise<Key> {
  return isKeyFile(input) ? keyInToken(input, options) : keyInSoftware(input, options);
}

async function keyInToken(input: string | Uint8Array, options: Pkcs11KeyOptions): Promise<Key> {
  const keyFile = await parseKeyFile(input);
  requireKeyNamed(keyFile);
  return {
    scheme: "pkcs11",
    label: options.label,
    async unwrap(wrapped, unwrapOptions) {
      const recipients = parseBlob(wrapped);
      const { decryptInToken } = await import("./token.js");
      return decryptInToken(keyFile, recipients, options, unwrapOptions?.signal);
    },
    explain: (wrapped) =>
      explain(
        wrapped,
        ({ ciphertext }) => `for another ${sizeOf(ciphertext)} key than the token's, or damaged`,
      ),
  };
}

async function keyInSoftware(input: KeyInput, options: Pkcs11KeyOptions): Promise<Key> {
  const [first, ...more] = await readPrivateKeys(input, options);
  if (first === undefined || more.length > 0) {
    throw new TypeError("the input holds several keys; pass each one separately");
  }
  return keyOf(first, options.label);
}

/**
 * Returns the key for an RSA private key that has been read.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`
 */
export function keyOf(asymmetricKey: AsymmetricKey, label: string | undefined): Key {
  const privateKey = requireRsa(asymmetricKey);
  return {
    scheme: "pkcs11",
    label,
    thumbprint: thumbprint(privateKey),
    unwrap: (wrapped) =>
      new Promise((resolve) => {
        resolve(decryptFirst(privateKey, parseBlob(wrapped)));
      }),
    explain: (wrapped) =>
      explain(wrapped, ({ ciphertext }) => {
        const own = `RSA-${String(rsaBits(privateKey))}`;
        const needs = sizeOf(ciphertext);
        return needs === own
          ? `for another ${own} key, or damaged`
          : `the recipient needs ${needs}, the key is ${own}`;
      }),
  };
}

function decryptFirst(
  privateKey: KeyObject,
  recipients: readonly Pkcs11Recipient[],
): Buffer | null {
  for (const { hash, ciphertext } of recipients) {
    const plaintext = decryptOaep(privateKey, hash, ciphertext);
    if (plaintext !== null) return plaintext;
  }
  return null;
}

function explain(wrapped: Uint8Array, why: (recipient: Pkcs11Recipient) => string): string {
  return parseBlob(wrapped)
    .map((recipient) => `${oaepAlgorithm(recipient.hash)}: ${why(recipient)}`)
    .join("; ");
}

/** An RSA ciphertext is as long as the modulus. */
function sizeOf(ciphertext: Uint8Array): string {
  return `RSA-${String(ciphertext.byteLength * 8)}`;
}
