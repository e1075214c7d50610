import type { Direction } from "./cells.js";

/** Something that a peer does not support, and how it fails. */
export interface Limit {
  /** Tools with an ocicrypt below this version, or another program. */
  peer: { ocicryptBelow: string } | "OpenSSL";
  schemes: RegExp;
  reason: string;
  /**
   * The directions that fail, with the peer's message. The tests verify that it still fails, so
   * that they notice when a limit is lifted.
   */
  messages: Partial<Record<Direction, RegExp>>;
}

const PKCS11_AND_PROVIDERS = "ocicrypt supports PKCS#11 and key providers from 1.1 on";
const CURVES = "ocicrypt supports OpenPGP keys with elliptic curves from 1.3.2 on";

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
    reason: "OpenSSL cannot parse the AES-GCM parameters that the Go library writes and expects",
    messages: { "theirs opens ours": /type not constructed/ },
  },
];
