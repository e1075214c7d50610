import { isOcicryptError, OcicryptError, unrecognizedKey } from "../../errors.js";
import { childrenOf, octetsOf, parseBer } from "../asn1.js";
import { derKind } from "../der.js";
import { passwordForms, readAlgorithm, wipeForms, type Algorithm } from "./key-derivation.js";
import { decrypt } from "./protection.js";

/**
 * Decrypts an EncryptedPrivateKeyInfo: RFC 5958 section 3. Node.js could do this, but it would
 * derive the key on the main thread without a pause, however many iterations the file asks for.
 *
 * @returns the PrivateKeyInfo, or `undefined` if the password is wrong
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`
 */
export async function decryptPkcs8(
  bytes: Uint8Array,
  password: Uint8Array,
  signal?: AbortSignal,
): Promise<Uint8Array | undefined> {
  const { algorithm, ciphertext } = parse(bytes);
  const forms = passwordForms(password);
  try {
    for (const form of forms) {
      const key = await open(() => decrypt(algorithm, ciphertext, form, signal), signal);
      if (key !== undefined) return key;
    }
  } finally {
    wipeForms(forms);
  }
  return undefined;
}

function parse(bytes: Uint8Array): { algorithm: Algorithm; ciphertext: Uint8Array } {
  try {
    const [algorithm, ciphertext] = childrenOf(parseBer(bytes));
    return { algorithm: readAlgorithm(algorithm), ciphertext: octetsOf(ciphertext) };
  } catch {
    throw unrecognizedKey("the encrypted private key is damaged");
  }
}

/** Returns the key in DER, or `undefined` if the password is wrong. */
async function open(
  decryptKey: () => Promise<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | undefined> {
  let plaintext: Uint8Array;
  try {
    plaintext = await decryptKey();
  } catch (error) {
    signal?.throwIfAborted();
    if (isOcicryptError(error, "PASSWORD_WRONG")) return undefined;
    if (error instanceof OcicryptError) throw error;
    throw unrecognizedKey("the encrypted private key is damaged");
  }
  // With one in 256 wrong keys, the padding is valid by chance.
  if (derKind(plaintext) === "pkcs8") return plaintext;
  plaintext.fill(0);
  return undefined;
}
