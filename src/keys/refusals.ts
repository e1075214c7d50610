import { OcicryptError } from "../errors.js";
import { MAX_KEYS_PER_FILE } from "../spec/limits.js";

/** @returns {@link OcicryptError} `KEY_UNRECOGNIZED` */
export function unrecognized(why: string, cause?: unknown): OcicryptError {
  const message = `this is not a key that can be used here: ${why}`;
  return new OcicryptError("KEY_UNRECOGNIZED", message, cause === undefined ? {} : { cause });
}

/** @returns {@link OcicryptError} `KEY_UNSUPPORTED` */
export function tooManyKeys(): OcicryptError {
  const message = `the file holds more than ${String(MAX_KEYS_PER_FILE)} keys`;
  return new OcicryptError("KEY_UNSUPPORTED", message);
}

/** @returns {@link OcicryptError} `KEY_UNSUPPORTED` */
export function notAsymmetric(): OcicryptError {
  return new OcicryptError("KEY_UNSUPPORTED", "this is a symmetric key; a key pair is needed");
}

/** @returns {@link OcicryptError} `PASSWORD_WRONG` */
export function wrongPassword(cause?: unknown): OcicryptError {
  const message = "the password does not open the private key";
  return new OcicryptError("PASSWORD_WRONG", message, cause === undefined ? {} : { cause });
}

/** @returns {@link OcicryptError} `KEY_UNSUPPORTED`, with the command that converts a copy */
export function oldCipher(name: string): OcicryptError {
  const command = "openssl pkey -provider legacy -provider default -in FILE -aes256 -out NEW";
  const message = `the private key is encrypted with ${name.slice(0, 40)}, which OpenSSL 3 no longer offers; convert it with ${command}`;
  return new OcicryptError("KEY_UNSUPPORTED", message);
}
