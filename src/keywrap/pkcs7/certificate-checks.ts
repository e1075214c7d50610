import { OcicryptError } from "../../errors.js";
import { certificateName, type Certificate } from "./certificate.js";
import { requireRsaKey } from "./rsa-key.js";

export interface Pkcs7RecipientOptions {
  /** Refuses an expired certificate. Default: `false`, as peers do not look at the dates. */
  strict?: boolean | undefined;
  /** Is told of an expired certificate that is used nevertheless. */
  onWarning?: ((message: string) => void) | undefined;
}

/**
 * Whether a layer's key may be wrapped for a certificate, by its key, use and dates. Who signed it
 * is not looked at: trust in it comes from whoever names it as a recipient.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `CERTIFICATE_NOT_YET_VALID`, `CERTIFICATE_EXPIRED`, `KEY_UNRECOGNIZED` for dates that are none
 */
export function requireRecipientCertificate(
  certificate: Certificate,
  options: Pkcs7RecipientOptions,
): void {
  const name = certificateName(certificate);
  requireRsaKey(certificate.publicKey, name);
  // RFC 5280 section 4.2.1.3: an extension that is there limits the key to what it lists.
  if (certificate.keyEncipherment === false) {
    throw new OcicryptError("KEY_USE_FORBIDDEN", `${name} does not allow key encipherment`);
  }
  checkDates(certificate, name, options);
}

function checkDates({ x509 }: Certificate, name: string, options: Pkcs7RecipientOptions): void {
  const from = Date.parse(x509.validFrom);
  const to = Date.parse(x509.validTo);
  if (Number.isNaN(from) || Number.isNaN(to)) {
    throw new OcicryptError("KEY_UNRECOGNIZED", `${name} has dates that can not be read`);
  }
  const now = Date.now();
  if (now < from) {
    const message = `${name} is valid from ${x509.validFrom} on only`;
    throw new OcicryptError("CERTIFICATE_NOT_YET_VALID", message);
  }
  if (now <= to) return;
  const message = `${name} has expired on ${x509.validTo}`;
  if (options.strict === true) throw new OcicryptError("CERTIFICATE_EXPIRED", message);
  options.onWarning?.(message);
}
