import { keyId, type PlatformKey } from "#engine/keys";
import { hasNumbers } from "#engine/rsa";
import { OcicryptError } from "../../errors.js";
import type { AsymmetricKey } from "../../keys/asymmetric-key.js";
import { readKeyMaterial, type KeyInput } from "../../keys/material.js";
import { isLocked, parsePrivateKeys, type PrivateKeyOptions } from "../../keys/private-key.js";
import { lockedKey } from "../unwrapping.js";
import type { Key } from "../types.js";
import {
  certificateName,
  certificatesIn,
  readCertificates,
  requireRsaKey,
  type Certificate,
  type CertificateInput,
} from "./certificate.js";
import type { Pkcs7PrivateKey } from "./open.js";

export interface Pkcs7RecipientOptions {
  /** Rejects an expired certificate. Default: `false`, as peers do not check the dates. */
  strict?: boolean | undefined;
  /** Called for an expired certificate, which is still used. */
  onWarning?: ((message: string) => void) | undefined;
}

export interface Pkcs7KeyOptions extends PrivateKeyOptions {
  /**
   * The key's certificate, alone or among others, as PEM or DER. Only recipients that name it are
   * then tried. Default: the certificates in the key's own file; without any, every recipient is
   * tried. It may be expired: messages for it stay readable.
   */
  certificate?: CertificateInput | undefined;
  /** The name of the key in reports, such as its file's name. */
  label?: string | undefined;
}

/** The parser of CMS messages, which takes long to load; loaded for the first message. */
let loaded: typeof import("./open.js") | undefined;

/**
 * Returns all the private keys of a file.
 *
 * A password is checked when the first wrapped key is unwrapped, so that the key derivation does
 * not block this call; `keysFromFiles` of `ocicrypt/keys` checks it immediately.
 *
 * @param input RSA keys of 2048 bits or more: PKCS#1 or PKCS#8 as PEM or DER, encrypted PKCS#8, PEM
 *   with a DEK-Info header, an OpenSSH private key, a JWK or JWK Set, an encrypted JWK, a
 *   `KeyObject` or a `CryptoKey`
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PUBLIC`, `PASSWORD_MISSING`, `PASSWORD_WRONG`; `KEY_MISMATCH` when there are
 *   certificates and none is the key's; `KEY_IS_PRIVATE` for a private key as `certificate`. For a
 *   key whose password is checked later, the errors about the key come from `unwrap`; in browsers,
 *   that is so for PEM with a DEK-Info header, too.
 */
export function keys(input: KeyInput, options: Pkcs7KeyOptions = {}): Key[] {
  const { certificate, label } = options;
  const privateKeys = parsePrivateKeys(input, options);
  const certificates =
    certificate === undefined
      ? certificatesIn(readKeyMaterial(input))
      : readCertificates(certificate);
  return privateKeys.map((key) =>
    isLocked(key)
      ? lockedKey("pkcs7", label, async (signal) =>
          (await key.open(signal)).map((opened) => keyOf(opened, certificates, label)),
        )
      : keyOf(key, certificates, label),
  );
}

/**
 * Returns a private key, with its certificate if that is known.
 *
 * @param input as for {@link keys}
 * @throws {@link OcicryptError} as {@link keys}
 * @throws {TypeError} when the input holds several keys
 */
export function key(input: KeyInput, options: Pkcs7KeyOptions = {}): Key {
  const [first, ...more] = keys(input, options);
  if (first === undefined || more.length > 0) {
    throw new TypeError("the input holds several keys; use pkcs7.keys()");
  }
  return first;
}

/**
 * Returns the key for a private key that has been read.
 *
 * @param certificates those that may be the key's
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`; `KEY_MISMATCH` when none is the key's
 */
export function keyOf(
  { key }: AsymmetricKey,
  certificates: readonly Certificate[],
  label: string | undefined,
): Key {
  requireRsaKey(key, "the private key");
  if (!hasNumbers(key)) {
    const message = "browsers do not open PKCS#7 with a CryptoKey; pass the key's file or JWK";
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
  const privateKey: Pkcs7PrivateKey = { key, certificates: certificatesOf(key, certificates) };
  return {
    scheme: "pkcs7",
    label,
    async unwrap(wrapped, options) {
      loaded ??= await import("./open.js");
      return loaded.openCms(privateKey, wrapped, options);
    },
    explain: (wrapped) => loaded?.explainCms(privateKey, wrapped) ?? "it was not tried",
  };
}

/** A file may hold a chain, and a renewed certificate of the same key. */
function certificatesOf(key: PlatformKey, certificates: readonly Certificate[]): Certificate[] {
  if (certificates.length === 0) return [];
  const id = keyId(key);
  const own = certificates.filter(({ publicKey }) => publicKey && keyId(publicKey) === id);
  const [first] = certificates;
  if (first === undefined || own.length > 0) return own;
  const message = `${certificateName(first)} has another public key than the private key`;
  throw new OcicryptError("KEY_MISMATCH", message);
}
