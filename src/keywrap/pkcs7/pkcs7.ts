import { fromHex, toHex } from "#engine/bytes";
import { encryptGcm } from "#engine/content-cipher";
import { randomBytes } from "#engine/hash";
import { encryptPkcs1 } from "#engine/rsa";
import { OcicryptError, unrecognizedKey } from "../../errors.js";
import {
  encodeElement,
  INTEGER,
  OBJECT_IDENTIFIER,
  OCTET_STRING,
  SEQUENCE,
  SET,
} from "../../keys/der.js";
import type { Recipient } from "../types.js";
import type { Pkcs7RecipientOptions } from "./key.js";
import {
  type Certificate,
  type CertificateInput,
  certificateName,
  leavesOf,
  readCertificates,
  requireRsaKey,
} from "./certificate.js";

export { key, keys } from "./key.js";

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
 * Returns one recipient for several certificates: one CMS message that contains the wrapped key for
 * each of them, as Go writes it. One message is shorter than several, but its recipients cannot be
 * removed one by one.
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
  if (leaves.length === 0) throw unrecognizedKey("its certificates have issued one another");
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

/**
 * Checks the key, the use and the dates of a recipient's certificate. Its signature is not checked:
 * trust in it comes from the caller, who names it as a recipient.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `CERTIFICATE_NOT_YET_VALID`, `CERTIFICATE_EXPIRED`, `KEY_UNRECOGNIZED` for dates that cannot be read
 */
function requireRecipientCertificate(
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

function checkDates(
  { notBefore, notAfter }: Certificate,
  name: string,
  options: Pkcs7RecipientOptions,
): void {
  if (Number.isNaN(notBefore) || Number.isNaN(notAfter)) {
    throw new OcicryptError("KEY_UNRECOGNIZED", `${name} has dates that cannot be read`);
  }
  const now = Date.now();
  if (now < notBefore) {
    const message = `${name} is not valid before ${new Date(notBefore).toISOString()}`;
    throw new OcicryptError("CERTIFICATE_NOT_YET_VALID", message);
  }
  if (now <= notAfter) return;
  const message = `${name} expired on ${new Date(notAfter).toISOString()}`;
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

const CONTEXT_0 = 0xa0;
const VERSION_0 = encodeElement(INTEGER, Uint8Array.of(0));
const DATA = oid("2a864886f70d010701"); // 1.2.840.113549.1.7.1
const ENVELOPED_DATA = oid("2a864886f70d010703"); // 1.2.840.113549.1.7.3
const RSA_ENCRYPTION = oid("2a864886f70d010101"); // 1.2.840.113549.1.1.1
const AES_128_GCM = oid("608648016503040106"); // 2.16.840.1.101.3.4.1.6

const KEY_SIZE = 16;
const NONCE_SIZE = 12;

/**
 * Wraps data for certificates in the one form that every release of ocicrypt since 1.0.3 reads:
 * EnvelopedData (RFC 5652 section 6.1) with recipients named by issuer and serial number, RSA with
 * PKCS#1 v1.5 and AES-128-GCM.
 *
 * It is encoded here because pkijs cannot write this form: it splits a content only with an
 * indefinite length, and asn1js cannot copy the issuer's bytes unchanged.
 */
function encodeEnvelopedData(data: Uint8Array, certificates: readonly Certificate[]): Uint8Array {
  const key = randomBytes(KEY_SIZE);
  try {
    const recipientInfos = certificates.map((certificate) => encodeRecipient(key, certificate));
    // X.690 section 11.6: DER sorts the elements of a SET OF by their encodings.
    recipientInfos.sort((a, b) => (toHex(a) < toHex(b) ? -1 : 1));
    const envelopedData = encodeElement(
      SEQUENCE,
      VERSION_0,
      encodeElement(SET, ...recipientInfos),
      encodeContent(key, data),
    );
    return encodeElement(SEQUENCE, ENVELOPED_DATA, encodeElement(CONTEXT_0, envelopedData));
  } finally {
    key.fill(0);
  }
}

/** KeyTransRecipientInfo: RFC 5652 section 6.2.1. */
function encodeRecipient(contentKey: Uint8Array, certificate: Certificate): Uint8Array {
  const { publicKey, issuer, serial } = certificate;
  requireRsaKey(publicKey, "the certificate");
  const encryptedKey = encryptPkcs1(publicKey, contentKey);
  return encodeElement(
    SEQUENCE,
    VERSION_0,
    encodeElement(SEQUENCE, issuer, encodeElement(INTEGER, serial)),
    // Without the NULL of RFC 3370 section 4.2.1, as Go writes it.
    encodeElement(SEQUENCE, RSA_ENCRYPTION),
    encodeElement(OCTET_STRING, encryptedKey),
  );
}

/** EncryptedContentInfo: RFC 5652 section 6.1. */
function encodeContent(key: Uint8Array, data: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_SIZE);
  const ciphertext = encryptGcm({ name: "aes-128-gcm", key, iv: nonce }, data);
  return encodeElement(
    SEQUENCE,
    DATA,
    encodeElement(SEQUENCE, AES_128_GCM, gcmParameters(nonce)),
    // smallstep/pkcs7 leaves the inner OCTET STRING out; mozilla/pkcs7 of 2020 needs it.
    encodeElement(CONTEXT_0, encodeElement(OCTET_STRING, ciphertext)),
  );
}

/**
 * Not the GCMParameters of RFC 5084, which no release of ocicrypt reads: Go's asn1 marks the nonce
 * with tag [4] and puts the SEQUENCE into another one, whose tag it writes as primitive
 * (smallstep/pkcs7 encrypt.go).
 */
function gcmParameters(nonce: Uint8Array): Uint8Array {
  const tagLength = encodeElement(INTEGER, Uint8Array.of(16));
  return encodeElement(0x10, encodeElement(SEQUENCE, encodeElement(0x84, nonce), tagLength));
}

function oid(contents: string): Uint8Array {
  return encodeElement(OBJECT_IDENTIFIER, fromHex(contents));
}
