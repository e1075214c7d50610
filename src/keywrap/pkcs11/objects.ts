import { createPublicKey, type KeyObject } from "node:crypto";
import { OcicryptError } from "../../errors.js";
import {
  call,
  CKA_CLASS,
  CKA_ENCRYPT,
  CKA_ID,
  CKA_KEY_TYPE,
  CKA_LABEL,
  CKA_MODULUS,
  CKA_PUBLIC_EXPONENT,
  CKK_RSA,
  CKO_PRIVATE_KEY,
  CKO_PUBLIC_KEY,
  CKO_SECRET_KEY,
  type Attribute,
} from "./cryptoki.js";
import { describeToken, readUlong, type Session } from "./session.js";
import type { Pkcs11Uri } from "./uri.js";

/**
 * Finds the RSA private key that a URI names.
 *
 * @throws {@link OcicryptError} `OBJECT_NOT_FOUND`, `OBJECT_AMBIGUOUS`, `KEY_UNSUPPORTED`,
 *   `TOKEN_FAILED`
 */
export function findPrivateKey(session: Session, uri: Pkcs11Uri): Buffer {
  return findRsaKey(session, uri, CKO_PRIVATE_KEY);
}

/**
 * Reads the RSA public key that a URI names from the token: tokens need not support encryption, or
 * not with the requested hash.
 *
 * @throws {@link OcicryptError} as {@link findPrivateKey}; `KEY_USE_FORBIDDEN` if the token
 *   does not allow encryption with the key
 */
export function readPublicKey(session: Session, uri: Pkcs11Uri): KeyObject {
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
export function describeKey(uri: Pkcs11Uri): string {
  const names = [
    ...(uri.object ? [JSON.stringify(uri.object.slice(0, 64))] : []),
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
