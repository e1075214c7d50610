import { importDer } from "./keys.js";

/** A certificate in DER. */
export interface PlatformCertificate {
  readonly raw: Uint8Array;
}

/** @throws {Error} if it is no X.509 certificate with a key */
export function importCertificate(der: Uint8Array): PlatformCertificate {
  importDer(der, "certificate");
  return { raw: Uint8Array.from(der) };
}
