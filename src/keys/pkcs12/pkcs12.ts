import { isOcicryptError, OcicryptError } from "../../errors.js";
import {
  childrenOf,
  hasContextTag,
  octetsOf,
  parseBer,
  smallIntegerOf,
  type Asn1Node,
} from "../asn1.js";
import { unrecognized } from "../material.js";
import type { PrivateKeyOptions } from "../private-key.js";
import { identifierOf, readAlgorithm, unsupported } from "./protection.js";
import { decrypt, otherPassword } from "./protection.js";
import { readMac } from "./protection.js";
import { passwordForms, wipeForms, type PasswordForms } from "./key-derivation.js";
import { explicitly, readSafeContents, type Pkcs12Contents } from "./safe-contents.js";

/** RFC 5652 sections 4 and 8. */
const DATA = "1.2.840.113549.1.7.1";
const ENCRYPTED_DATA = "1.2.840.113549.1.7.6";

/** RFC 7292 section 4. */
const VERSION = 3;
/** Far above any real file. */
const MAX_SIZE = 1024 * 1024;

/**
 * Opens a PKCS #12 file (RFC 7292) that is protected by a password, in BER.
 *
 * Its MAC is checked before anything is decrypted; a file without one is refused. It may be made
 * with PBMAC1 (RFC 9579). What is read are PBES2 with PBKDF2 and AES or 3DES in CBC mode, PBE with
 * SHA-1 and 3DES, and parts that are not encrypted. A part that is encrypted in another way is
 * passed over as long as there is a key elsewhere: older programs use RC2, which OpenSSL 3 does
 * not offer any more, for the certificates only, and the key is of use without them.
 *
 * @param options The password; an empty one must be given too.
 * @returns the private keys and the certificates, both in the order of the file; at least one key
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED` for a file that is damaged; `KEY_UNSUPPORTED`
 *   without a MAC, for another encryption of the key, and for more than 1 million iterations, with
 *   PBKDF2 10 million; `KEY_IS_PUBLIC` when it holds certificates only; `PASSWORD_MISSING`;
 *   `PASSWORD_WRONG`
 */
export async function readPkcs12(
  bytes: Uint8Array,
  { password }: PrivateKeyOptions = {},
): Promise<Pkcs12Contents> {
  if (bytes.byteLength > MAX_SIZE) throw unrecognized("it is larger than any key");
  try {
    const { contents, macData } = readPfx(bytes);
    const isProtected = readMac(macData);
    if (password === undefined) {
      const message = "the PKCS #12 file needs a password, even if that is empty";
      throw new OcicryptError("PASSWORD_MISSING", message);
    }
    const forms = passwordForms(password);
    try {
      for (const form of forms) {
        if (await isProtected(contents, form)) return await readSafe(contents, form);
      }
    } finally {
      wipeForms(forms);
    }
  } catch (error) {
    if (error instanceof OcicryptError) throw error;
    // Whatever a parser throws; it could quote what it has read.
    throw unrecognized("the PKCS #12 file is damaged");
  }
  throw new OcicryptError("PASSWORD_WRONG", "the password does not open the PKCS #12 file");
}

/** PFX: RFC 7292 section 4. */
function readPfx(bytes: Uint8Array): { contents: Uint8Array; macData: Asn1Node } {
  const [version, authSafe, macData] = childrenOf(parseBer(bytes));
  if (smallIntegerOf(version) !== VERSION) throw unsupported("it is not of version 3");
  const [contentType, content] = childrenOf(authSafe);
  if (identifierOf(contentType) !== DATA) throw unsupported("it is signed, without a password");
  if (macData === undefined) throw unsupported("it has no MAC; export it again with one");
  return { contents: octetsOf(explicitly(content)), macData };
}

/** AuthenticatedSafe: RFC 7292 section 4.1. */
async function readSafe(contents: Uint8Array, password: PasswordForms): Promise<Pkcs12Contents> {
  const bags: Pkcs12Contents = { privateKeys: [], certificates: [] };
  let passedOver: OcicryptError | undefined;
  for (const contentInfo of childrenOf(parseBer(contents))) {
    const [contentType, content] = childrenOf(contentInfo);
    const id = identifierOf(contentType);
    if (id === DATA) {
      await readSafeContents(parseBer(octetsOf(explicitly(content))), password, bags);
    } else if (id === ENCRYPTED_DATA) {
      let safeContents: Asn1Node;
      try {
        safeContents = await decryptSafe(explicitly(content), password);
      } catch (error) {
        if (!isOcicryptError(error, "KEY_UNSUPPORTED")) throw error;
        passedOver ??= error;
        continue;
      }
      await readSafeContents(safeContents, password, bags);
    } else {
      passedOver ??= unsupported(`a part of it is ${id}`);
    }
  }
  if (bags.privateKeys.length > 0) return bags;
  if (passedOver !== undefined) throw passedOver;
  if (bags.certificates.length === 0) throw unrecognized("the PKCS #12 file holds no private key");
  const message = "this is a PKCS #12 file with certificates only; a private key is needed";
  throw new OcicryptError("KEY_IS_PUBLIC", message);
}

/** EncryptedData: RFC 5652 section 8. */
async function decryptSafe(encryptedData: Asn1Node, password: PasswordForms): Promise<Asn1Node> {
  const [, encryptedContentInfo] = childrenOf(encryptedData); // version
  const [, algorithm, content] = childrenOf(encryptedContentInfo); // contentType
  const ciphertext = implicitOctets(content);
  const plaintext = await decrypt(readAlgorithm(algorithm), ciphertext, password);
  try {
    return parseBer(plaintext);
  } catch {
    throw otherPassword();
  } finally {
    plaintext.fill(0); // what was parsed is a copy
  }
}

/** [0] IMPLICIT OCTET STRING, in one part or, in BER, several. */
function implicitOctets(node: Asn1Node | undefined): Uint8Array {
  if (!hasContextTag(node, 0)) throw new Error("there is no content");
  return node.idBlock.isConstructed
    ? Buffer.concat(childrenOf(node).map(octetsOf))
    : octetsOf(node);
}
