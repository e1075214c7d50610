import { fromBase64 } from "#engine/bytes";
import { isWrappedWith, joseKey, type PlatformKey } from "#engine/keys";
import { OcicryptError, shown } from "../../errors.js";
import { abortable } from "../../io/abort.js";
import { describeKey, isRsa, thumbprint, type AsymmetricKey } from "../../keys/asymmetric-key.js";
import type { KeyInput } from "../../keys/material.js";
import { isLocked, parsePrivateKeys, type PrivateKeyOptions } from "../../keys/private-key.js";
import { MAX_JWE_UNZIPPED_SIZE } from "../../spec/limits.js";
import { lockedKey, newAttempts, takeAttempt } from "../unwrapping.js";
import type { Key, UnwrapContext } from "../types.js";
import {
  algorithmFits,
  CONTENT_ALGORITHMS,
  deriveWrappingKey,
  isMissing,
  KEY_ALGORITHMS,
  keyAlgorithm,
  mapUsable,
  noAes192,
  requireJweKey,
  sizeFits,
} from "./algorithms.js";
import { parseJwe, type JweRecipient } from "./message.js";

export interface JweRecipientOptions {
  /**
   * The key id in the wrapped key, by which recipients are listed and removed. Anyone who can read
   * the manifest sees it, and the same id in two images shows that they have the same recipient.
   * `"none"` leaves it out. Default: the `kid` of a JWK, or the key's RFC 7638 thumbprint.
   */
  kid?: string | undefined;
}

export interface JweKeyOptions extends PrivateKeyOptions {
  /** The name of the key in reports, such as its file's name. */
  label?: string | undefined;
}

/** More reasons would not help a reader. */
const MAX_EXPLAINED = 10;

/**
 * Returns all the private keys of a file.
 *
 * A password is checked when the first wrapped key is unwrapped, so that the key derivation does
 * not block this call; `keysFromFiles` of `ocicrypt/keys` checks it immediately.
 *
 * @param input PKCS#1, PKCS#8 or SEC1 as PEM or DER, encrypted PKCS#8, PEM with a DEK-Info header,
 *   an OpenSSH private key, a JWK or JWK Set, an encrypted JWK, a `KeyObject` or a `CryptoKey`; RSA
 *   of 2048 bits or more, or EC on P-256, P-384 or P-521
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PUBLIC`, `PASSWORD_MISSING`; `PASSWORD_WRONG` for PEM with a DEK-Info header, and
 *   otherwise from `unwrap`. In browsers, `unwrap` also reports why PEM with such a header cannot be
 *   opened, because the code for it is loaded then.
 */
export function keys(input: KeyInput, options: JweKeyOptions = {}): Key[] {
  const { label } = options;
  return mapUsable(parsePrivateKeys(input, options), (key) =>
    isLocked(key)
      ? lockedKey("jwe", label, async (signal) =>
          mapUsable(await key.open(signal), (opened) => keyOf(opened, label)),
        )
      : keyOf(key, label),
  );
}

/**
 * Returns a private key. As in other tools, it is tried on every recipient of every JWE, whatever
 * the `kid` is.
 *
 * @param input as in {@link keys}
 * @throws {@link OcicryptError} as {@link keys}
 * @throws {TypeError} if the input contains several keys
 */
export function key(input: KeyInput, options: JweKeyOptions = {}): Key {
  const [first, ...more] = keys(input, options);
  if (first === undefined || more.length > 0) {
    throw new TypeError("the input holds several keys; use jwe.keys()");
  }
  return first;
}

/**
 * Returns the key for a private key that has been read.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`
 */
export function keyOf(privateKey: AsymmetricKey, label: string | undefined): Key {
  requireJweKey(privateKey.key);
  // As in Go, a JWK for RSA-OAEP-256 also opens keys that were wrapped with RSA-OAEP. A JWK for
  // signing or for an unsupported algorithm is rejected, because it would never be used.
  keyAlgorithm(privateKey);
  const names = [thumbprint(privateKey.key), privateKey.kid];
  return {
    scheme: "jwe",
    label,
    thumbprint: names[0],
    unwrap: (wrapped, context) => unwrap(privateKey.key, names, wrapped, context),
    explain: (wrapped) =>
      parseJwe(wrapped)
        .slice(0, MAX_EXPLAINED)
        .map((recipient) => explain(privateKey, recipient))
        .join("; "),
  };
}

