import { isOcicryptError, OcicryptError } from "../../errors.js";
import {
  childrenOf,
  hasContextTag,
  octetsOf,
  parseBer,
  smallIntegerOf,
  type Asn1Node,
} from "../asn1.js";
import { MAX_KEY_FILE_SIZE } from "../../spec/limits.js";
import { unrecognized } from "../refusals.js";
import { decrypt, otherPassword, readMac } from "./protection.js";
import {
  identifierOf,
  readAlgorithm,
  unsupported,
  passwordForms,
  wipeForms,
  type PasswordForms,
} from "./key-derivation.js";
import { explicitly, readSafeContents, type Pkcs12Contents } from "./safe-contents.js";

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
 * Its MAC, also PBMAC1 (RFC 9579), is checked before anything is decrypted; a file without one is
 * rejected. Parts may be encrypted by PBES2 with PBKDF2 or scrypt and a cipher in CBC mode, by PBE
 * with SHA-1 and 3DES, or not at all. A part that is encrypted in another way is skipped as long as
 * a key is found elsewhere: older programs use RC2, which OpenSSL 3 no longer offers, only for the
 * certificates, and the key can be used without them.
 *
 * @param options the password, which must be given even if it is empty
 * @returns the private keys and the certificates, both in the order of the file; at least one key
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED` for a file that is damaged; `KEY_UNSUPPORTED`
 *   without a MAC, for another encryption of the key, and for more iterations than
 *   `src/spec/limits.ts` allows; `KEY_IS_PUBLIC` when it holds certificates only; `PASSWORD_MISSING`;
 *   `PASSWORD_WRONG`
 */
export async function readPkcs12(
  bytes: Uint8Array,
  { password, signal }: Pkcs12Options = {},
): Promise<Pkcs12Contents> {
  if (bytes.byteLength > MAX_KEY_FILE_SIZE) throw unrecognized("it is larger than any key");
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
    // The parser's own message could quote what it has read.
    throw unrecognized("the PKCS#12 file is damaged");
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
  for (const contentInfo of childrenOf(parseBer(contents))) {
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
  if (bags.certificates.length === 0) throw unrecognized("the PKCS#12 file holds no private key");
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
  return node.idBlock.isConstructed
    ? Buffer.concat(childrenOf(node).map(octetsOf))
    : octetsOf(node);
}
