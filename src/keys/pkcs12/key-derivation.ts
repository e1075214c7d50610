import { createHash, pbkdf2 } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { Integer, ObjectIdentifier, OctetString } from "asn1js";
import { OcicryptError } from "../../errors.js";
import { abortable } from "../../io/abort.js";
import { MAX_PBKDF2_ITERATIONS } from "../../spec/limits.js";
import { childrenOf, octetsOf, type Asn1Node } from "../asn1.js";

/** AlgorithmIdentifier: RFC 5280 section 4.1.1.2. */
export interface Algorithm {
  id: string;
  parameters: Asn1Node | undefined;
}

/** @throws {Error} if it is malformed */
export function readAlgorithm(node: unknown): Algorithm {
  const [id, parameters] = childrenOf(node);
  return { id: identifierOf(id), parameters };
}

/** @throws {Error} if it is not an OBJECT IDENTIFIER */
export function identifierOf(node: unknown): string {
  if (!(node instanceof ObjectIdentifier)) throw new Error("an element is not an identifier");
  return node.getValue();
}

/** A positive INTEGER. @throws {Error} when it is not one, or too large to be exact */
export function countOf(node: unknown): number {
  const bytes = node instanceof Integer ? node.valueBlock.valueHexView : new Uint8Array();
  const value = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  const isNegative = ((bytes[0] ?? 0) & 0x80) !== 0;
  if (value === 0 || isNegative || bytes.byteLength > 6)
    throw new Error("an element is not a count");
  return value;
}

/**
 * Returns a number of iterations. It is limited, because the iterations run before it is known
 * whether the password is right.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED` if there are too many
 * @throws {Error} if it is not a count
 */
export function iterationsOf(node: unknown, most: number): number {
  const iterations = countOf(node);
  if (iterations <= most) return iterations;
  throw unsupported(`it derives a key with more than ${String(most)} iterations`);
}

/** @returns {@link OcicryptError} `KEY_UNSUPPORTED` */
export function unsupported(why: string): OcicryptError {
  return new OcicryptError("KEY_UNSUPPORTED", `the key file cannot be read: ${why}`);
}

/** A password in the forms that the key derivations need. */
export interface PasswordForms {
  /** UTF-16 with the most significant octet first and a NULL at the end: RFC 7292 appendix B.1. */
  bmpString: Buffer;
  /** For PBKDF2: RFC 8018 section 5.2, which leaves the encoding open, and RFC 9579 section 5. */
  utf8: Buffer;
}

/**
 * Returns the forms in which a password may have been used. An empty password has two forms: a
 * NULL, as in RFC 7292, and no bytes at all, as many programs write it. The MAC shows which form
 * was used.
 */
export function passwordForms(password: string | Uint8Array): PasswordForms[] {
  const utf8 = Buffer.from(password);
  const text = typeof password === "string" ? password : utf8.toString("utf8");
  const forms = [{ bmpString: Buffer.from(`${text}\0`, "utf16le").swap16(), utf8 }];
  return text === "" ? [...forms, { bmpString: Buffer.alloc(0), utf8 }] : forms;
}

export function wipeForms(forms: readonly PasswordForms[]): void {
  for (const { bmpString, utf8 } of forms) {
    bmpString.fill(0);
    utf8.fill(0);
  }
}

/** The parameters of PBKDF2. */
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

/**
 * PBKDF2-params: RFC 8018 appendix A.2.
 *
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED`
 * @throws {Error} if they are malformed
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
    iterations: iterationsOf(iterationCount, MAX_PBKDF2_ITERATIONS),
    keySize: keyLength && countOf(keyLength),
  };
}

/** The hash of an HMAC. @throws {@link OcicryptError} `KEY_UNSUPPORTED` */
export function hmacHash({ id }: Algorithm): string {
  const hash = HMAC_HASHES.get(id);
  if (hash === undefined) throw unsupported(`it uses ${id}, which is not a supported HMAC`);
  return hash;
}

