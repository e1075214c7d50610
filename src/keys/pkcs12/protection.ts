import { Integer, ObjectIdentifier } from "asn1js";
import { OcicryptError } from "../../errors.js";
import { childrenOf, type Asn1Node, octetsOf } from "../asn1.js";
import { createDecipheriv, createHmac, timingSafeEqual } from "node:crypto";
import {
  derivePbkdf2,
  readPbkdf2,
  deriveBits,
  INITIAL_VALUE,
  KEY_MATERIAL,
  MAX_KDF_ITERATIONS,
  SHA1,
  hmacHash,
  KDF_HASHES,
  MAC_KEY,
  type PasswordForms,
} from "./key-derivation.js";

/** AlgorithmIdentifier: RFC 5280 section 4.1.1.2. */
export interface Algorithm {
  id: string;
  parameters: Asn1Node | undefined;
}

/** @throws {Error} when it is malformed */
export function readAlgorithm(node: unknown): Algorithm {
  const [id, parameters] = childrenOf(node);
  return { id: identifierOf(id), parameters };
}

/** @throws {Error} when it is no OBJECT IDENTIFIER */
export function identifierOf(node: unknown): string {
  if (!(node instanceof ObjectIdentifier)) throw new Error("an element is no identifier");
  return node.getValue();
}

/** A positive INTEGER. @throws {Error} when it is none, or not exact as a number */
export function countOf(node: unknown): number {
  const bytes = node instanceof Integer ? node.valueBlock.valueHexView : new Uint8Array();
  const value = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  const isNegative = ((bytes[0] ?? 0) & 0x80) !== 0;
  if (value === 0 || isNegative || bytes.byteLength > 6) throw new Error("an element is no count");
  return value;
}

/**
 * A number of iterations. They are spent before anything tells whether the file deserves it.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED` when there are too many
 * @throws {Error} when it is none
 */
export function iterationsOf(node: unknown, most: number): number {
  const iterations = countOf(node);
  if (iterations <= most) return iterations;
  throw unsupported(`it derives a key with more than ${String(most)} iterations`);
}

/** @returns {@link OcicryptError} `KEY_UNSUPPORTED` */
export function unsupported(why: string): OcicryptError {
  return new OcicryptError("KEY_UNSUPPORTED", `the PKCS #12 file can not be read: ${why}`);
}

interface Cipher {
  name: string;
  keySize: number;
  blockSize: number;
}

const PBES2 = "1.2.840.113549.1.5.13";

/** RFC 8018 appendix B.2, RFC 3565 section 4.1. */
const PBES2_CIPHERS: ReadonlyMap<string, Cipher> = /* @__PURE__ */ new Map([
  ["2.16.840.1.101.3.4.1.2", { name: "aes-128-cbc", keySize: 16, blockSize: 16 }],
  ["2.16.840.1.101.3.4.1.22", { name: "aes-192-cbc", keySize: 24, blockSize: 16 }],
  ["2.16.840.1.101.3.4.1.42", { name: "aes-256-cbc", keySize: 32, blockSize: 16 }],
  ["1.2.840.113549.3.7", { name: "des-ede3-cbc", keySize: 24, blockSize: 8 }],
]);

/** RFC 7292 appendix C. OpenSSL 3 has neither RC2 nor RC4 in the provider that Node loads. */
const PKCS12_CIPHERS: ReadonlyMap<string, Cipher> = /* @__PURE__ */ new Map([
  ["1.2.840.113549.1.12.1.3", { name: "des-ede3-cbc", keySize: 24, blockSize: 8 }],
  ["1.2.840.113549.1.12.1.4", { name: "des-ede-cbc", keySize: 16, blockSize: 8 }],
]);

const NAMES: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([
  ["1.2.840.113549.1.12.1.1", "RC4"],
  ["1.2.840.113549.1.12.1.2", "RC4"],
  ["1.2.840.113549.1.12.1.5", "RC2"],
  ["1.2.840.113549.1.12.1.6", "RC2"],
]);

/**
 * Decrypts a part of the file. The MAC over all the file was right, so a padding that is wrong
 * tells nothing to anybody but the owner of the password.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`, `PASSWORD_WRONG`
 * @throws {Error} when the algorithm's parameters are malformed
 */
export async function decrypt(
  algorithm: Algorithm,
  ciphertext: Uint8Array,
  password: PasswordForms,
): Promise<Buffer> {
  const { cipher, key, iv } = await deriveKey(algorithm, password);
  try {
    const decipher = createDecipheriv(cipher.name, key, iv);
    const plaintext = Buffer.alloc(ciphertext.byteLength);
    // Not Buffer.concat(): every copy of a private key would be one more to wipe.
    const parts = [decipher.update(ciphertext), decipher.final()];
    let size = 0;
    for (const part of parts) {
      part.copy(plaintext, size);
      size += part.byteLength;
      part.fill(0);
    }
    return plaintext.subarray(0, size);
  } catch {
    throw otherPassword();
  } finally {
    key.fill(0);
  }
}

/** For a file that was made with one password for its MAC and another for a part of it. */
export function otherPassword(): OcicryptError {
  const message = "a part of the PKCS #12 file has another password than the file itself";
  return new OcicryptError("PASSWORD_WRONG", message);
}

interface DerivedKey {
  cipher: Cipher;
  key: Buffer;
  iv: Uint8Array;
}

function deriveKey(algorithm: Algorithm, password: PasswordForms): Promise<DerivedKey> {
  const { id, parameters } = algorithm;
  if (id === PBES2) return deriveForPbes2(parameters, password);
  const cipher = PKCS12_CIPHERS.get(id);
  if (cipher === undefined) throw unsupported(`it is encrypted with ${NAMES.get(id) ?? id}`);
  return Promise.resolve(deriveForPkcs12(cipher, parameters, password));
}

/** PBES2-params: RFC 8018 appendix A.4. */
async function deriveForPbes2(
  parameters: Asn1Node | undefined,
  { utf8 }: PasswordForms,
): Promise<DerivedKey> {
  const [keyDerivation, encryption] = childrenOf(parameters).map(readAlgorithm);
  if (keyDerivation === undefined || encryption === undefined) throw new Error("no PBES2-params");
  const cipher = PBES2_CIPHERS.get(encryption.id);
  if (cipher === undefined) throw unsupported(`it is encrypted with ${encryption.id}`);
  const { keySize, blockSize } = cipher;
  const iv = octetsOf(encryption.parameters);
  const pbkdf2 = readPbkdf2(keyDerivation);
  if (iv.byteLength !== blockSize || (pbkdf2.keySize ?? keySize) !== keySize) {
    throw new Error("the sizes do not fit the cipher");
  }
  return { cipher, key: await derivePbkdf2(pbkdf2, utf8, keySize), iv };
}

/** pkcs-12PbeParams: RFC 7292 appendix C. */
function deriveForPkcs12(
  cipher: Cipher,
  parameters: Asn1Node | undefined,
  { bmpString }: PasswordForms,
): DerivedKey {
  const [salt, iterationCount] = childrenOf(parameters);
  const input = {
    hash: SHA1,
    password: bmpString,
    salt: octetsOf(salt),
    iterations: iterationsOf(iterationCount, MAX_KDF_ITERATIONS),
  };
  return {
    cipher,
    key: deriveBits({ ...input, purpose: KEY_MATERIAL }, cipher.keySize),
    iv: deriveBits({ ...input, purpose: INITIAL_VALUE }, cipher.blockSize),
  };
}

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
