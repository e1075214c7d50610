import { createAnyHmac } from "#engine/any-hash";
import { isEqual } from "#engine/hash";
import { decryptFile, scrypt } from "#engine/key-cipher";
import type { HashName } from "../../engine/types.js";
import { oldCipher } from "../../engine/unsupported.js";
import { OcicryptError } from "../../errors.js";
import { abortable } from "../../io/abort.js";
import { MAX_PKCS12_ITERATIONS, MAX_SCRYPT_MEMORY } from "../../spec/limits.js";
import { childrenOf, octetsOf, type Asn1Node } from "../asn1.js";
import {
  derivePbkdf2,
  readPbkdf2,
  deriveBits,
  SHA1,
  hmacHash,
  KDF_HASHES,
  iterationsOf,
  readAlgorithm,
  unsupported,
  countOf,
  type Algorithm,
  type PasswordForms,
} from "./key-derivation.js";

interface Cipher {
  name: string;
  keySize: number;
  blockSize: number;
}

const PBES2 = "1.2.840.113549.1.5.13";
const SCRYPT = "1.3.6.1.4.1.11591.4.11";
/** Each adds the full cost of N and r. */
const MAX_SCRYPT_PARALLELISM = 4;

/** RFC 8018 appendix B.2, RFC 3565 section 4.1, RFC 3657 section 2 and RFC 5794 section 3. */
const PBES2_CIPHERS: ReadonlyMap<string, Cipher> = /* @__PURE__ */ new Map([
  ["2.16.840.1.101.3.4.1.2", { name: "aes-128-cbc", keySize: 16, blockSize: 16 }],
  ["2.16.840.1.101.3.4.1.22", { name: "aes-192-cbc", keySize: 24, blockSize: 16 }],
  ["2.16.840.1.101.3.4.1.42", { name: "aes-256-cbc", keySize: 32, blockSize: 16 }],
  ["1.2.840.113549.3.7", { name: "des-ede3-cbc", keySize: 24, blockSize: 8 }],
  ["1.2.392.200011.61.1.1.1.2", { name: "camellia-128-cbc", keySize: 16, blockSize: 16 }],
  ["1.2.392.200011.61.1.1.1.3", { name: "camellia-192-cbc", keySize: 24, blockSize: 16 }],
  ["1.2.392.200011.61.1.1.1.4", { name: "camellia-256-cbc", keySize: 32, blockSize: 16 }],
  ["1.2.410.200046.1.1.2", { name: "aria-128-cbc", keySize: 16, blockSize: 16 }],
  ["1.2.410.200046.1.1.7", { name: "aria-192-cbc", keySize: 24, blockSize: 16 }],
  ["1.2.410.200046.1.1.12", { name: "aria-256-cbc", keySize: 32, blockSize: 16 }],
]);

/** RFC 7292 appendix C. The provider of OpenSSL 3 that Node.js loads has neither RC2 nor RC4. */
const PKCS12_CIPHERS: ReadonlyMap<string, Cipher> = /* @__PURE__ */ new Map([
  ["1.2.840.113549.1.12.1.3", { name: "des-ede3-cbc", keySize: 24, blockSize: 8 }],
  ["1.2.840.113549.1.12.1.4", { name: "des-ede-cbc", keySize: 16, blockSize: 8 }],
]);

/** Ciphers that only OpenSSL's legacy provider has: RFC 8018 appendix A.3, RFC 7292 appendix C. */
const OLD_CIPHERS: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([
  ["1.2.840.113549.1.5.1", "PBE with MD2 and DES"],
  ["1.2.840.113549.1.5.3", "PBE with MD5 and DES"],
  ["1.2.840.113549.1.5.4", "PBE with MD2 and RC2"],
  ["1.2.840.113549.1.5.6", "PBE with MD5 and RC2"],
  ["1.2.840.113549.1.5.10", "PBE with SHA-1 and DES"],
  ["1.2.840.113549.1.5.11", "PBE with SHA-1 and RC2"],
  ["1.3.14.3.2.7", "DES"],
  ["1.2.840.113549.3.2", "RC2"],
  ["1.2.840.113549.1.12.1.1", "RC4"],
  ["1.2.840.113549.1.12.1.2", "RC4"],
  ["1.2.840.113549.1.12.1.5", "RC2"],
  ["1.2.840.113549.1.12.1.6", "RC2"],
]);

/**
 * Decrypts a part of the file. The file belongs to the caller, so a padding error reveals nothing
 * to others.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`, `PASSWORD_WRONG`
 * @throws {Error} if the algorithm's parameters are malformed
 */
export async function decrypt(
  algorithm: Algorithm,
  ciphertext: Uint8Array,
  password: PasswordForms,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const { cipher, key, iv } = await deriveKey(algorithm, password, signal);
  try {
    const decryption = { name: cipher.name, key, iv, isPadded: true };
    const plaintext = await decryptFile(decryption, ciphertext);
    if (plaintext !== undefined) return plaintext;
    throw otherPassword();
  } finally {
    key.fill(0);
  }
}

/** Returns the error for a file whose parts have another password than its MAC. */
export function otherPassword(): OcicryptError {
  const message = "a part of the PKCS#12 file has another password than the file itself";
  return new OcicryptError("PASSWORD_WRONG", message);
}

