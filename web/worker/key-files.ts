import { isOcicryptError, type OcicryptError } from "../../src/errors.js";
import { readKeyFiles, type KeyFile } from "../../src/keywrap/key-files/from-files.js";
import { recognizeKeyFile, type KeyFileForm } from "../../src/keywrap/key-files/recognise.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Key, Recipient } from "../../src/keywrap/types.js";

/** The private keys of a file, or its public keys as recipients. */
export interface KeyFileContent {
  form: KeyFileForm;
  keys: Key[];
  recipients: Recipient[];
}

/**
 * Reads a key file of any form.
 *
 * @param certificates other files, whose certificates may belong to its private keys
 * @throws {@link OcicryptError} as `keysFromFiles`, except that public keys are accepted
 */
export async function readKeyFile(
  file: KeyFile,
  certificates: readonly KeyFile[],
  signal: AbortSignal,
): Promise<KeyFileContent> {
  const form = recognizeKeyFile(file.content);
  if (form === "public key" || form === "certificate") {
    return { form, keys: [], recipients: await readRecipients(file, form) };
  }
  const skipped: OcicryptError[] = [];
  const onSkip = (error: OcicryptError): void => void skipped.push(error);
  const keys = await readKeyFiles([file, ...certificates], { signal, onSkip });
  if (keys.length > 0) return { form, keys, recipients: [] };
  // The name of the file is shown beside the message.
  const [error] = skipped;
  throw error?.cause instanceof Error ? error.cause : new Error("the file gives no key");
}

/** PKCS#7 takes certificates with RSA keys; JWE also takes those with EC keys. */
async function readRecipients(
  { content }: KeyFile,
  form: "public key" | "certificate",
): Promise<Recipient[]> {
  if (form === "public key") return jwe.recipients(content);
  const { pkcs7 } = await import("../../src/keywrap/pkcs7/index.js");
  try {
    return pkcs7.recipients(content);
  } catch (error) {
    if (!isOcicryptError(error, "KEY_UNSUPPORTED")) throw error;
    return jwe.recipients(content);
  }
}
