import { BIT_STRING, readElements, SEQUENCE } from "../../keys/der.js";
import type { CertificateEngine } from "../types.js";
import type { PlatformKey } from "./keys.js";
import { isSignedBy } from "./signatures.js";

/** A certificate in DER. */
export interface PlatformCertificate {
  readonly raw: Uint8Array;
}

type Engine = CertificateEngine<PlatformCertificate, PlatformKey>;

/** TBSCertificate, AlgorithmIdentifier and signature of RFC 5280 section 4.1. */
const MEMBERS = [SEQUENCE, SEQUENCE, BIT_STRING].join();

export const importCertificate: Engine["importCertificate"] = (der) => {
  const [certificate, ...more] = readElements(der);
  const members = certificate?.tag === SEQUENCE ? readElements(certificate.contents) : [];
  const tags = members.map(({ tag }) => tag).join();
  if (more.length > 0 || tags !== MEMBERS) throw new Error("not a certificate");
  return { raw: Uint8Array.from(der) };
};

export const isIssuedBy: Engine["isIssuedBy"] = ({ raw }, _issuer, key) => isSignedBy(raw, key);
