import type { X509Certificate } from "node:crypto";
import { toHex, toLatin1 } from "#engine/bytes";
import { importCertificate, isIssuedBy, type PlatformCertificate } from "#engine/certificates";
import { importDer, keyId, type PlatformKey } from "#engine/keys";
import { OcicryptError, unrecognizedKey } from "../../errors.js";
import { requireRsaSize, requireSoundKey } from "../../keys/asymmetric-key.js";
import { readKeyMaterial, type KeyMaterial } from "../../keys/material.js";
import { decodeBlock } from "../../keys/pem.js";
import { MAX_CERTIFICATES_PER_FILE } from "../../spec/limits.js";
import {
  BIT_STRING,
  type DerElement,
  INTEGER,
  OBJECT_IDENTIFIER,
  OCTET_STRING,
  readElements,
  readOnly,
  SEQUENCE,
} from "../../keys/der.js";
import { formatName } from "./recipient-id.js";

/** X.509 certificates as their owner has them: the text or bytes of a file, or one of Node.js. */
export type CertificateInput = string | Uint8Array | X509Certificate;

/** A certificate with the fields by which messages name it. */
export interface Certificate extends TbsCertificate {
  x509: PlatformCertificate;
  /** `undefined` for a key of a kind that the platform does not know. */
  publicKey: PlatformKey | undefined;
}

/**
 * Returns the certificates of a file, each once.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_IS_PRIVATE`
 */
export function readCertificates(input: CertificateInput): Certificate[] {
  if (isX509(input)) return [parseCertificate(input.raw)];
  const material = readKeyMaterial(input);
  if (isPrivate(material)) {
    const message = "this is a private key; a certificate is needed";
    throw new OcicryptError("KEY_IS_PRIVATE", message);
  }
  const certificates = certificatesIn(material);
  if (certificates.length === 0) throw notCertificate(material);
  return certificates;
}

/**
 * Returns the certificates among key material, each once.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`
 */