async function unwrap(
  key: PlatformKey,
  names: readonly (string | undefined)[],
  wrapped: Uint8Array,
  { signal, attempts = newAttempts() }: UnwrapContext = {},
): Promise<Uint8Array | null> {
  const recipients = parseJwe(wrapped);
  const isNamed = ({ kid }: JweRecipient): boolean => kid !== undefined && names.includes(kid);
  const wrappingKeys = new Map<string, Uint8Array | undefined>();
  const inOrder = [...recipients.filter(isNamed), ...recipients.filter((each) => !isNamed(each))];
  let missing: string | undefined;
  for (const recipient of inOrder) {
    if (!algorithmFits(key, recipient) || !sizeFits(key, recipient)) continue;
    const algorithms = `${recipient.algorithm} with ${recipient.enc ?? ""}`;
    if (await isMissing(algorithms)) {
      missing = algorithms;
      continue;
    }
    if (!isRsa(key)) {
      const { algorithm, epk, apu, apv, encryptedKey } = recipient;
      // Cached, because recipients can share an ephemeral key and the derivation is slow.
      const id = JSON.stringify([algorithm, epk?.x, epk?.y, apu, apv]);
      if (!wrappingKeys.has(id)) {
        await takeAttempt(attempts, signal);
        wrappingKeys.set(id, await deriveWrappingKey(key, recipient));
      }
      const wrappingKey = wrappingKeys.get(id);
      if (wrappingKey === undefined) continue;
      if (!(await isWrappedWith(wrappingKey, fromBase64(encryptedKey)))) continue;
    }
    await takeAttempt(attempts, signal);
    const plaintext = await decrypt(key, recipient, signal);
    if (plaintext !== undefined) return plaintext;
  }
  if (missing !== undefined) throw noAes192("WRAPPED_KEY_UNSUPPORTED", missing);
  if (recipients.some(({ algorithm }) => KEY_ALGORITHMS.includes(algorithm))) return null;
  const named = recipients.slice(0, MAX_EXPLAINED).map(({ algorithm }) => shown(algorithm));
  throw new OcicryptError("WRAPPED_KEY_UNSUPPORTED", `a JWE uses ${named.join(", ")}`);
}

async function decrypt(
  key: PlatformKey,
  { flattened }: JweRecipient,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  // Outside of the try: a module that cannot be loaded must not look like a wrong key.
  const { flattenedDecrypt } = await import("jose/jwe/flattened/decrypt");
  try {
    const decrypted = flattenedDecrypt(flattened, joseKey(key), {
      keyManagementAlgorithms: [...KEY_ALGORITHMS],
      contentEncryptionAlgorithms: [...CONTENT_ALGORITHMS.keys()],
      maxDecompressedLength: MAX_JWE_UNZIPPED_SIZE,
    });
    return (await abortable(decrypted, signal)).plaintext;
  } catch {
    signal?.throwIfAborted();
    // A wrong key and a damaged message cannot be distinguished, and must not be: a difference
    // would be an oracle.
    return undefined;
  }
}

function explain({ key, kid }: AsymmetricKey, recipient: JweRecipient): string {
  const { algorithm, crv } = recipient;
  const name = algorithm.slice(0, 40);
  const needs = crv === undefined ? name : `${name} on ${crv.slice(0, 40)}`;
  if (!algorithmFits(key, recipient)) {
    return `the recipient needs ${needs}, the key is ${describeKey(key)}`;
  }
  if (kid !== undefined && recipient.kid !== undefined && kid !== recipient.kid) {
    return `the recipient has the kid ${shown(recipient.kid)}, the key has ${shown(kid)}`;
  }
  return `${needs}: for another key than this one (${describeKey(key)}), or damaged`;
}
