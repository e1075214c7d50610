import { constants, createCipheriv, publicEncrypt, randomBytes } from "node:crypto";
import { requireRsaKey, type Certificate } from "./certificate.js";
import {
  encodeElement,
  INTEGER,
  OBJECT_IDENTIFIER,
  OCTET_STRING,
  SEQUENCE,
  SET,
} from "../../keys/der.js";

const CONTEXT_0 = 0xa0;
const VERSION_0 = encodeElement(INTEGER, Buffer.of(0));
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
export function encodeEnvelopedData(
  data: Uint8Array,
  certificates: readonly Certificate[],
): Uint8Array {
  const key = randomBytes(KEY_SIZE);
  try {
    const recipientInfos = certificates.map((certificate) => encodeRecipient(key, certificate));
    // X.690 section 11.6: DER sorts the elements of a SET OF by their encodings.
    recipientInfos.sort((a, b) => Buffer.compare(a, b));
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
  const encryptedKey = publicEncrypt(
    { key: publicKey, padding: constants.RSA_PKCS1_PADDING },
    contentKey,
  );
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
  const cipher = createCipheriv("aes-128-gcm", key, nonce);
  const ciphertext = Buffer.concat([cipher.update(data), cipher.final(), cipher.getAuthTag()]);
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
  const tagLength = encodeElement(INTEGER, Buffer.of(16));
  return encodeElement(0x10, encodeElement(SEQUENCE, encodeElement(0x84, nonce), tagLength));
}

function oid(contents: string): Uint8Array {
  return encodeElement(OBJECT_IDENTIFIER, Buffer.from(contents, "hex"));
}
