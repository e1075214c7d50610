import { OcicryptError } from "../errors.js";

/** @returns {@link OcicryptError} `KEY_UNSUPPORTED`, with the command that converts a copy */
export function oldCipher(name: string): OcicryptError {
  const command = "openssl pkey -provider legacy -provider default -in FILE -aes256 -out NEW";
  const message = `the private key is encrypted with ${name.slice(0, 40)}, which OpenSSL 3 no longer offers; convert it with ${command}`;
  return new OcicryptError("KEY_UNSUPPORTED", message);
}

/** @returns {@link OcicryptError} `KEY_UNSUPPORTED`, with the command that converts a copy */
export function missingCipher(name: string, cause?: unknown): OcicryptError {
  const command = "openssl pkey -in FILE -aes256 -out NEW";
  const message = `the private key is encrypted with ${name.slice(0, 40)}, which this runtime does not offer; convert a copy with ${command}`;
  return new OcicryptError("KEY_UNSUPPORTED", message, cause === undefined ? {} : { cause });
}
