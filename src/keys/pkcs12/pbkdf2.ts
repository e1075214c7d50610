import { pbkdf2 } from "node:crypto";
import { promisify } from "node:util";
import { Integer, OctetString } from "asn1js";
import { childrenOf, octetsOf } from "../asn1.js";
import { countOf, iterationsOf, readAlgorithm, unsupported, type Algorithm } from "./algorithm.js";

/** PBKDF2 with everything but the password. */
export interface Pbkdf2 {
  hash: string;
  salt: Uint8Array;
  iterations: number;
  /** In bytes. */
  keySize: number | undefined;
}

const PBKDF2 = "1.2.840.113549.1.5.12";

/** RFC 8018 appendix B.1. */
const HMAC_HASHES: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([
  ["1.2.840.113549.2.7", "sha1"],
  ["1.2.840.113549.2.8", "sha224"],
  ["1.2.840.113549.2.9", "sha256"],
  ["1.2.840.113549.2.10", "sha384"],
  ["1.2.840.113549.2.11", "sha512"],
  ["1.2.840.113549.2.12", "sha512-224"],
  ["1.2.840.113549.2.13", "sha512-256"],
]);

/** Some seconds. */
const MAX_ITERATIONS = 10_000_000;

/**
 * PBKDF2-params: RFC 8018 appendix A.2.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`
 * @throws {Error} when they are malformed
 */
export function readPbkdf2({ id, parameters }: Algorithm): Pbkdf2 {
  if (id !== PBKDF2) throw unsupported(`it derives a key with ${id}`);
  const [salt, iterationCount, ...rest] = childrenOf(parameters);
  if (!(salt instanceof OctetString)) throw new Error("the salt is elsewhere");
  const keyLength = rest[0] instanceof Integer ? rest.shift() : undefined;
  const [prf] = rest;
  return {
    hash: prf === undefined ? "sha1" : hmacHash(readAlgorithm(prf)),
    salt: octetsOf(salt),
    iterations: iterationsOf(iterationCount, MAX_ITERATIONS),
    keySize: keyLength && countOf(keyLength),
  };
}

/** The hash of an HMAC. @throws {@link OcicryptError} `KEY_UNSUPPORTED` */
export function hmacHash({ id }: Algorithm): string {
  const hash = HMAC_HASHES.get(id);
  if (hash === undefined) throw unsupported(`it uses ${id} and not an HMAC that is known here`);
  return hash;
}

/** @param keySize in bytes */
export function derivePbkdf2(
  { hash, salt, iterations }: Pbkdf2,
  password: Uint8Array,
  keySize: number,
): Promise<Buffer> {
  return promisify(pbkdf2)(password, salt, iterations, keySize, hash);
}