export function certificatesIn(material: KeyMaterial): Certificate[] {
  if (material.form === "der") {
    return material.kind === "certificate" ? [parseCertificate(material.bytes)] : [];
  }
  if (material.form !== "pem") return [];
  const blocks = material.blocks.filter(
    ({ label }) => label === "CERTIFICATE" || label === "X509 CERTIFICATE",
  );
  if (blocks.length > MAX_CERTIFICATES_PER_FILE) {
    const message = `the file holds more than ${String(MAX_CERTIFICATES_PER_FILE)} certificates`;
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
  const certificates = new Map<string, Certificate>();
  for (const block of blocks) {
    const der = decodeBlock(block);
    const id = toHex(der);
    if (!certificates.has(id)) certificates.set(id, parseCertificate(der));
  }
  return [...certificates.values()];
}

/**
 * Returns the certificates of a bundle that did not issue another one in it: the leaf of a chain,
 * and all of unrelated certificates.
 */
export function leavesOf(certificates: readonly Certificate[]): Certificate[] {
  const byIssuer = new Map<string, Certificate[]>();
  for (const certificate of certificates) {
    const issuer = formatName(certificate.issuer);
    byIssuer.set(issuer, [...(byIssuer.get(issuer) ?? []), certificate]);
  }
  return certificates.filter((certificate) => {
    const named = byIssuer.get(formatName(certificate.subject)) ?? [];
    return !named.some((other) => other !== certificate && isIssued(other, certificate));
  });
}

/** Returns the name of a certificate for messages. */
export function certificateName({ subject, serial }: Certificate): string {
  const name = formatName(subject).slice(0, 200);
  // RFC 5280 section 4.1.2.6 allows an empty name.
  return `the certificate ${name === "" ? toHex(serial).toUpperCase() : JSON.stringify(name)}`;
}

function isIssued(certificate: Certificate, issuer: Certificate): boolean {
  const key = issuer.publicKey;
  if (key === undefined) return false;
  // Certificates that one key has issued for itself, such as a renewed one, are not a chain.
  if (certificate.publicKey !== undefined && keyId(certificate.publicKey) === keyId(key)) {
    return false;
  }
  // Names alone are not enough: self-signed certificates of one name seem to issue one another.
  return isIssuedBy(certificate.x509, issuer.x509, key);
}

function isX509(input: CertificateInput): input is X509Certificate {
  return typeof input === "object" && !(input instanceof Uint8Array) && "raw" in input;
}

function parseCertificate(der: Uint8Array): Certificate {
  try {
    return {
      x509: importCertificate(der),
      publicKey: publicKeyOf(der),
      ...readTbsCertificate(der),
    };
  } catch (cause) {
    throw new OcicryptError("KEY_UNRECOGNIZED", "the certificate is damaged", { cause });
  }
}

/**
 * Key transport takes plain RSA: an RSASSA-PSS key is for signing only.
 *
 * @param name how to call the key or certificate in the message
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`
 */
export function requireRsaKey(
  key: PlatformKey | undefined,
  name: string,
): asserts key is PlatformKey {
  if (key?.asymmetricKeyType !== "rsa") {
    const type = key?.asymmetricKeyType ?? "unknown";
    throw new OcicryptError("KEY_UNSUPPORTED", `${name} has a key of type ${type}, not RSA`);
  }
  requireRsaSize(key, name);
  if (key.type === "public") requireSoundKey(key);
}

function publicKeyOf(der: Uint8Array): PlatformKey | undefined {
  try {
    return importDer(der, "certificate");
  } catch {
    return undefined;
  }
}

function notCertificate(material: KeyMaterial): OcicryptError {
  if (material.form === "pem") {
    const label = material.blocks[0]?.label.slice(0, 40) ?? "";
    if (!label.endsWith("PUBLIC KEY")) return unrecognizedKey(`its PEM block is "${label}"`);
  }
  if (material.form === "der" && material.kind === "pkcs12") {
    return unrecognizedKey("PKCS#12 holds a private key; export the certificate from it");
  }
  const message = "this is a public key; PKCS#7 needs a certificate for it";
  return new OcicryptError("KEY_UNSUPPORTED", message);
}

function isPrivate(material: KeyMaterial): boolean {
  switch (material.form) {
    case "jwk":
      return material.value.d !== undefined;
    case "pem":
      return material.blocks.some(({ label }) => label.endsWith("PRIVATE KEY"));
    case "der":
      return !["spki", "pkcs1-public", "certificate", "pkcs12"].includes(material.kind);
    case "jwe":
      return true;
    default:
      return false;
  }
}

/** The fields of a certificate, as their bytes in it. */
export interface TbsCertificate {
  /** The DER of the issuer's Name. */
  issuer: Uint8Array;
  /** The DER of the subject's Name. */
  subject: Uint8Array;
  /** The first and the last moment at which it is valid, in milliseconds; `NaN` if unreadable. */
  notBefore: number;
  notAfter: number;
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
 * Reads the TBSCertificate of an X.509 certificate: RFC 5280 section 4.1. It is read here so that a
 * certificate is checked when it is given, without the CMS parser, which takes long to load.
 *
 * @throws {Error} when it is malformed
 */
export function readTbsCertificate(der: Uint8Array): TbsCertificate {
  const tbs = readElements(readOnly(der, SEQUENCE))[0];
  const fields = readElements(tbs?.contents ?? der);
  const [serial, , issuer, validity, subject] =
    fields[0]?.tag === VERSION ? fields.slice(1) : fields;
  if (
    serial?.tag !== INTEGER ||
    issuer?.tag !== SEQUENCE ||
    validity?.tag !== SEQUENCE ||
    subject?.tag !== SEQUENCE
  ) {
    throw new Error("a certificate holds something else");
  }
  const [from, to] = readElements(validity.contents);
  const extensions = fields.find(({ tag }) => tag === EXTENSIONS);
  const values = extensions && readExtensions(readOnly(extensions.contents, SEQUENCE));
  const identifier = values?.get(SUBJECT_KEY_IDENTIFIER);
  const usage = values?.get(KEY_USAGE);
  return {
    issuer: issuer.encoding,
    subject: subject.encoding,
    notBefore: readTime(from),
    notAfter: readTime(to),
    serial: serial.contents,
    subjectKeyIdentifier: identifier && readOnly(identifier, OCTET_STRING),
    keyEncipherment: usage && hasKeyEncipherment(readOnly(usage, BIT_STRING)),
  };
}

const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;

/** Time: RFC 5280 section 4.1.2.5; like OpenSSL also without seconds, and with a zone. */
function readTime(element: DerElement | undefined): number {
  const text = element === undefined ? "" : toLatin1(element.contents);
  const [, year = "", month, day, hour, minute, second = "00", zone = ""] =
    /^(\d{2}|\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(Z|[+-]\d{4})$/.exec(text) ?? [];
  const isShort = year.length === 2;
  if (element?.tag !== (isShort ? UTC_TIME : GENERALIZED_TIME)) return Number.NaN;
  const century = isShort ? (Number(year) < 50 ? "20" : "19") : "";
  return Date.parse(
    `${century}${year}-${month ?? ""}-${day ?? ""}T${hour ?? ""}:${minute ?? ""}:${second}${zone.replace(/..$/, ":$&")}`,
  );
}

/** The values of the extensions, by their OIDs' contents in hexadecimal. */
function readExtensions(contents: Uint8Array): Map<string, Uint8Array> {
  const values = new Map<string, Uint8Array>();
  for (const extension of readElements(contents)) {
    const members = readElements(extension.contents); // OID, critical (optional), value
    const oid = members[0];
    const value = members.at(-1);
    if (oid?.tag !== OBJECT_IDENTIFIER || value?.tag !== OCTET_STRING) {
      throw new Error("an extension holds something else");
    }
    values.set(toHex(oid.contents), value.contents);
  }
  return values;
}

/** RFC 5280 section 4.2.1.3: bit 2. The first octet of a BIT STRING counts unused bits. */
function hasKeyEncipherment(bitString: Uint8Array): boolean {
  return ((bitString[1] ?? 0) & 0x20) !== 0;
}
