import { X509Certificate, type KeyObject } from "node:crypto";
import { OcicryptError } from "../../errors.js";
import { readKeyMaterial, unrecognized, type KeyMaterial } from "../../keys/material.js";
import { readTbsCertificate, type TbsCertificate } from "./tbs-certificate.js";

/** X.509 certificates as their owner has them: PEM text, or the bytes of a PEM or DER file. */
export type CertificateInput = string | Uint8Array;

/** A certificate with what its messages name it by. */
export interface Certificate extends TbsCertificate {
  x509: X509Certificate;
  /** `undefined` for a key of a kind that OpenSSL does not know. */
  publicKey: KeyObject | undefined;
}

/**
 * The certificates of a file, each once.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_IS_PRIVATE`
 */
export function readCertificates(input: CertificateInput): Certificate[] {
  const material = readKeyMaterial(input);
  if (isPrivate(material)) {
    const message = "this is a private key; a certificate is needed";
    throw new OcicryptError("KEY_IS_PRIVATE", message);
  }
  const certificates = certificatesIn(material);
  if (certificates.length === 0) throw notCertificate(material);
  return certificates;
}

/** The certificates among key material, each once. */
export function certificatesIn(material: KeyMaterial): Certificate[] {
  if (material.form === "der") {
    return material.kind === "certificate" ? [parseCertificate(material.bytes)] : [];
  }
  if (material.form === "jwk") return [];
  const certificates = material.blocks
    .filter(({ label }) => label === "CERTIFICATE" || label === "X509 CERTIFICATE")
    .map(({ text }) => parseCertificate(text));
  return certificates.filter(
    ({ x509 }, index) =>
      certificates.findIndex((other) => other.x509.raw.equals(x509.raw)) === index,
  );
}

/**
 * The certificates of a bundle that did not issue another one of it: of a chain its leaf, of
 * unrelated certificates all.
 */
export function leavesOf(certificates: readonly Certificate[]): Certificate[] {
  return certificates.filter(
    (certificate) => !certificates.some((other) => isIssuedBy(other, certificate)),
  );
}

/** How to call a certificate in a message. */
export function certificateName({ x509 }: Certificate): string {
  // Node puts each part of a name on a line of its own and escapes what is not printable.
  const subject = x509.subject.replaceAll("\n", ", ").slice(0, 200);
  return `the certificate ${subject === "" ? x509.serialNumber : JSON.stringify(subject)}`;
}

function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  const key = issuer.publicKey;
  if (key === undefined || !certificate.x509.checkIssued(issuer.x509)) return false;
  // Certificates that one key has issued for itself, such as a renewed one, are no chain.
  if (certificate.publicKey?.equals(key) === true) return false;
  // Names alone do not tell: self-signed certificates of one name seem to issue one another.
  return certificate.x509.verify(key);
}

function parseCertificate(input: CertificateInput): Certificate {
  let x509: X509Certificate;
  try {
    x509 = new X509Certificate(input);
    return { x509, publicKey: publicKeyOf(x509), ...readTbsCertificate(x509.raw) };
  } catch (cause) {
    throw new OcicryptError("KEY_UNRECOGNIZED", "the certificate is damaged", { cause });
  }
}

function publicKeyOf(x509: X509Certificate): KeyObject | undefined {
  try {
    return x509.publicKey;
  } catch {
    return undefined;
  }
}

function notCertificate(material: KeyMaterial): OcicryptError {
  if (material.form === "pem") {
    const label = material.blocks[0]?.label.slice(0, 40) ?? "";
    if (!label.endsWith("PUBLIC KEY")) return unrecognized(`its PEM block is "${label}"`);
  }
  if (material.form === "der" && material.kind === "pkcs12") {
    return unrecognized("PKCS#12 holds a private key; export the certificate from it");
  }
  const message = "this is a public key; PKCS#7 needs a certificate of it";
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
  }
}