interface DerivedKey {
  cipher: Cipher;
  key: Uint8Array;
  iv: Uint8Array;
}

async function deriveKey(
  algorithm: Algorithm,
  password: PasswordForms,
  signal?: AbortSignal,
): Promise<DerivedKey> {
  const { id, parameters } = algorithm;
  if (id === PBES2) return deriveForPbes2(parameters, password, signal);
  const cipher = PKCS12_CIPHERS.get(id);
  if (cipher === undefined) throw unsupportedCipher(id);
  return deriveForPkcs12(cipher, parameters, password, signal);
}

function unsupportedCipher(id: string): OcicryptError {
  const old = OLD_CIPHERS.get(id);
  return old === undefined ? unsupported(`it is encrypted with ${id}`) : oldCipher(old);
}

/** PBES2-params: RFC 8018 appendix A.4. */
async function deriveForPbes2(
  parameters: Asn1Node | undefined,
  { utf8 }: PasswordForms,
  signal?: AbortSignal,
): Promise<DerivedKey> {
  const [keyDerivation, encryption] = childrenOf(parameters).map(readAlgorithm);
  if (keyDerivation === undefined || encryption === undefined) throw new Error("no PBES2-params");
  const cipher = PBES2_CIPHERS.get(encryption.id);
  if (cipher === undefined) throw unsupportedCipher(encryption.id);
  const { keySize, blockSize } = cipher;
  const iv = octetsOf(encryption.parameters);
  if (keyDerivation.id === SCRYPT) {
    if (iv.byteLength !== blockSize) throw new Error("the sizes do not fit the cipher");
    return { cipher, key: await deriveScrypt(keyDerivation, utf8, keySize, signal), iv };
  }
  const pbkdf2 = readPbkdf2(keyDerivation);
  if (iv.byteLength !== blockSize || (pbkdf2.keySize ?? keySize) !== keySize) {
    throw new Error("the sizes do not fit the cipher");
  }
  return { cipher, key: await derivePbkdf2(pbkdf2, utf8, keySize, signal), iv };
}

/** scrypt-params: RFC 7914 section 7. */
async function deriveScrypt(
  { parameters }: Algorithm,
  password: Uint8Array,
  keySize: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const [salt, ...numbers] = childrenOf(parameters);
  const [N = 0, r = 0, p = 0, size = keySize] = numbers.map(countOf);
  if (size !== keySize) throw new Error("the sizes do not fit the cipher");
  if (128 * N * r > MAX_SCRYPT_MEMORY || p > MAX_SCRYPT_PARALLELISM) {
    throw unsupported("it derives a key with more memory or work than is allowed");
  }
  const input = { password, salt: octetsOf(salt), N, r, p, maxMemory: 2 * MAX_SCRYPT_MEMORY };
  return abortable(scrypt(input, keySize), signal);
}

/** pkcs-12PbeParams: RFC 7292 appendix C. */
async function deriveForPkcs12(
  cipher: Cipher,
  parameters: Asn1Node | undefined,
  { bmpString }: PasswordForms,
  signal?: AbortSignal,
): Promise<DerivedKey> {
  const [salt, iterationCount] = childrenOf(parameters);
  const input = {
    hash: SHA1,
    password: bmpString,
    salt: octetsOf(salt),
    iterations: iterationsOf(iterationCount, MAX_PKCS12_ITERATIONS),
  };
  return {
    cipher,
    key: await deriveBits({ ...input, purpose: "key" }, cipher.keySize, signal),
    iv: await deriveBits({ ...input, purpose: "iv" }, cipher.blockSize, signal),
  };
}

/** Checks whether a password and the contents match the MAC. */
export type MacCheck = (
  contents: Uint8Array,
  password: PasswordForms,
  signal?: AbortSignal,
) => Promise<boolean>;

const PBMAC1 = "1.2.840.113549.1.5.14";
/** In bytes: the minimum of RFC 9579 section 9, and far more than any hash uses. */
const MIN_PBMAC1_KEY = 20;
const MAX_PBMAC1_KEY = 1024;

/**
 * MacData: RFC 7292 section 4.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`
 * @throws {Error} if it is malformed
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
    purpose: "mac" as const,
    salt: octetsOf(salt),
    iterations: iterations === undefined ? 1 : iterationsOf(iterations, MAX_PKCS12_ITERATIONS),
  };
  return async (contents, { bmpString }, signal) => {
    const key = await deriveBits({ ...input, password: bmpString }, hash.size, signal);
    return isMac(hash.name, key, contents, expected);
  };
}

/** PBMAC1-params: RFC 8018 appendix A.5. RFC 9579 section 5: salt and count of MacData are not used. */
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
  return async (contents, { utf8 }, signal) =>
    isMac(hash, await derivePbkdf2(pbkdf2, utf8, keySize, signal), contents, expected);
}

function isMac(
  hash: HashName,
  key: Uint8Array,
  contents: Uint8Array,
  expected: Uint8Array,
): boolean {
  const mac = createAnyHmac(hash, key).update(contents).digest();
  key.fill(0);
  return isEqual(mac, expected);
}
