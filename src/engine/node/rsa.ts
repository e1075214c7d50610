import * as crypto from "node:crypto";
import type { RsaEngine } from "../types.js";
import type { PlatformKey } from "./keys.js";

type Engine = RsaEngine<PlatformKey>;

const { RSA_NO_PADDING, RSA_PKCS1_OAEP_PADDING, RSA_PKCS1_PADDING } = crypto.constants;

export const hasNumbers: Engine["hasNumbers"] = () => true;

export const decryptRaw: Engine["decryptRaw"] = (key, ciphertext) => {
  try {
    return crypto.privateDecrypt({ key, padding: RSA_NO_PADDING }, ciphertext);
  } catch {
    return undefined;
  }
};

export const decryptOaep: Engine["decryptOaep"] = (key, ciphertext, { hash, label }) => {
  const padding = RSA_PKCS1_OAEP_PADDING;
  try {
    return crypto.privateDecrypt({ key, padding, oaepHash: hash, oaepLabel: label }, ciphertext);
  } catch {
    return undefined;
  }
};

export const encryptPkcs1: Engine["encryptPkcs1"] = (key, message) =>
  crypto.publicEncrypt({ key, padding: RSA_PKCS1_PADDING }, message);
