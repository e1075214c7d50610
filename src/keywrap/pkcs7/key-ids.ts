import { readCertificates, type CertificateInput } from "./certificate.js";

/**
 * The identifiers that `listRecipients` has for a certificate: by issuer and serial number, and by
 * subject key identifier where it has one. A message names it by one of these.
 *
 * @param input one X.509 certificate as PEM or DER, or a chain that starts with it
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_IS_PRIVATE`
 */
export async function keyIds(input: CertificateInput): Promise<string[]> {
  const [certificate] = readCertificates(input);
  if (certificate === undefined) return [];
  const { formatRecipientId } = await import("./recipient-id.js");
  const { issuer, serial, subjectKeyIdentifier } = certificate;
  const ids = [formatRecipientId({ issuer, serial })];
  if (subjectKeyIdentifier !== undefined) ids.push(formatRecipientId({ subjectKeyIdentifier }));
  return ids;
}
