import { concat, fromUtf8, toUtf8 } from "#engine/bytes";
import { createAnyHash } from "#engine/any-hash";
import { pbkdf2 } from "#engine/key-cipher";
import { nextTurn } from "#engine/turn";
import { Integer, ObjectIdentifier, OctetString } from "asn1js";
import type { HashName } from "../../engine/types.js";
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
  bmpString: Uint8Array;
  /** For PBKDF2: RFC 8018 section 5.2, which leaves the encoding open, and RFC 9579 section 5. */
  utf8: Uint8Array;
}

/**
 * Returns the forms in which a password may have been used. An empty password has two forms: a
 * NULL, as in RFC 7292, and no bytes at all, as many programs write it. The MAC shows which form
 * was used.
 */
export function passwordForms(password: string | Uint8Array): PasswordForms[] {
  const utf8 = typeof password === "string" ? fromUtf8(password) : Uint8Array.from(password);
  const text = typeof password === "string" ? password : toUtf8(utf8);
  const forms = [{ bmpString: toBmpString(`${text}\0`), utf8 }];
  return text === "" ? [...forms, { bmpString: new Uint8Array(), utf8 }] : forms;
}

function toBmpString(text: string): Uint8Array {
  const bytes = new Uint8Array(2 * text.length);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < text.length; at++) view.setUint16(2 * at, text.charCodeAt(at));
  return bytes;
}

export function wipeForms(forms: readonly PasswordForms[]): void {
  for (const { bmpString, utf8 } of forms) {
    bmpString.fill(0);
    utf8.fill(0);
  }
}

/** The parameters of PBKDF2. */
export interface Pbkdf2 {
  hash: HashName;
  salt: Uint8Array;
  iterations: number;
  /** In bytes. */
  keySize: number | undefined;
}

const PBKDF2 = "1.2.840.113549.1.5.12";

/** RFC 8018 appendix B.1. */
const HMAC_HASHES: ReadonlyMap<string, HashName> = /* @__PURE__ */ new Map([
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

/** A key of AES-256 needs two blocks of SHA-1. */
const MAX_PBKDF2_BLOCKS = 2;

function sizeOf(hash: HashName): number {
  return createAnyHash(hash).digest().byteLength;
}

/** The hash of an HMAC. @throws {@link OcicryptError} `KEY_UNSUPPORTED` */
export function hmacHash({ id }: Algorithm): HashName {
  const hash = HMAC_HASHES.get(id);
  if (hash === undefined) throw unsupported(`it uses ${id}, which is not a supported HMAC`);
  return hash;
}

/**
 * @param keySize in bytes
 * @throws {@link OcicryptError} `KEY_UNSUPPORTED` for a key so long that it takes far more time
 */
export async function derivePbkdf2(
  { hash, salt, iterations }: Pbkdf2,
  password: Uint8Array,
  keySize: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  // RFC 8018 section 5.2: all iterations run again for each block as long as the hash.
  const blocks = Math.ceil(keySize / sizeOf(hash));
  if (blocks * iterations > MAX_PBKDF2_BLOCKS * MAX_PBKDF2_ITERATIONS) {
    throw unsupported("it derives a key with more iterations for its length than are allowed");
  }
  return abortable(pbkdf2({ hash, password, salt, iterations }, keySize), signal);
}

/** A hash with the sizes that RFC 7292 appendix B.2 calls u and v, in bytes. */
export interface KdfHash {
  name: HashName;
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
): Promise<Uint8Array> {
  const { hash, purpose, password, salt, iterations } = input;
  const { blockSize } = hash;
  const diversifier = new Uint8Array(blockSize).fill(PURPOSES[purpose]);
  const state = concat([fillBlocks(salt, blockSize), fillBlocks(password, blockSize)]);
  const derived = new Uint8Array(Math.ceil(size / hash.size) * hash.size);
  for (let start = 0; start < size; start += hash.size) {
    let digest = digestOf(hash, diversifier, state);
    for (let i = 1; i < iterations; i++) {
      digest = digestOf(hash, digest);
      if (i % BATCH !== 0) continue;
      await nextTurn();
      signal?.throwIfAborted();
    }
    derived.set(digest, start);
    const addend = fillBlocks(digest, blockSize).subarray(0, blockSize);
    for (let block = 0; block < state.byteLength; block += blockSize) {
      increase(state.subarray(block, block + blockSize), addend);
    }
  }
  state.fill(0);
  return derived.subarray(0, size);
}

function digestOf({ name }: KdfHash, ...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createAnyHash(name);
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** Repeats bytes up to the next multiple of a block. */
function fillBlocks(bytes: Uint8Array, blockSize: number): Uint8Array {
  const filled = new Uint8Array(Math.ceil(bytes.byteLength / blockSize) * blockSize);
  for (let at = 0; at < filled.byteLength; at += bytes.byteLength) {
    filled.set(bytes.subarray(0, filled.byteLength - at), at);
  }
  return filled;
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