/** @param keySize in bytes */
export function derivePbkdf2(
  { hash, salt, iterations }: Pbkdf2,
  password: Uint8Array,
  keySize: number,
  signal?: AbortSignal,
): Promise<Buffer> {
  return abortable(promisify(pbkdf2)(password, salt, iterations, keySize, hash), signal);
}

/** A hash with the sizes that RFC 7292 appendix B.2 calls u and v, in bytes. */
export interface KdfHash {
  name: string;
  size: number;
  blockSize: number;
}

export const SHA1: KdfHash = { name: "sha1", size: 20, blockSize: 64 };

/** The hashes of RFC 7292 appendix B.2, by their object identifiers. */
export const KDF_HASHES: ReadonlyMap<string, KdfHash> = /* @__PURE__ */ new Map([
  ["1.3.14.3.2.26", SHA1],
  ["2.16.840.1.101.3.4.2.4", { name: "sha224", size: 28, blockSize: 64 }],
  ["2.16.840.1.101.3.4.2.1", { name: "sha256", size: 32, blockSize: 64 }],
  ["2.16.840.1.101.3.4.2.2", { name: "sha384", size: 48, blockSize: 128 }],
  ["2.16.840.1.101.3.4.2.3", { name: "sha512", size: 64, blockSize: 128 }],
  ["2.16.840.1.101.3.4.2.5", { name: "sha512-224", size: 28, blockSize: 128 }],
  ["2.16.840.1.101.3.4.2.6", { name: "sha512-256", size: 32, blockSize: 128 }],
]);

/** The number of hashes that are computed without a pause, which takes a few milliseconds. */
const BATCH = 5000;

/** RFC 7292 appendix B.3. */
const PURPOSES = { key: 1, iv: 2, mac: 3 } as const;

export interface KdfInput {
  hash: KdfHash;
  /** The use of the derived bits. */
  purpose: keyof typeof PURPOSES;
  /** As a BMPString, with its NULL. */
  password: Uint8Array;
  salt: Uint8Array;
  iterations: number;
}

/**
 * The key derivation of RFC 7292 appendix B.2, which Node.js does not offer. It yields to the event
 * loop regularly, so that an aborted signal is noticed.
 *
 * @param size the size of the result in bytes
 */
export async function deriveBits(
  input: KdfInput,
  size: number,
  signal?: AbortSignal,
): Promise<Buffer> {
  const { hash, purpose, password, salt, iterations } = input;
  const { blockSize } = hash;
  const diversifier = Buffer.alloc(blockSize, PURPOSES[purpose]);
  const state = Buffer.concat([fillBlocks(salt, blockSize), fillBlocks(password, blockSize)]);
  const derived = Buffer.alloc(Math.ceil(size / hash.size) * hash.size);
  for (let start = 0; start < size; start += hash.size) {
    let digest = createHash(hash.name).update(diversifier).update(state).digest();
    for (let i = 1; i < iterations; i++) {
      digest = createHash(hash.name).update(digest).digest();
      if (i % BATCH !== 0) continue;
      await setImmediate();
      signal?.throwIfAborted();
    }
    digest.copy(derived, start);
    const addend = fillBlocks(digest, blockSize).subarray(0, blockSize);
    for (let block = 0; block < state.byteLength; block += blockSize) {
      increase(state.subarray(block, block + blockSize), addend);
    }
  }
  state.fill(0);
  return derived.subarray(0, size);
}

/** Repeats bytes up to the next multiple of a block. */
function fillBlocks(bytes: Uint8Array, blockSize: number): Buffer {
  const size = Math.ceil(bytes.byteLength / blockSize) * blockSize;
  return size === 0 ? Buffer.alloc(0) : Buffer.alloc(size, bytes);
}

/** Adds `addend` and 1 to `block`, both as numbers modulo the size of the block. */
function increase(block: Uint8Array, addend: Uint8Array): void {
  let carry = 1;
  for (let i = block.byteLength - 1; i >= 0; i--) {
    const sum = (block[i] ?? 0) + (addend[i] ?? 0) + carry;
    block[i] = sum; // modulo 256
    carry = sum >> 8;
  }
}
