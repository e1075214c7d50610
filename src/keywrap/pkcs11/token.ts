import { createPublicKey, type KeyObject } from "node:crypto";
import { OcicryptError, shown } from "../../errors.js";
import type { Pkcs11Recipient } from "./blob.js";
import {
  type Attribute,
  call,
  CK_PARAMS_RSA_OAEP,
  CKA_CLASS,
  CKA_ENCRYPT,
  CKA_ID,
  CKA_KEY_TYPE,
  CKA_LABEL,
  CKA_MODULUS,
  CKA_PUBLIC_EXPONENT,
  CKG_MGF1_SHA1,
  CKG_MGF1_SHA256,
  CKK_RSA,
  CKM_RSA_PKCS_OAEP,
  CKM_RSA_X_509,
  CKM_SHA256,
  CKM_SHA_1,
  CKO_PRIVATE_KEY,
  CKO_PUBLIC_KEY,
  CKO_SECRET_KEY,
  CKZ_DATA_SPECIFIED,
  loadModule,
  type Mechanism,
  returnCode,
  tokenFailed,
  type TokenOptions,
} from "./module.js";
import type { KeyFile } from "./key-file.js";
import { decodeOaep } from "../../keys/oaep.js";
import { oaepAlgorithm, type OaepHash } from "./oaep.js";
import { describeToken, readPin, readUlong, type Session, withSession } from "./session.js";
import type { Pkcs11Uri } from "./uri.js";

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
): Promise<Uint8Array | null> {
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
): Uint8Array | null {
  if (start(session, key, oaepMechanism(hash))) return finish(session, key, ciphertext);
  if (start(session, key, { mechanism: CKM_RSA_X_509 })) {
    const encoded = finish(session, key, ciphertext);
    return encoded === null ? null : decodeOaep(encoded, { hash, label: new Uint8Array() });
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

function finish(session: Session, key: Buffer, ciphertext: Uint8Array): Buffer | null {
  const { cryptoki, handle } = session;
  try {
    return cryptoki.C_Decrypt(handle, Buffer.from(ciphertext), Buffer.alloc(ciphertext.byteLength));
  } catch (error) {
    if (NOT_DECRYPTED.includes(returnCode(error))) return null;
    if (isOutOfRange(session, key, ciphertext)) return null;
    throw tokenFailed("C_Decrypt", error);
  }
}

/**
 * Whether the number is not below the modulus (RFC 8017 section 5.1.2), as the ciphertext for
 * another key may be. NSS reports that as CKR_DEVICE_ERROR.
 */
function isOutOfRange(session: Session, key: Buffer, ciphertext: Uint8Array): boolean {
  const modulus = readAttribute(session, key, CKA_MODULUS);
  return modulus.byteLength === ciphertext.byteLength && modulus.compare(ciphertext) <= 0;
}

/**
 * Finds the RSA private key that a URI names.
 *
 * @throws {@link OcicryptError} `OBJECT_NOT_FOUND`, `OBJECT_AMBIGUOUS`, `KEY_UNSUPPORTED`,
 *   `TOKEN_FAILED`
 */
function findPrivateKey(session: Session, uri: Pkcs11Uri): Buffer {
  return findRsaKey(session, uri, CKO_PRIVATE_KEY);
}

/**
 * Reads the RSA public key that a URI names from the token: tokens need not support encryption, or
 * not with the requested hash.
 *
 * @throws {@link OcicryptError} as {@link findPrivateKey}; `KEY_USE_FORBIDDEN` if the token
 *   does not allow encryption with the key
 */
function readPublicKey(session: Session, uri: Pkcs11Uri): KeyObject {
  const key = findRsaKey(session, uri, CKO_PUBLIC_KEY);
  if (readAttribute(session, key, CKA_ENCRYPT)[0] === 0) {
    const message = `the token does not allow encryption with ${describeKey(uri)}`;
    throw new OcicryptError("KEY_USE_FORBIDDEN", message);
  }
  const n = readAttribute(session, key, CKA_MODULUS).toString("base64url");
  const e = readAttribute(session, key, CKA_PUBLIC_EXPONENT).toString("base64url");
  try {
    return createPublicKey({ key: { kty: "RSA", n, e }, format: "jwk" });
  } catch {
    throw new OcicryptError("KEY_UNSUPPORTED", `${describeKey(uri)} is not a valid RSA key`);
  }
}

/** Describes a key by its names in the URI, for messages. */
function describeKey(uri: Pkcs11Uri): string {
  const names = [
    ...(uri.object ? [shown(uri.object)] : []),
    ...(uri.id?.byteLength ? [`id ${uri.id.toString("hex").slice(0, 64)}`] : []),
  ];
  return `the key ${names.join(", ")} in ${describeToken(uri)}`;
}

function findRsaKey(session: Session, uri: Pkcs11Uri, keyClass: number): Buffer {
  const [key, ...others] = findObjects(session, keyClass, uri);
  if (others.length > 0) {
    const message = `several objects match ${describeKey(uri)}`;
    throw new OcicryptError("OBJECT_AMBIGUOUS", message);
  }
  if (key === undefined) {
    if (findObjects(session, CKO_SECRET_KEY, uri).length > 0) throw notRsa(uri);
    const half = keyClass === CKO_PUBLIC_KEY ? "public" : "private";
    throw new OcicryptError(
      "OBJECT_NOT_FOUND",
      `the ${half} half of ${describeKey(uri)} was not found`,
    );
  }
  if (readUlong(readAttribute(session, key, CKA_KEY_TYPE)) !== CKK_RSA) throw notRsa(uri);
  return key;
}

/** Finds up to two objects: two are already ambiguous. */
function findObjects(
  { cryptoki, handle }: Session,
  keyClass: number,
  { object, id }: Pkcs11Uri,
): Buffer[] {
  const template: Attribute[] = [{ type: CKA_CLASS, value: keyClass }];
  if (object) template.push({ type: CKA_LABEL, value: Buffer.from(object, "utf8") });
  if (id?.byteLength) template.push({ type: CKA_ID, value: id });
  call("C_FindObjectsInit", () => {
    cryptoki.C_FindObjectsInit(handle, template);
  });
  const found: Buffer[] = [];
  while (found.length < 2) {
    const more = call("C_FindObjects", () => cryptoki.C_FindObjects(handle, 2));
    if (more.length === 0) break;
    found.push(...more);
  }
  call("C_FindObjectsFinal", () => {
    cryptoki.C_FindObjectsFinal(handle);
  });
  return found;
}

/** Reads attributes one by one: a token that withholds one fails a request for several. */
function readAttribute({ cryptoki, handle }: Session, object: Buffer, type: number): Buffer {
  const attributes = call("C_GetAttributeValue", () =>
    cryptoki.C_GetAttributeValue(handle, object, [{ type }]),
  );
  const value = attributes[0]?.value;
  return Buffer.isBuffer(value) ? value : Buffer.alloc(0);
}

function notRsa(uri: Pkcs11Uri): OcicryptError {
  const message = `${describeKey(uri)} is not an RSA key; no other type is supported`;
  return new OcicryptError("KEY_UNSUPPORTED", message);
}
