import type { KeyObject } from "node:crypto";
import type { KeyInput } from "../../keys/material.js";
import { readPublicKeys } from "../../keys/public-key.js";
import { thumbprint } from "../../keys/asymmetric-key.js";
import type { Recipient } from "../types.js";
import type { Pkcs11RecipientOptions } from "./key.js";
import { serializeBlob } from "./blob.js";
import { isKeyFile, parseKeyFile, requireKeyNamed } from "./key-file.js";
import type { TokenOptions } from "./module.js";
import {
  defaultOaepHash,
  encryptOaep,
  oaepAlgorithm,
  requireRsa,
  requireWrappingSize,
} from "./oaep.js";

export { key } from "./key.js";

/**
 * Creates a recipient whose private key is in a PKCS#11 token.
 *
 * @param input The public key: SPKI or PKCS#1 as PEM or DER, a JWK, or an X.509 certificate, of an
 *   RSA key of at least 2048 bits. This needs no token, module or configuration. Or a key file in
 *   YAML with the URI of a key in a token; the public key is read from the token when it is first
 *   used.
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PRIVATE`; `PKCS11_CONFIG_INVALID` for a bad `OCICRYPT_OAEP_HASHALG`. Its `wrap`:
 *   `WRAP_FAILED` for a key that is too small for the hash; with a key file also
 *   `PKCS11_CONFIG_MISSING`, `PKCS11_CONFIG_INVALID`, `MODULE_NOT_FOUND`, `MODULE_NOT_ALLOWED`,
 *   `PACKAGE_MISSING`, `TOKEN_NOT_FOUND`, `TOKEN_FAILED`, `PIN_MISSING`, `PIN_WRONG`,
 *   `OBJECT_NOT_FOUND`, `OBJECT_AMBIGUOUS`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`
 * @throws {TypeError} when the input holds several keys
 */
export async function recipient(
  input: KeyInput,
  options: Pkcs11RecipientOptions = {},
): Promise<Recipient> {
  const hash = options.hash ?? defaultOaepHash();
  const source = isKeyFile(input) ? await fromToken(input, options) : publicKeyOf(input);
  return {
    scheme: "pkcs11",
    // Raw RSA: RSA-2048 with OAEP over SHA-1 holds 214 bytes.
    roomForBinding: false,
    algorithm: oaepAlgorithm(hash),
    // The thumbprint of a key in a token is unknown until the key is read.
    thumbprint: typeof source === "function" ? undefined : thumbprint(source),
    async wrap(privateOptions, wrapOptions) {
      const key = typeof source === "function" ? await source(wrapOptions?.signal) : source;
      return serializeBlob({ hash, ciphertext: encryptOaep(key, hash, privateOptions) });
    },
  };
}

function publicKeyOf(input: KeyInput): KeyObject {
  const [first, ...more] = readPublicKeys(input);
  if (first === undefined || more.length > 0) {
    throw new TypeError("the input holds several keys; a PKCS#11 recipient has one");
  }
  return requireWrappingSize(requireRsa(first));
}

type ReadPublicKey = (signal?: AbortSignal) => Promise<KeyObject>;

async function fromToken(
  input: string | Uint8Array,
  options: TokenOptions,
): Promise<ReadPublicKey> {
  const keyFile = await parseKeyFile(input);
  requireKeyNamed(keyFile);
  let key: KeyObject | undefined;
  return async (signal) => {
    if (key === undefined) {
      const { publicKeyInToken } = await import("./token.js");
      signal?.throwIfAborted();
      key = requireWrappingSize(await publicKeyInToken(keyFile, options));
    }
    return key;
  };
}
