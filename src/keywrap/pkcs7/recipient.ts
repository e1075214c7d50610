import { unrecognized } from "../../keys/material.js";
import type { Recipient } from "../types.js";
import { requireRecipientCertificate, type Pkcs7RecipientOptions } from "./certificate-checks.js";
import {
  leavesOf,
  readCertificates,
  type Certificate,
  type CertificateInput,
} from "./certificate.js";
import { encodeEnvelopedData } from "./encode.js";

/**
 * Recipients for the certificates of a file: for a chain its leaf, for unrelated certificates each
 * of them.
 *
 * @param input X.509 certificates as PEM or DER, with RSA keys from 2048 bits on
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_IS_PRIVATE`;
 *   `KEY_USE_FORBIDDEN` for a key usage without keyEncipherment; `CERTIFICATE_NOT_YET_VALID`; with
 *   `strict` also `CERTIFICATE_EXPIRED`
 */
export function recipients(
  input: CertificateInput,
  options: Pkcs7RecipientOptions = {},
): Recipient[] {
  return readRecipientCertificates(input, options).map((certificate) => toRecipient([certificate]));
}

/**
 * A recipient for one certificate, or for the leaf of one chain. The layer's key is wrapped as a
 * CMS message of its own.
 *
 * @param input as of {@link recipients}
 * @throws {@link OcicryptError} as {@link recipients}
 * @throws {TypeError} when the input holds several unrelated certificates
 */
export function recipient(input: CertificateInput, options: Pkcs7RecipientOptions = {}): Recipient {
  const [first, ...more] = recipients(input, options);
  if (first === undefined || more.length > 0) {
    throw new TypeError(
      "the input holds several unrelated certificates; use pkcs7.recipients() or pkcs7.group()",
    );
  }
  return first;
}

/**
 * One recipient for several certificates: one CMS message with a copy of its key for each of them,
 * as Go makes it. It is shorter than a message for each and shows to all who the others are.
 *
 * @param inputs each as of {@link recipients}
 * @throws {@link OcicryptError} as {@link recipients}
 * @throws {TypeError} when there is no input
 */
export function group(
  inputs: readonly CertificateInput[],
  options: Pkcs7RecipientOptions = {},
): Recipient {
  if (inputs.length === 0) throw new TypeError("a group needs at least one certificate");
  return toRecipient(inputs.flatMap((input) => readRecipientCertificates(input, options)));
}

function readRecipientCertificates(
  input: CertificateInput,
  options: Pkcs7RecipientOptions,
): Certificate[] {
  const leaves = leavesOf(readCertificates(input));
  if (leaves.length === 0) throw unrecognized("its certificates have issued one another");
  for (const leaf of leaves) requireRecipientCertificate(leaf, options);
  return leaves;
}

function toRecipient(certificates: readonly Certificate[]): Recipient {
  return {
    scheme: "pkcs7",
    wrap: (privateOptions) =>
      Promise.resolve().then(() => encodeEnvelopedData(privateOptions, certificates)),
  };
}
