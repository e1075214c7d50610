import { join } from "node:path";
import { VECTORS } from "../peers.js";
import { HAS_GPG, HAS_SOFTHSM, PASSWORD, type KeyRings } from "./environment.js";

/** A row of the matrix. */
export interface Scheme {
  name: string;
  recipients: string[];
  /** Keys of peers; each list has to open alone. */
  keys: string[][];
  /** Those of this library where they differ. */
  ownKeys?: string[][];
  /** Recipients that this library adds to what is encrypted. */
  added?: string[];
  gnupgHome?: string;
  /** A program that is missing here. */
  missing?: string | undefined;
}

/** Files that tests make. */
export interface MadeFiles {
  rings: KeyRings;
  nistp256: string;
  token: string;
}

const file = (name: string): string => join(VECTORS, "peers", "keys", name);
const [rsa2048, rsa3072, rsa4096, ec256] = ["rsa2048", "rsa3072", "rsa4096", "ec256"].map(
  (name) => ({
    jwe: `jwe:${file(`${name}.pub.pem`)}`,
    pkcs7: `pkcs7:${file(`cert-${name}.pem`)}`,
    key: file(`${name}.pkcs8.pem`),
    pair: [file(`${name}.pkcs8.pem`), file(`cert-${name}.pem`)],
  }),
) as [PemKey, PemKey, PemKey, PemKey];

interface PemKey {
  jwe: string;
  pkcs7: string;
  key: string;
  pair: string[];
}

export function schemes({ rings, nistp256, token }: MadeFiles): Scheme[] {
  const gpg = HAS_GPG ? undefined : "gpg";
  const softhsm = HAS_SOFTHSM ? undefined : "softhsm2";
  const pgpRsa = file("pgp/rsa2048.sec.gpg");
  return [
    { name: "JWE, RSA", recipients: [rsa2048.jwe], keys: [[rsa2048.key]] },
    { name: "JWE, EC P-256", recipients: [ec256.jwe], keys: [[ec256.key]] },
    {
      name: "JWE, JWK for RSA-OAEP-256",
      recipients: [`jwe:${file("rsa2048.pub.RSA-OAEP-256.jwk")}`],
      keys: [[rsa2048.key]],
    },
    {
      name: "JWE, several recipients",
      recipients: [rsa2048.jwe, ec256.jwe, rsa4096.jwe],
      keys: [[rsa2048.key], [ec256.key], [rsa4096.key]],
    },
    { name: "PKCS#7, one recipient", recipients: [rsa2048.pkcs7], keys: [rsa2048.pair] },
    {
      name: "PKCS#7, several recipients",
      recipients: [rsa2048.pkcs7, rsa3072.pkcs7, rsa4096.pkcs7],
      keys: [rsa2048.pair, rsa3072.pair, rsa4096.pair],
    },
    {
      name: "OpenPGP, RSA",
      recipients: ["pgp:rsa2048@example.org"],
      keys: [[pgpRsa]],
      gnupgHome: rings.rsa,
      missing: gpg,
    },
    {
      name: "OpenPGP, Curve25519",
      recipients: ["pgp:cv25519@example.org"],
      keys: [[file("pgp/cv25519.sec.gpg")]],
      gnupgHome: rings.cv25519,
      missing: gpg,
    },
    {
      name: "OpenPGP, NIST P-256",
      recipients: ["pgp:nistp256@example.org"],
      keys: [[nistp256]],
      gnupgHome: rings.nistp256,
      missing: gpg,
    },
    {
      name: "OpenPGP, key with a passphrase",
      recipients: ["pgp:pass@example.org"],
      keys: [[`${file("pgp/pass.sec.gpg")}:pass=${PASSWORD}`]],
      gnupgHome: rings.rsa,
      missing: gpg,
    },
    {
      name: "PKCS#11, RSA-OAEP with SHA-1",
      recipients: [`pkcs11:${file("rsa2048.pub.pem")}`],
      keys: [[token]],
      // The same key, in software.
      ownKeys: [[rsa2048.key]],
      missing: softhsm,
    },
    {
      name: "Key provider, command",
      recipients: ["provider:command"],
      keys: [["provider:command"]],
    },
    { name: "Key provider, gRPC", recipients: ["provider:server"], keys: [["provider:server"]] },
    {
      name: "JWE, PKCS#7 and OpenPGP together",
      recipients: [rsa2048.jwe, rsa3072.pkcs7, "pgp:rsa2048@example.org"],
      keys: [[rsa2048.key], rsa3072.pair, [pgpRsa]],
      gnupgHome: rings.rsa,
      missing: gpg,
    },
    {
      name: "Recipients added by this library",
      recipients: [rsa2048.jwe],
      added: [ec256.jwe, rsa3072.jwe, rsa3072.pkcs7],
      keys: [[rsa2048.key], [ec256.key], [rsa3072.key], rsa3072.pair],
    },
  ];
}
