import { createHmac, timingSafeEqual } from "node:crypto";
import { childrenOf, octetsOf, type Asn1Node } from "../asn1.js";
import { iterationsOf, readAlgorithm, unsupported, type Algorithm } from "./algorithm.js";
import type { PasswordForms } from "./password.js";
import { derivePbkdf2, hmacHash, readPbkdf2 } from "./pbkdf2.js";
import { deriveBits, KDF_HASHES, MAC_KEY, MAX_KDF_ITERATIONS } from "./pkcs12-kdf.js";

/** Whether the contents are what was protected with a password. */
export type MacCheck = (contents: Uint8Array, password: PasswordForms) => Promise<boolean>;

const PBMAC1 = "1.2.840.113549.1.5.14";
/** RFC 9579 section 9 has the lower one; the upper one is far above what any hash has use for. */
const MIN_PBMAC1_KEY = 20;
const MAX_PBMAC1_KEY = 1024;

/**
 * MacData: RFC 7292 section 4.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`
 * @throws {Error} when it is malformed
 */
export function readMac(macData: Asn1Node): MacCheck {
  const [digestInfo, salt, iterations] = childrenOf(macData);
  const [digestAlgorithm, digest] = childrenOf(digestInfo);
  const algorithm = readAlgorithm(digestAlgorithm);
  const expected = octetsOf(digest);
  if (algorithm.id === PBMAC1) return readPbmac1(algorithm, expected);

  const hash = KDF_HASHES.get(algorithm.id);
  if (hash === undefined) throw unsupported(`its MAC is made with ${algorithm.id}`);
  const input = {
    hash,
    purpose: MAC_KEY,
    salt: octetsOf(salt),
    iterations: iterations === undefined ? 1 : iterationsOf(iterations, MAX_KDF_ITERATIONS),
  };
  return (contents, { bmpString }) => {
    const key = deriveBits({ ...input, password: bmpString }, hash.size);
    return Promise.resolve(isMac(hash.name, key, contents, expected));
  };
}

/** PBMAC1-params: RFC 8018 appendix A.5. RFC 9579 section 5: salt and count of MacData are void. */
function readPbmac1({ parameters }: Algorithm, expected: Uint8Array): MacCheck {
  const [keyDerivation, messageAuthentication] = childrenOf(parameters).map(readAlgorithm);
  if (keyDerivation === undefined || messageAuthentication === undefined) {
    throw new Error("no PBMAC1-params");
  }
  const pbkdf2 = readPbkdf2(keyDerivation);
  const hash = hmacHash(messageAuthentication);
  const { keySize = 0 } = pbkdf2;
  if (keySize < MIN_PBMAC1_KEY || keySize > MAX_PBMAC1_KEY) {
    throw unsupported(`the key of its MAC has ${String(keySize)} bytes`);
  }
  return async (contents, { utf8 }) =>
    isMac(hash, await derivePbkdf2(pbkdf2, utf8, keySize), contents, expected);
}

function isMac(hash: string, key: Buffer, contents: Uint8Array, expected: Uint8Array): boolean {
  const mac = createHmac(hash, key).update(contents).digest();
  key.fill(0);
  return mac.byteLength === expected.byteLength && timingSafeEqual(mac, expected);
}
