import type { Certificate } from "./certificate.js";
import { formatName } from "./name.js";

/** How a message names a recipient's certificate: RFC 5652 section 6.2.1. */
export type RecipientId =
  | {
      /** The DER of the issuer's Name. */
      issuer: Uint8Array;
      /** The contents of the serial number's INTEGER. */
      serial: Uint8Array;
    }
  | { subjectKeyIdentifier: Uint8Array };

/** Whether the identifier names the certificate, by its very bytes, as peers compare them. */
export function matchesCertificate(id: RecipientId, certificate: Certificate): boolean {
  if ("issuer" in id) {
    const { issuer, serial } = certificate;
    return equal(id.issuer, issuer) && equal(id.serial, serial);
  }
  const { subjectKeyIdentifier } = certificate;
  return subjectKeyIdentifier !== undefined && equal(id.subjectKeyIdentifier, subjectKeyIdentifier);
}

/** For people, e.g. `CN=x, serial 1f`, or `key identifier d1da…`. */
export function formatRecipientId(id: RecipientId): string {
  if ("issuer" in id) return `${formatName(id.issuer)}, serial ${formatHex(id.serial)}`;
  return `key identifier ${Buffer.from(id.subjectKeyIdentifier.subarray(0, 64)).toString("hex")}`;
}

/** A serial number has 20 octets at most: RFC 5280 section 4.1.2.2. */
function formatHex(serial: Uint8Array): string {
  const hex = Buffer.from(serial.subarray(0, 64)).toString("hex");
  return hex.replace(/^0+(?=.)/, "");
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
