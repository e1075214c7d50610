import {
  BIT_STRING,
  INTEGER,
  OBJECT_IDENTIFIER,
  OCTET_STRING,
  readElements,
  readOnly,
  SEQUENCE,
} from "./der.js";

/** What Node's `X509Certificate` does not tell, as it stands in the certificate. */
export interface TbsCertificate {
  /** The DER of the issuer's Name. */
  issuer: Uint8Array;
  /** The contents of the serial number's INTEGER. */
  serial: Uint8Array;
  subjectKeyIdentifier: Uint8Array | undefined;
  /** Whether the key usage has keyEncipherment; `undefined` where there is no key usage. */
  keyEncipherment: boolean | undefined;
}

const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const SUBJECT_KEY_IDENTIFIER = "551d0e"; // 2.5.29.14
const KEY_USAGE = "551d0f"; // 2.5.29.15

/**
 * Reads the TBSCertificate of an X.509 certificate: RFC 5280 section 4.1. It is done here so that
 * a certificate is checked when it is given, without the CMS parser, which takes long to load.
 *
 * @throws {RangeError} when it is malformed
 */
export function readTbsCertificate(der: Uint8Array): TbsCertificate {
  const tbs = readElements(readOnly(der, SEQUENCE))[0];
  const fields = readElements(tbs?.contents ?? der);
  const [serial, , issuer] = fields[0]?.tag === VERSION ? fields.slice(1) : fields;
  if (serial?.tag !== INTEGER || issuer?.tag !== SEQUENCE) {
    throw new RangeError("a certificate holds something else");
  }
  const extensions = fields.find(({ tag }) => tag === EXTENSIONS);
  const values = extensions && readExtensions(readOnly(extensions.contents, SEQUENCE));
  const identifier = values?.get(SUBJECT_KEY_IDENTIFIER);
  const usage = values?.get(KEY_USAGE);
  return {
    issuer: issuer.encoding,
    serial: serial.contents,
    subjectKeyIdentifier: identifier && readOnly(identifier, OCTET_STRING),
    keyEncipherment: usage && hasKeyEncipherment(readOnly(usage, BIT_STRING)),
  };
}

/** The values of the extensions, by their OIDs' contents in hexadecimal. */
function readExtensions(contents: Uint8Array): Map<string, Uint8Array> {
  const values = new Map<string, Uint8Array>();
  for (const extension of readElements(contents)) {
    const members = readElements(extension.contents); // OID, critical (optional), value
    const oid = members[0];
    const value = members.at(-1);
    if (oid?.tag !== OBJECT_IDENTIFIER || value?.tag !== OCTET_STRING) {
      throw new RangeError("an extension holds something else");
    }
    values.set(Buffer.from(oid.contents).toString("hex"), value.contents);
  }
  return values;
}

/** RFC 5280 section 4.2.1.3: bit 2. The first octet of a BIT STRING counts unused bits. */
function hasKeyEncipherment(bitString: Uint8Array): boolean {
  return ((bitString[1] ?? 0) & 0x20) !== 0;
}
