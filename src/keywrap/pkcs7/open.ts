import { type CipherGCMTypes, createDecipheriv, type KeyObject } from "node:crypto";
import type { AlgorithmIdentifier } from "pkijs";
import { OcicryptError } from "../../errors.js";
import { rsaBits } from "../../keys/asymmetric-key.js";
import { parsePrivateOptions, wipePrivateOptions } from "../../cipher/options.js";
import { childrenOf, octetsOf, smallIntegerOf } from "../../keys/asn1.js";
import { newAttempts, takeAttempt } from "../unwrapping.js";
import type { UnwrapContext } from "../types.js";
import type { Certificate } from "./certificate.js";
import { decryptContentKey, keyTransportName, readKeyTransport } from "./key-transport.js";
import { type EncryptedContent, type KeyTransRecipient, parseCms } from "./message.js";
import { formatRecipientId, recipientIdKeys } from "./recipient-id.js";

/** A private key with its known certificates. */
export interface Pkcs7PrivateKey {
  key: KeyObject;
  /** If empty, every recipient is tried. */
  certificates: readonly Certificate[];
}

/** More names do not help a reader. */
const MAX_NAMED = 5;

/**
 * Opens a CMS message.
 *
 * @returns `null` when it is for other keys
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`, also when the key's certificate is named as
 *   a recipient and the key does not open the message; `WRAPPED_KEY_UNSUPPORTED`
 */
export async function openCms(
  { key, certificates }: Pkcs7PrivateKey,
  wrapped: Uint8Array,
  { signal, attempts = newAttempts() }: UnwrapContext = {},
): Promise<Uint8Array | null> {
  const { recipients, readContent } = parseCms(wrapped);
  const size = Math.ceil(rsaBits(key) / 8); // of all that RSA encrypts: RFC 8017 section 7.1.1
  const ids = new Set(certificates.flatMap(recipientIdKeys));
  const own = recipients
    .filter((recipient): recipient is KeyTransRecipient => !("otherKind" in recipient))
    .filter(({ id, encryptedKey }) =>
      ids.size > 0
        ? recipientIdKeys(id).some((each) => ids.has(each))
        : encryptedKey.byteLength === size,
    );
  let cipher: ContentCipher | undefined;
  for (const recipient of own) {
    // Parameters of an algorithm can take as long to read as an attempt.
    await takeAttempt(attempts, signal);
    const transport = readKeyTransport(recipient.readAlgorithm());
    if (transport === undefined) continue;
    cipher ??= readContentCipher(readContent());
    const { encryptedKey } = recipient;
    if (encryptedKey.byteLength !== size) continue;
    const contentKey = decryptContentKey(transport, key, encryptedKey, cipher.keySize);
    const plaintext = cipher.decrypt(contentKey);
    contentKey.fill(0);
    if (plaintext !== null) return plaintext;
  }
  const [first] = own;
  if (first === undefined) return null;
  if (cipher === undefined) {
    const name = keyTransportName(first);
    const message = `a CMS recipient uses ${name}, which is not supported with these parameters`;
    throw new OcicryptError("WRAPPED_KEY_UNSUPPORTED", message);
  }
  if (certificates.length === 0) return null;
  const message = "a CMS message names the key's certificate, but the key does not open it";
  throw new OcicryptError("WRAPPED_KEY_INVALID", message);
}

/** Says why {@link openCms} returns `null`. */
export function explainCms({ key, certificates }: Pkcs7PrivateKey, wrapped: Uint8Array): string {
  const recipients = parseCms(wrapped).recipients.map((recipient) =>
    "otherKind" in recipient ? recipient.otherKind : formatRecipientId(recipient.id),
  );
  const more =
    recipients.length > MAX_NAMED ? `; and ${String(recipients.length - MAX_NAMED)} more` : "";
  const named = `it is for ${recipients.slice(0, MAX_NAMED).join("; ")}${more}`;
  const own = certificates.map((certificate) => formatRecipientId(certificate));
  if (own.length > 0) return `${named}, the key's certificate is ${own.join("; ")}`;
  return `${named}; and the RSA-${String(rsaBits(key))} key opens none of these, or it is damaged`;
}

/** The cipher of an encrypted content, which lacks only the key. */
interface ContentCipher {
  /** In bytes. */
  keySize: number;
  /** Returns `null` for every failure alike: a wrong key, a wrong tag, a wrong padding. */
  decrypt(key: Uint8Array): Uint8Array | null;
}

interface Aead {
  name: CipherGCMTypes;
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
export function readContentCipher(content: EncryptedContent): ContentCipher {
  const { algorithmId } = content.algorithm;
  const gcm = GCM.get(algorithmId);
  if (gcm !== undefined) return readGcm(gcm, content);
  const cbc = CBC.get(algorithmId);
  if (cbc !== undefined && content.authentication === undefined) return readCbc(cbc, content);
  const message = `a wrapped key's content is encrypted with ${algorithmId.slice(0, 40)}`;
  throw new OcicryptError("WRAPPED_KEY_UNSUPPORTED", message);
}

function readGcm({ name, keySize }: Aead, content: EncryptedContent): ContentCipher {
  const { nonce, tagSize } = gcmParameters(content.algorithm);
  const { ciphertext, authentication } = content;
  // In EnvelopedData, where Go has it too, the tag follows the ciphertext.
  const end = authentication === undefined ? ciphertext.byteLength - tagSize : undefined;
  if (end !== undefined && end < 0) throw malformed();
  const tag = authentication?.tag ?? ciphertext.subarray(end);
  if (tag.byteLength !== tagSize) throw malformed();
  return {
    keySize,
    decrypt(key) {
      const decipher = createDecipheriv(name, key, nonce, { authTagLength: tagSize });
      if (authentication !== undefined) decipher.setAAD(authentication.attributes);
      decipher.setAuthTag(tag);
      const plaintext = decipher.update(ciphertext.subarray(0, end));
      try {
        decipher.final();
        return plaintext;
      } catch {
        plaintext.fill(0);
        return null;
      }
    },
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

function readCbc(cipher: BlockCipher, { algorithm, ciphertext }: EncryptedContent): ContentCipher {
  const { name, keySize, blockSize } = cipher;
  const iv = readParameters(algorithm, octetsOf);
  const length = ciphertext.byteLength;
  if (iv.byteLength !== blockSize || length === 0 || length % blockSize !== 0) throw malformed();
  return {
    keySize,
    decrypt(key) {
      const decipher = createDecipheriv(name, key, iv).setAutoPadding(false);
      const padded = decipher.update(ciphertext);
      decipher.final();
      return withoutPadding(padded, blockSize);
    },
  };
}

/**
 * CBC has no tag, so a wrong key and a changed ciphertext show only in the plaintext. It must be
 * complete private options right here: if a bad padding, bad JSON and a missing member could be told
 * apart, an attacker who sends images could use that to decrypt (RFC 3218 section 2.1 says the same
 * about the key's padding).
 */
function withoutPadding(padded: Buffer, blockSize: number): Uint8Array | null {
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
