import { createCipheriv, publicEncrypt, randomBytes, type KeyObject } from "node:crypto";
import { CompactEncrypt, FlattenedEncrypt, GeneralEncrypt } from "jose";
import type {
  CompactJWEHeaderParameters,
  FlattenedJWE,
  GeneralJWE,
  JWEHeaderParameters,
} from "jose";

/** The bytes wrapped in these tests; JWE accepts any bytes. */
export const SECRET: Buffer = Buffer.from('{"symkey":"what is wrapped"}');

export const bytes = (jwe: unknown): Buffer =>
  Buffer.from(typeof jwe === "string" ? jwe : JSON.stringify(jwe));

export async function flattened(
  key: KeyObject | Uint8Array,
  header: JWEHeaderParameters,
  headers: { unprotected?: JWEHeaderParameters; own?: JWEHeaderParameters; aad?: string } = {},
): Promise<FlattenedJWE> {
  const encrypt = new FlattenedEncrypt(SECRET).setProtectedHeader(header);
  if (headers.unprotected) encrypt.setSharedUnprotectedHeader(headers.unprotected);
  if (headers.own) encrypt.setUnprotectedHeader(headers.own);
  if (headers.aad) encrypt.setAdditionalAuthenticatedData(Buffer.from(headers.aad));
  return encrypt.encrypt(key);
}

export async function compact(
  key: KeyObject | Uint8Array,
  header: CompactJWEHeaderParameters,
): Promise<string> {
  return new CompactEncrypt(SECRET).setProtectedHeader(header).encrypt(key);
}

export async function general(
  recipients: [KeyObject, JWEHeaderParameters][],
  shared: JWEHeaderParameters = {},
  enc = "A256GCM",
): Promise<GeneralJWE> {
  const encrypt = new GeneralEncrypt(SECRET).setProtectedHeader({ enc });
  if (Object.keys(shared).length > 0) encrypt.setSharedUnprotectedHeader(shared);
  for (const [key, header] of recipients) encrypt.addRecipient(key).setUnprotectedHeader(header);
  return encrypt.encrypt();
}

/** A compact JWE with RSA-OAEP-256 and A256GCM that claims whatever the header says, without jose. */
export function crafted(key: KeyObject, header: object, content: Uint8Array = SECRET): string {
  const protectedHeader = Buffer.from(
    JSON.stringify({ alg: "RSA-OAEP-256", enc: "A256GCM", ...header }),
  ).toString("base64url");
  const cek = randomBytes(32);
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", cek, iv).setAAD(Buffer.from(protectedHeader));
  const ciphertext = Buffer.concat([cipher.update(content), cipher.final()]);
  const encryptedKey = publicEncrypt({ key, oaepHash: "sha256" }, cek);
  const parts = [encryptedKey, iv, ciphertext, cipher.getAuthTag()];
  return [protectedHeader, ...parts.map((part) => part.toString("base64url"))].join(".");
}
