import type { Direction } from "./cells.js";

/** What a peer can not do, and how it says so. */
export interface Limit {
  /** Who: what has an ocicrypt below this version, or another program. */
  peer: { ocicryptBelow: string } | "OpenSSL";
  schemes: RegExp;
  reason: string;
  /**
   * The directions that fail, with what the peer says. The tests see that it still does, so that
   * the end of a limit is noticed.
   */
  messages: Partial<Record<Direction, RegExp>>;
}

const PKCS11_AND_PROVIDERS = "PKCS#11 and key providers came with ocicrypt 1.1";
const CURVES = "OpenPGP keys of elliptic curves came with ocicrypt 1.3.2";

export const LIMITS: readonly Limit[] = [
  {
    peer: { ocicryptBelow: "1.1.0" },
    schemes: /^PKCS#11/,
    reason: PKCS11_AND_PROVIDERS,
    messages: {
      "theirs opens ours": /missing private key needed for decryption/,
      "ours opens theirs": /Provided protocol not recognized/,
    },
  },
  {
    peer: { ocicryptBelow: "1.1.0" },
    schemes: /^Key provider/,
    reason: PKCS11_AND_PROVIDERS,
    messages: {
      "theirs opens ours": /open provider:\w+: no such file/,
      "ours opens theirs": /Provided protocol not recognized/,
    },
  },
  {
    peer: { ocicryptBelow: "1.3.2" },
    schemes: /^OpenPGP, Curve25519/,
    reason: CURVES,
    messages: {
      "theirs opens ours": /missing private key needed for decryption/,
      "ours opens theirs": /unsupported feature: public key type: 22/,
    },
  },
  {
    peer: { ocicryptBelow: "1.3.2" },
    schemes: /^OpenPGP, NIST P-256/,
    reason: CURVES,
    messages: {
      "theirs opens ours": /panic: impossible/,
      "ours opens theirs": /because it has no encryption keys/,
    },
  },
  {
    peer: "OpenSSL",
    schemes: /^PKCS#7/,
    reason: "OpenSSL can not parse the AES-GCM parameters that the Go library writes and expects",
    messages: { "theirs opens ours": /type not constructed/ },
  },
];
