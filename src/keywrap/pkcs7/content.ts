import { decryptCbc, decryptGcm, hasContentCipher } from "#engine/content-cipher";
import { type AlgorithmIdentifier, EncryptedContentInfo } from "pkijs";
import { parsePrivateOptions, wipePrivateOptions } from "../../cipher/options.js";
import type { Authentication } from "../../engine/types.js";
import { OcicryptError } from "../../errors.js";
import { childrenOf, octetsOf, parseBer, smallIntegerOf } from "../../keys/asn1.js";
import { MAX_CMS_NODES } from "../../spec/limits.js";
import { attempt, type CmsMessage } from "./message.js";

/** An EncryptedContentInfo: RFC 5652 section 6.1. */
export interface EncryptedContent {
  algorithm: AlgorithmIdentifier;
  ciphertext: Uint8Array;
  /** Only AuthEnvelopedData has the authentication tag apart from the ciphertext. */
  authentication: Authentication | undefined;
}

/** The cipher of an encrypted content, which lacks only the key. */
export interface ContentDecryption {
  /** In bytes. */
  keySize: number;
  /** Returns `null` for every failure alike: a wrong key, a wrong tag, a wrong padding. */
  decrypt(key: Uint8Array): Uint8Array | null;
}

interface Aead {
  name: string;
  keySize: number;
}

interface BlockCipher {
  name: string;
  keySize: number;
  blockSize: number;
}

/** RFC 5084 section 3.2. */
const GCM: ReadonlyMap<string, Aead> = /* @__PURE__ */ new Map<string, Aead>([
  ["2.16.840.1.101.3.4.1.6", { name: "aes-128-gcm", keySize: 16 }],
  ["2.16.840.1.101.3.4.1.26", { name: "aes-192-gcm", keySize: 24 }],
  ["2.16.840.1.101.3.4.1.46", { name: "aes-256-gcm", keySize: 32 }],
]);

/** RFC 3565 section 4.1, RFC 3370 section 5.1. The OpenSSL of Node.js lacks single DES. */
const CBC: ReadonlyMap<string, BlockCipher> = /* @__PURE__ */ new Map([
  ["2.16.840.1.101.3.4.1.2", { name: "aes-128-cbc", keySize: 16, blockSize: 16 }],
  ["2.16.840.1.101.3.4.1.22", { name: "aes-192-cbc", keySize: 24, blockSize: 16 }],
  ["2.16.840.1.101.3.4.1.42", { name: "aes-256-cbc", keySize: 32, blockSize: 16 }],
  ["1.2.840.113549.3.7", { name: "des-ede3-cbc", keySize: 24, blockSize: 8 }],
]);

/** RFC 5084 section 3.2: from 12 to 16 bytes. */
const MIN_TAG_SIZE = 12;
const MAX_TAG_SIZE = 16;
const DEFAULT_TAG_SIZE = 12;
const MAX_NONCE_SIZE = 64;

/** @throws {@link OcicryptError} `WRAPPED_KEY_UNSUPPORTED`, `WRAPPED_KEY_INVALID` */
export function readContentCipher(content: EncryptedContent): ContentDecryption {
  const { algorithmId } = content.algorithm;
  const gcm = GCM.get(algorithmId);
  if (gcm !== undefined) return readGcm(gcm, content);
  const cbc = CBC.get(algorithmId);
  if (cbc !== undefined && content.authentication === undefined) return readCbc(cbc, content);
  const message = `a wrapped key's content is encrypted with ${algorithmId.slice(0, 40)}`;
  throw new OcicryptError("WRAPPED_KEY_UNSUPPORTED", message);
}

/** @throws {@link OcicryptError} `WRAPPED_KEY_INVALID` */
export function readContent({ content, readAuthentication }: CmsMessage): EncryptedContent {
  return attempt(() => {
    const info = new EncryptedContentInfo({ schema: parseBer(content, MAX_CMS_NODES) });
    return {
      algorithm: info.contentEncryptionAlgorithm,
      ciphertext: new Uint8Array(info.getEncryptedContent()),
      authentication: readAuthentication(),
    };
  });
}

/** @throws {@link OcicryptError} `WRAPPED_KEY_UNSUPPORTED` */
function requireCipher(name: string, ivSize: number): void {
  if (hasContentCipher(name, ivSize)) return;
  const message = `a wrapped key's content is encrypted with ${name}, which this runtime does not offer`;
  throw new OcicryptError("WRAPPED_KEY_UNSUPPORTED", message);
}

