import { X509Certificate } from "node:crypto";
import type { CertificateEngine } from "../types.js";
import type { PlatformKey } from "./keys.js";

export type PlatformCertificate = X509Certificate;

type Engine = CertificateEngine<PlatformCertificate, PlatformKey>;

export const importCertificate: Engine["importCertificate"] = (der) => new X509Certificate(der);

export const isIssuedBy: Engine["isIssuedBy"] = (certificate, issuer, key) =>
  certificate.checkIssued(issuer) && certificate.verify(key);
