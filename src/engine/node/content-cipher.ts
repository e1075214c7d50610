import * as crypto from "node:crypto";
import type { ContentCipherEngine } from "../types.js";

export const hasContentCipher: ContentCipherEngine["hasContentCipher"] = (name) => {
  const { keyLength, ivLength } = crypto.getCipherInfo(name) ?? {};
  return keyLength !== undefined && ivLength !== undefined;
};

export const decryptCbc: ContentCipherEngine["decryptCbc"] = ({ name, key, iv }, ciphertext) => {
  const decipher = crypto.createDecipheriv(name, key, iv).setAutoPadding(false);
  const padded = decipher.update(ciphertext);
  decipher.final();
  return padded;
};

export const decryptGcm: ContentCipherEngine["decryptGcm"] = (
  { name, key, iv },
  ciphertext,
  { tag, additional },
) => {
  const options = { authTagLength: tag.byteLength };
  const decipher = crypto.createDecipheriv(name as crypto.CipherGCMTypes, key, iv, options);
  decipher.setAAD(additional);
  decipher.setAuthTag(tag);
  const plaintext = decipher.update(ciphertext);
  try {
    decipher.final();
    return plaintext;
  } catch {
    plaintext.fill(0);
    return undefined;
  }
};

export const encryptGcm: ContentCipherEngine["encryptGcm"] = ({ name, key, iv }, plaintext) => {
  const cipher = crypto.createCipheriv(name as crypto.CipherGCMTypes, key, iv);
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
};
