import * as crypto from "node:crypto";
import type { ContentCipherEngine } from "../types.js";

/** By the name and the size of the initialization vector. */
const known = /* @__PURE__ */ new Map<string, boolean>();

export const hasContentCipher: ContentCipherEngine["hasContentCipher"] = (name, ivSize) => {
  const id = `${name} ${String(ivSize)}`;
  const has = known.get(id) ?? canMake(name, ivSize);
  known.set(id, has);
  return has;
};

/** Deno also describes ciphers that it lacks, so one is made. */
function canMake(name: string, ivSize: number): boolean {
  const { keyLength } = crypto.getCipherInfo(name) ?? {};
  if (keyLength === undefined) return false;
  try {
    crypto.createDecipheriv(name, Buffer.alloc(keyLength), Buffer.alloc(ivSize));
    return true;
  } catch {
    return false;
  }
}

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
