import { concat } from "#engine/bytes";
import { importCertificate, type PlatformCertificate } from "#engine/certificates";
import { importDer, type PlatformKey } from "#engine/keys";
import { OctetString } from "asn1js";
import { isOcicryptError, OcicryptError, unrecognizedKey } from "../../errors.js";
import { MAX_KEY_FILE_SIZE, MAX_KEYS_PER_FILE } from "../../spec/limits.js";
import {
  type Asn1Node,
  childrenOf,
  hasContextTag,
  octetsOf,
  parseBer,
  smallIntegerOf,
} from "../asn1.js";
import { requireSoundPrivateKey, tooManyKeys } from "../asymmetric-key.js";
import { derKind } from "../der.js";
import { decrypt, otherPassword, readMac } from "./protection.js";
import {
  identifierOf,
  passwordForms,
  type PasswordForms,
  readAlgorithm,
  unsupported,
  wipeForms,
} from "./key-derivation.js";

/** RFC 5652 sections 4 and 8. */
const DATA = "1.2.840.113549.1.7.1";
const ENCRYPTED_DATA = "1.2.840.113549.1.7.6";

/** RFC 7292 section 4. */
const VERSION = 3;

export interface Pkcs12Options {
  password?: string | Uint8Array | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Opens a PKCS#12 file (RFC 7292) that is protected by a password, in BER.
 *
 * Its MAC, which may be PBMAC1 (RFC 9579), is checked before anything is decrypted; a file without
 * a MAC is rejected. Parts may be encrypted with PBES2 (PBKDF2 or scrypt, and a cipher in CBC
 * mode), with PBE (SHA-1 and 3DES), or not at all. A part that is encrypted in another way is
 * skipped if a key is found elsewhere: older programs encrypt only the certificates with RC2, which
 * OpenSSL 3 no longer offers, and the key can be used without them.
 *
 * @param options the password, which must be given even if it is empty
 * @returns the private keys and the certificates, both in the order of the file; at least one key
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED` for a file that is damaged; `KEY_UNSUPPORTED`
 *   without a MAC, for another encryption of the key, and for more iterations than
 *   `src/spec/limits.ts` allows; `KEY_IS_PUBLIC` if it contains only certificates;
 *   `PASSWORD_MISSING`; `PASSWORD_WRONG`
 */
export async function readPkcs12(
  bytes: Uint8Array,
  { password, signal }: Pkcs12Options = {},
): Promise<Pkcs12Contents> {
  if (bytes.byteLength > MAX_KEY_FILE_SIZE) throw unrecognizedKey("it is larger than any key");
  try {
    const { contents, macData } = readPfx(bytes);
    const isProtected = readMac(macData);
    if (password === undefined) {
      const message = "the PKCS#12 file needs a password, which may be empty";
      throw new OcicryptError("PASSWORD_MISSING", message);
    }
    const forms = passwordForms(password);
    try {
      for (const form of forms) {
        if (await isProtected(contents, form, signal)) {
          return await readSafe(contents, form, signal);
        }
      }
    } finally {
      wipeForms(forms);
    }
  } catch (error) {
    if (error instanceof OcicryptError) throw error;
    signal?.throwIfAborted();
    // The parser's own message could quote its input.
    throw unrecognizedKey("the PKCS#12 file is damaged");
  }
  throw new OcicryptError("PASSWORD_WRONG", "the password does not open the PKCS#12 file");
}

/** PFX: RFC 7292 section 4. */
function readPfx(bytes: Uint8Array): { contents: Uint8Array; macData: Asn1Node } {
  const [version, authSafe, macData] = childrenOf(parseBer(bytes));
  if (smallIntegerOf(version) !== VERSION) throw unsupported("it is not of version 3");
  const [contentType, content] = childrenOf(authSafe);
  if (identifierOf(contentType) !== DATA) throw unsupported("it is signed, without a password");
  if (macData === undefined) throw unsupported("it has no MAC; export it again with a MAC");
  return { contents: octetsOf(explicitly(content)), macData };
}

/** AuthenticatedSafe: RFC 7292 section 4.1. */
async function readSafe(
  contents: Uint8Array,
  password: PasswordForms,
  signal?: AbortSignal,
): Promise<Pkcs12Contents> {
  const bags: Pkcs12Contents = { privateKeys: [], certificates: [] };
  let skipped: OcicryptError | undefined;
  const parts = childrenOf(parseBer(contents));
  if (parts.length > MAX_KEYS_PER_FILE) throw tooManyKeys();
  for (const contentInfo of parts) {
    const [contentType, content] = childrenOf(contentInfo);
    const id = identifierOf(contentType);
    if (id === DATA) {
      await readSafeContents(parseBer(octetsOf(explicitly(content))), password, bags, signal);
    } else if (id === ENCRYPTED_DATA) {
      let safeContents: Asn1Node;
      try {
        safeContents = await decryptSafe(explicitly(content), password, signal);
      } catch (error) {
        if (!isOcicryptError(error, "KEY_UNSUPPORTED")) throw error;
        skipped ??= error;
        continue;
      }
      await readSafeContents(safeContents, password, bags, signal);
    } else {
      skipped ??= unsupported(`a part of it is ${id}`);
    }
  }
  if (bags.privateKeys.length > 0) return bags;
  if (skipped !== undefined) throw skipped;
  if (bags.certificates.length === 0)
    throw unrecognizedKey("the PKCS#12 file holds no private key");
  const message = "this is a PKCS#12 file with certificates only; a private key is needed";
  throw new OcicryptError("KEY_IS_PUBLIC", message);
}

/** EncryptedData: RFC 5652 section 8. */
async function decryptSafe(
  encryptedData: Asn1Node,
  password: PasswordForms,
  signal?: AbortSignal,
): Promise<Asn1Node> {
  const [, encryptedContentInfo] = childrenOf(encryptedData); // version
  const [, algorithm, content] = childrenOf(encryptedContentInfo); // contentType
  const ciphertext = implicitOctets(content);
  const plaintext = await decrypt(readAlgorithm(algorithm), ciphertext, password, signal);
  try {
    return parseBer(plaintext);
  } catch {
    throw otherPassword();
  } finally {
    plaintext.fill(0); // the parsed elements are copies
  }
}

/** [0] IMPLICIT OCTET STRING, in one part or, in BER, several. */
function implicitOctets(node: Asn1Node | undefined): Uint8Array {
  if (!hasContextTag(node, 0)) throw new Error("there is no content");
  return node.idBlock.isConstructed ? concat(childrenOf(node).map(octetsOf)) : octetsOf(node);
}

/** The keys and certificates of all parts of a file. */
interface Pkcs12Contents {
  privateKeys: PlatformKey[];
  certificates: PlatformCertificate[];
}

/** RFC 7292 section 4.2. CRLs and secrets are skipped. */
const KEY_BAG = "1.2.840.113549.1.12.10.1.1";
const SHROUDED_KEY_BAG = "1.2.840.113549.1.12.10.1.2";
const CERT_BAG = "1.2.840.113549.1.12.10.1.3";
const SAFE_CONTENTS_BAG = "1.2.840.113549.1.12.10.1.6";
const X509_CERTIFICATE = "1.2.840.113549.1.9.22.1";

/**
 * Adds the contents of a SafeContents and of those nested in it: RFC 7292 section 4.2. The parser
 * limits the nesting.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `PASSWORD_WRONG`
 * @throws {Error} if it is malformed
 */
async function readSafeContents(
  safeContents: Asn1Node,
  password: PasswordForms,
  bags: Pkcs12Contents,
  signal?: AbortSignal,
): Promise<void> {
  for (const bag of childrenOf(safeContents)) {
    const [id, explicit] = childrenOf(bag);
    const value = explicitly(explicit);
    // Each may take as long as the whole file should.
    if (bags.privateKeys.length > MAX_KEYS_PER_FILE) throw tooManyKeys();
    switch (identifierOf(id)) {
      case KEY_BAG:
        bags.privateKeys.push(parsePrivateKey(value.valueBeforeDecodeView));
        break;
      case SHROUDED_KEY_BAG:
        bags.privateKeys.push(await readShroudedKey(value, password, signal));
        break;
      case CERT_BAG:
        bags.certificates.push(...readCertificate(value));
        break;
      case SAFE_CONTENTS_BAG:
        await readSafeContents(value, password, bags, signal);
    }
  }
}

/** EncryptedPrivateKeyInfo: RFC 5958 section 3. */
async function readShroudedKey(
  node: Asn1Node,
  password: PasswordForms,
  signal?: AbortSignal,
): Promise<PlatformKey> {
  const [algorithm, ciphertext] = childrenOf(node);
  const plaintext = await decrypt(readAlgorithm(algorithm), octetsOf(ciphertext), password, signal);
  // With one in 256 wrong keys, the padding is valid by chance.
  if (derKind(plaintext) !== "pkcs8") throw otherPassword();
  return parsePrivateKey(plaintext);
}

function parsePrivateKey(pkcs8: Uint8Array): PlatformKey {
  try {
    return requireSoundPrivateKey(importDer(pkcs8, "pkcs8"));
  } catch (cause) {
    if (isOcicryptError(cause, "KEY_UNSUPPORTED")) throw cause;
    const message = "a private key in the PKCS#12 file is damaged or of an unknown kind";
    throw new OcicryptError("KEY_UNRECOGNIZED", message, { cause });
  } finally {
    pkcs8.fill(0);
  }
}

/** Skips certificates that are not X.509: RFC 7292 section 4.2.3. */
function readCertificate(certBag: Asn1Node): PlatformCertificate[] {
  const [id, explicit] = childrenOf(certBag);
  if (identifierOf(id) !== X509_CERTIFICATE) return [];
  const value = explicitly(explicit);
  if (!(value instanceof OctetString)) throw new Error("a certificate is not an OCTET STRING");
  const der = octetsOf(value);
  try {
    return [importCertificate(der)];
  } catch (cause) {
    const message = "a certificate in the PKCS#12 file is damaged";
    throw new OcicryptError("KEY_UNRECOGNIZED", message, { cause });
  }
}

/** Returns the only element in [0] EXPLICIT. */
function explicitly(node: Asn1Node | undefined): Asn1Node {
  const [value, ...more] = hasContextTag(node, 0) ? childrenOf(node) : [];
  if (value === undefined || more.length > 0) throw new Error("an element is not [0]");
  return value;
}
