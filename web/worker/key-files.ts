import { isOcicryptError, OcicryptError } from "../../src/errors.js";
import { readKeyFiles, type KeyFile } from "../../src/keywrap/key-files/from-files.js";
import {
  recipientsFromFiles,
  recognizeKeyFile,
  type KeyFileForm,
} from "../../src/keywrap/key-files/index.js";
import { checkPassword } from "./openpgp-password.js";
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
    return { form, keys: [], recipients: await readRecipients(file) };
  }
  if (form === "Kubernetes Secret") {
    const message = "this is a Kubernetes Secret; save the keys in it as files of their own";
    throw new OcicryptError("KEY_UNSUPPORTED", message);
  }
  if (form === "OpenPGP key") await checkPassword(file);
  const skipped: OcicryptError[] = [];
  const onSkip = (error: OcicryptError): void => void skipped.push(error);
  const keys = await readKeyFiles([file, ...certificates], { signal, onSkip });
  if (keys.length > 0) return { form, keys, recipients: [] };
  const [error] = skipped;
  if (form === "OpenPGP key" && isOcicryptError(error, "KEY_IS_PUBLIC")) {
    return { form, keys, recipients: await readRecipients(file) };
  }
  throw withoutName(error);
}

/** PKCS#7 takes certificates with RSA keys; JWE also takes those with EC keys. */
async function readRecipients(file: KeyFile): Promise<Recipient[]> {
  try {
    return await recipientsFromFiles([file]);
  } catch (error) {
    if (!isOcicryptError(error, "KEY_UNSUPPORTED")) throw withoutName(error);
    return jwe.recipients(file.content);
  }
}

/** The page shows the name of the file beside the message. */
function withoutName(error: unknown): Error {
  if (!(error instanceof Error)) return new Error("the file gives no key");
  return error.cause instanceof Error ? error.cause : error;
}
