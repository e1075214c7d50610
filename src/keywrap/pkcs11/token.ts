import type { KeyObject } from "node:crypto";
import { OcicryptError } from "../../errors.js";
import type { Pkcs11Recipient } from "./blob.js";
import {
  CK_PARAMS_RSA_OAEP,
  CKG_MGF1_SHA1,
  CKG_MGF1_SHA256,
  CKM_RSA_PKCS_OAEP,
  CKM_RSA_X_509,
  CKM_SHA256,
  CKM_SHA_1,
  CKZ_DATA_SPECIFIED,
  returnCode,
  tokenFailed,
  type Mechanism,
} from "./cryptoki.js";
import type { KeyFile } from "./key-file.js";
import { loadModule, type TokenOptions } from "./module.js";
import { decodeOaep } from "./oaep.js";
import { oaepAlgorithm, type OaepHash } from "./oaep.js";
import { describeKey, findPrivateKey, readPublicKey } from "./objects.js";
import { readPin } from "./login.js";
import { withSession, type Session } from "./session.js";

type ReturnCodes = readonly (string | undefined)[];

/** Return codes for an unsupported mechanism; SoftHSM 2.6.1 returns the last for OAEP's hash. */
const MECHANISM_REFUSED: ReturnCodes = [
  "CKR_MECHANISM_INVALID",
  "CKR_MECHANISM_PARAM_INVALID",
  "CKR_ARGUMENTS_BAD",
];

/** Return codes for failed decryption; SoftHSM 2.6.1 returns the last. */
const NOT_DECRYPTED: ReturnCodes = [
  "CKR_ENCRYPTED_DATA_INVALID",
  "CKR_ENCRYPTED_DATA_LEN_RANGE",
  "CKR_DATA_INVALID",
  "CKR_DATA_LEN_RANGE",
  "CKR_FUNCTION_FAILED",
  "CKR_GENERAL_ERROR",
];

/** Reads the public key that a key file names from its token, with the PIN if there is one. */
export async function publicKeyInToken(
  keyFile: KeyFile,
  options: TokenOptions,
): Promise<KeyObject> {
  const pin = await readPin(keyFile.uri);
  const cryptoki = await loadModule(keyFile.uri, options);
  return withSession(cryptoki, keyFile, pin, (session) => readPublicKey(session, keyFile.uri));
}

/** Decrypts the first ciphertext for the private key in the token; `null` if none is. */
export async function decryptInToken(
  keyFile: KeyFile,
  recipients: readonly Pkcs11Recipient[],
  options: TokenOptions,
  signal: AbortSignal | undefined,
): Promise<Buffer | null> {
  const pin = await readPin(keyFile.uri);
  if (pin === undefined) {
    const message = `${describeKey(keyFile.uri)} needs a PIN: add pin-value or pin-source to its URI`;
    throw new OcicryptError("PIN_MISSING", message);
  }
  const cryptoki = await loadModule(keyFile.uri, options);
  signal?.throwIfAborted();
  return withSession(cryptoki, keyFile, pin, (session) => {
    const key = findPrivateKey(session, keyFile.uri);
    for (const recipient of recipients) {
      const plaintext = decrypt(session, key, recipient, keyFile);
      if (plaintext !== null) return plaintext;
    }
    return null;
  });
}

/** Uses OAEP in the token, or raw RSA in the token and the decoding here if it lacks OAEP. */
function decrypt(
  session: Session,
  key: Buffer,
  { hash, ciphertext }: Pkcs11Recipient,
  { uri }: KeyFile,
): Buffer | null {
  if (start(session, key, oaepMechanism(hash))) return finish(session, ciphertext);
  if (start(session, key, { mechanism: CKM_RSA_X_509 })) {
    const encoded = finish(session, ciphertext);
    return encoded === null ? null : decodeOaep(encoded, hash);
  }
  const message = `${describeKey(uri)} cannot be used: its token does not offer ${oaepAlgorithm(hash)}`;
  throw new OcicryptError("KEY_UNSUPPORTED", message);
}

function oaepMechanism(hash: OaepHash): Mechanism {
  const [hashAlg, mgf] =
    hash === "sha1" ? [CKM_SHA_1, CKG_MGF1_SHA1] : [CKM_SHA256, CKG_MGF1_SHA256];
  return {
    mechanism: CKM_RSA_PKCS_OAEP,
    parameter: { type: CK_PARAMS_RSA_OAEP, hashAlg, mgf, source: CKZ_DATA_SPECIFIED },
  };
}

/** Whether the token supports the mechanism. */
function start({ cryptoki, handle }: Session, key: Buffer, mechanism: Mechanism): boolean {
  try {
    cryptoki.C_DecryptInit(handle, mechanism, key);
    return true;
  } catch (error) {
    const code = returnCode(error);
    if (MECHANISM_REFUSED.includes(code)) return false;
    if (code !== "CKR_KEY_FUNCTION_NOT_PERMITTED") throw tokenFailed("C_DecryptInit", error);
    const message = "the token does not allow decryption with its key";
    throw new OcicryptError("KEY_USE_FORBIDDEN", message);
  }
}

function finish({ cryptoki, handle }: Session, ciphertext: Uint8Array): Buffer | null {
  try {
    return cryptoki.C_Decrypt(handle, Buffer.from(ciphertext), Buffer.alloc(ciphertext.byteLength));
  } catch (error) {
    if (NOT_DECRYPTED.includes(returnCode(error))) return null;
    throw tokenFailed("C_Decrypt", error);
  }
}
