import { createPublicKey, type KeyObject } from "node:crypto";
import { OcicryptError } from "../../errors.js";
import { readKeyMaterial, type KeyInput } from "../../keys/material.js";
import { readPrivateKeys, type PrivateKeyOptions } from "../../keys/private-key.js";
import type { Key } from "../types.js";
import {
  certificateName,
  certificatesIn,
  readCertificates,
  type Certificate,
  type CertificateInput,
} from "./certificate.js";
import type { Pkcs7PrivateKey } from "./open.js";
import { requireRsaKey } from "./rsa-key.js";

export interface Pkcs7KeyOptions extends PrivateKeyOptions {
  /**
   * The key's certificate, alone or among others, as PEM or DER. Only recipients that name it are
   * tried then. Default: the certificates in the key's own file; without any, every recipient is
   * tried. An expired one will do: what was encrypted for it stays readable.
   */
  certificate?: CertificateInput | undefined;
  /** How to call the key in reports. */
  label?: string | undefined;
}

/** The parser of CMS messages, which takes long to load, once a message was to be unwrapped. */
let loaded: typeof import("./open.js") | undefined;

/**
 * All the private keys of a file.
 *
 * @param input RSA keys from 2048 bits on: PKCS#1 or PKCS#8 as PEM or DER, encrypted PKCS#8, PEM
 *   with a DEK-Info header, or a JWK or JWK Set
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PUBLIC`, `PASSWORD_MISSING`, `PASSWORD_WRONG`; `KEY_MISMATCH` when there are
 *   certificates and none is the key's; `KEY_IS_PRIVATE` for a certificate that is none
 */
export function keys(input: KeyInput, options: Pkcs7KeyOptions = {}): Key[] {
  const privateKeys = readPrivateKeys(input, options);
  const certificates =
    options.certificate === undefined
      ? certificatesIn(readKeyMaterial(input))
      : readCertificates(options.certificate);
  return privateKeys.map(({ key }) => {
    requireRsaKey(key, "the private key");
    return toKey({ key, certificates: certificatesOf(key, certificates) }, options.label);
  });
}

/**
 * A private key, and its certificate if that is known.
 *
 * @param input as of {@link keys}
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

function toKey(privateKey: Pkcs7PrivateKey, label: string | undefined): Key {
  return {
    scheme: "pkcs7",
    label,
    async unwrap(wrapped, options) {
      loaded ??= await import("./open.js");
      return loaded.openCms(privateKey, wrapped, options?.signal);
    },
    explain: (wrapped) => loaded?.explainCms(privateKey, wrapped) ?? "it was not tried",
  };
}

/** A file may hold a chain, and a renewed certificate of the same key. */
function certificatesOf(key: KeyObject, certificates: readonly Certificate[]): Certificate[] {
  const publicKey = createPublicKey(key);
  const own = certificates.filter((certificate) => certificate.publicKey?.equals(publicKey));
  const [first] = certificates;
  if (first === undefined || own.length > 0) return own;
  const message = `${certificateName(first)} has another public key than the private key`;
  throw new OcicryptError("KEY_MISMATCH", message);
}
