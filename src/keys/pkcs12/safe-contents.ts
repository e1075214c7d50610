import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { OctetString } from "asn1js";
import { OcicryptError } from "../../errors.js";
import { childrenOf, hasContextTag, octetsOf, type Asn1Node } from "../asn1.js";
import { requireSoundPrivateKey } from "../asymmetric-key.js";
import { derKind } from "../der.js";
import { decrypt, otherPassword } from "./protection.js";
import { identifierOf, readAlgorithm, type PasswordForms } from "./key-derivation.js";

/** The keys and certificates of all parts of a file. */
export interface Pkcs12Contents {
  privateKeys: KeyObject[];
  certificates: X509Certificate[];
}

/** RFC 7292 section 4.2. CRLs and secrets are skipped. */
const KEY_BAG = "1.2.840.113549.1.12.10.1.1";
const SHROUDED_KEY_BAG = "1.2.840.113549.1.12.10.1.2";
const CERT_BAG = "1.2.840.113549.1.12.10.1.3";
const SAFE_CONTENTS_BAG = "1.2.840.113549.1.12.10.1.6";
const X509_CERTIFICATE = "1.2.840.113549.1.9.22.1";

/**
 * Adds the contents of a SafeContents and of those nested in it: RFC 7292 section 4.2. The parser
 * limits how deep they can be nested.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `PASSWORD_WRONG`
 * @throws {Error} when it is malformed
 */
export async function readSafeContents(
  safeContents: Asn1Node,
  password: PasswordForms,
  bags: Pkcs12Contents,
  signal?: AbortSignal,
): Promise<void> {
  for (const bag of childrenOf(safeContents)) {
    const [id, explicit] = childrenOf(bag);
    const value = explicitly(explicit);
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
): Promise<KeyObject> {
  const [algorithm, ciphertext] = childrenOf(node);
  const plaintext = await decrypt(readAlgorithm(algorithm), octetsOf(ciphertext), password, signal);
  // One in 256 wrong keys leaves a padding that is right by chance.
  if (derKind(plaintext) !== "pkcs8") throw otherPassword();
  return parsePrivateKey(plaintext);
}

function parsePrivateKey(pkcs8: Uint8Array): KeyObject {
  const key = Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.byteLength);
  try {
    return requireSoundPrivateKey(createPrivateKey({ key, format: "der", type: "pkcs8" }));
  } catch (cause) {
    const message = "a private key in the PKCS#12 file is damaged or of an unknown kind";
    throw new OcicryptError("KEY_UNRECOGNIZED", message, { cause });
  } finally {
    key.fill(0);
  }
}

/** Skips certificates of another kind than X.509: RFC 7292 section 4.2.3. */
function readCertificate(certBag: Asn1Node): X509Certificate[] {
  const [id, explicit] = childrenOf(certBag);
  if (identifierOf(id) !== X509_CERTIFICATE) return [];
  const value = explicitly(explicit);
  if (!(value instanceof OctetString)) throw new Error("a certificate is not an OCTET STRING");
  const der = octetsOf(value);
  try {
    return [new X509Certificate(der)];
  } catch (cause) {
    const message = "a certificate in the PKCS#12 file is damaged";
    throw new OcicryptError("KEY_UNRECOGNIZED", message, { cause });
  }
}

/** The one element in [0] EXPLICIT. */
export function explicitly(node: Asn1Node | undefined): Asn1Node {
  const [value, ...more] = hasContextTag(node, 0) ? childrenOf(node) : [];
  if (value === undefined || more.length > 0) throw new Error("an element is not [0]");
  return value;
}
