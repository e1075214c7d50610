import { unrecognized } from "../../keys/refusals.js";
import type { Recipient } from "../types.js";
import {
  leavesOf,
  readCertificates,
  requireRsaKey,
  type Certificate,
  type CertificateInput,
  certificateName,
} from "./certificate.js";
import { encodeEnvelopedData } from "./encode.js";
import { OcicryptError } from "../../errors.js";

/**
 * Returns recipients for the certificates of a file: one for the leaf of a chain, and one for each
 * of several unrelated certificates.
 *
 * @param input X.509 certificates as PEM or DER or an `X509Certificate`, with RSA keys of 2048 bits
 *   or more
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
 * Returns a recipient for one certificate, or for the leaf of one chain. The layer's key is wrapped
 * as a CMS message of its own.
 *
 * @param input as for {@link recipients}
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
 * Returns one recipient for several certificates: one CMS message with a copy of its key for each of
 * them, as Go writes it. It is shorter than a message for each, and none of them can be removed
 * alone.
 *
 * @param inputs each as for {@link recipients}
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

export interface Pkcs7RecipientOptions {
  /** Rejects an expired certificate. Default: `false`, as peers do not check the dates. */
  strict?: boolean | undefined;
  /** Called for an expired certificate, which is used nevertheless. */
  onWarning?: ((message: string) => void) | undefined;
}

/**
 * Checks the key, the use and the dates of a recipient's certificate. Its signature is not checked:
 * trust in it comes from the caller, who names it as a recipient.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `CERTIFICATE_NOT_YET_VALID`, `CERTIFICATE_EXPIRED`, `KEY_UNRECOGNIZED` for dates that cannot be read
 */
export function requireRecipientCertificate(
  certificate: Certificate,
  options: Pkcs7RecipientOptions,
): void {
  const name = certificateName(certificate);
  requireRsaKey(certificate.publicKey, name);
  // RFC 5280 section 4.2.1.3: the extension, where present, limits the key to the listed uses.
  if (certificate.keyEncipherment === false) {
    throw new OcicryptError("KEY_USE_FORBIDDEN", `${name} does not allow key encipherment`);
  }
  checkDates(certificate, name, options);
}

function checkDates({ x509 }: Certificate, name: string, options: Pkcs7RecipientOptions): void {
  const from = Date.parse(x509.validFrom);
  const to = Date.parse(x509.validTo);
  if (Number.isNaN(from) || Number.isNaN(to)) {
    throw new OcicryptError("KEY_UNRECOGNIZED", `${name} has dates that cannot be read`);
  }
  const now = Date.now();
  if (now < from) {
    const message = `${name} is not valid before ${x509.validFrom}`;
    throw new OcicryptError("CERTIFICATE_NOT_YET_VALID", message);
  }
  if (now <= to) return;
  const message = `${name} expired on ${x509.validTo}`;
  if (options.strict === true) throw new OcicryptError("CERTIFICATE_EXPIRED", message);
  options.onWarning?.(message);
}

/**
 * Returns the identifiers that `listRecipients` can report for a certificate: its issuer and serial
 * number, and its subject key identifier if it has one.
 *
 * @param input one X.509 certificate as PEM or DER, or a chain that starts with it
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_IS_PRIVATE`
 */
export async function keyIds(input: CertificateInput): Promise<string[]> {
  const [certificate] = readCertificates(input);
  if (certificate === undefined) return [];
  // Loaded on demand, as it needs the ASN.1 parser.
  const { formatRecipientId } = await import("./recipient-id.js");
  const { issuer, serial, subjectKeyIdentifier } = certificate;
  const ids = [formatRecipientId({ issuer, serial })];
  if (subjectKeyIdentifier !== undefined) ids.push(formatRecipientId({ subjectKeyIdentifier }));
  return ids;
}
