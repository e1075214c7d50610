import { X509Certificate } from "node:crypto";

export type PlatformCertificate = X509Certificate;

/** @throws {Error} if it is no X.509 certificate */
export function importCertificate(der: Uint8Array): PlatformCertificate {
  return new X509Certificate(der);
}