function readGcm({ name, keySize }: Aead, content: EncryptedContent): ContentDecryption {
  const { nonce, tagSize } = gcmParameters(content.algorithm);
  const { ciphertext, authentication } = content;
  // In EnvelopedData, where Go has it too, the tag follows the ciphertext.
  const end = authentication === undefined ? ciphertext.byteLength - tagSize : undefined;
  if (end !== undefined && end < 0) throw malformed();
  const tag = authentication?.tag ?? ciphertext.subarray(end);
  if (tag.byteLength !== tagSize) throw malformed();
  requireCipher(name, nonce.byteLength);
  const additional = authentication?.additional ?? new Uint8Array();
  return {
    keySize,
    decrypt: (key) =>
      decryptGcm({ name, key, iv: nonce }, ciphertext.subarray(0, end), { tag, additional }) ??
      null,
  };
}

/**
 * GCMParameters of RFC 5084 section 3.2, or Go's form of them: in a SEQUENCE of its own, with [4]
 * instead of OCTET STRING (smallstep/pkcs7 encrypt.go).
 */
function gcmParameters(algorithm: AlgorithmIdentifier): { nonce: Uint8Array; tagSize: number } {
  const { nonce, tagSize } = readParameters(algorithm, (parameters) => {
    const outer = childrenOf(parameters);
    const [first, second] =
      outer.length === 1 && isConstructed(outer[0]) ? childrenOf(outer[0]) : outer;
    return {
      nonce: octetsOf(first),
      tagSize: second === undefined ? DEFAULT_TAG_SIZE : smallIntegerOf(second),
    };
  });
  const nonceFits = nonce.byteLength > 0 && nonce.byteLength <= MAX_NONCE_SIZE;
  if (!nonceFits || tagSize < MIN_TAG_SIZE || tagSize > MAX_TAG_SIZE) throw malformed();
  return { nonce, tagSize };
}

function readCbc(
  cipher: BlockCipher,
  { algorithm, ciphertext }: EncryptedContent,
): ContentDecryption {
  const { name, keySize, blockSize } = cipher;
  const iv = readParameters(algorithm, octetsOf);
  const length = ciphertext.byteLength;
  if (iv.byteLength !== blockSize || length === 0 || length % blockSize !== 0) throw malformed();
  requireCipher(name, blockSize);
  return {
    keySize,
    decrypt: (key) => withoutPadding(decryptCbc({ name, key, iv }, ciphertext), blockSize),
  };
}

/**
 * CBC has no tag, so a wrong key and a changed ciphertext show only in the plaintext. It must be
 * complete private options right here: if a bad padding, bad JSON and a missing member could be told
 * apart, an attacker who sends images could use that to decrypt (RFC 3218 section 2.1 says the same
 * about the key's padding).
 */
function withoutPadding(padded: Uint8Array, blockSize: number): Uint8Array | null {
  const size = padded.at(-1) ?? 0;
  let wrong = size === 0 || size > blockSize ? 1 : 0;
  for (const [index, byte] of padded.subarray(-blockSize).entries()) {
    const isPadding = index >= blockSize - size ? 0xff : 0;
    wrong |= isPadding & (byte ^ size);
  }
  const plaintext = padded.subarray(0, padded.byteLength - (wrong === 0 ? size : 0));
  // Parsed whatever the padding is, so that it takes the same time.
  if (isPrivateOptions(plaintext) && wrong === 0) return plaintext;
  padded.fill(0);
  return null;
}

function isPrivateOptions(plaintext: Uint8Array): boolean {
  try {
    wipePrivateOptions(parsePrivateOptions(plaintext));
    return true;
  } catch {
    return false;
  }
}

function isConstructed(node: unknown): boolean {
  try {
    return childrenOf(node).length > 0;
  } catch {
    return false;
  }
}

function readParameters<T>(algorithm: AlgorithmIdentifier, read: (parameters: unknown) => T): T {
  try {
    return read(algorithm.algorithmParams);
  } catch {
    throw malformed();
  }
}

function malformed(): OcicryptError {
  const message = "a wrapped key is not a CMS message: its content does not fit its parameters";
  return new OcicryptError("WRAPPED_KEY_INVALID", message);
}
