import { loadPgp } from "#engine/key-schemes";
import { isOcicryptError, OcicryptError } from "../../errors.js";
import { recoverKeyFile } from "../../keys/material.js";
import type { Recipient } from "../types.js";
import { openPgpKeys } from "../pgp/openpgp.js";
import { formOfRepaired, repairKeyFile } from "./recognise.js";

/** The content of a file with a public key or a certificate. */
export interface RecipientFile {
  content: string | Uint8Array;
  /** The name of the file in errors. */
  label: string;
}

export interface RecipientsFromFilesOptions {
  /** The key id of JWE recipients. Default: the key's own, or its RFC 7638 thumbprint. */
  kid?: string | undefined;
  /** Reject certificates that have expired. Default: false, which warns. */
  strict?: boolean | undefined;
  /** Called for an expired certificate. */
  onWarning?: ((message: string) => void) | undefined;
}

/**
 * Returns the recipients in a set of files, with the scheme that suits each file: PKCS#7 for a
 * certificate, OpenPGP for an OpenPGP key, and JWE for any other public key. A file with several
 * keys gives several recipients.
 *
 * @throws {@link OcicryptError} `KEY_UNRECOGNIZED`, `KEY_UNSUPPORTED`, `KEY_USE_FORBIDDEN`,
 *   `KEY_IS_PRIVATE`, `CERTIFICATE_NOT_YET_VALID`; with `strict` also `CERTIFICATE_EXPIRED`; each
 *   names its file
 * @throws {TypeError} for a `kid` that is empty or longer than 256 characters
 */
export async function recipientsFromFiles(
  files: readonly RecipientFile[],
  options: RecipientsFromFilesOptions = {},
): Promise<Recipient[]> {
  const recipients: Recipient[] = [];
  for (const { content, label } of files) {
    try {
      recipients.push(...(await readRecipients(content, options)));
    } catch (error) {
      if (!isOcicryptError(error)) throw error;
      throw new OcicryptError(error.code, `${label}: ${error.message}`, { cause: error });
    }
  }
  return recipients;
}

async function readRecipients(
  file: string | Uint8Array,
  { kid, strict, onWarning }: RecipientsFromFilesOptions,
): Promise<Recipient[]> {
  const content = repairKeyFile(file);
  const form = formOfRepaired(content);
  switch (form) {
    case "certificate": {
      const { pkcs7 } = await import("../pkcs7/index.js");
      return pkcs7.recipients(content, { strict, onWarning });
    }
    case "public key": {
      const { jwe } = await import("../jwe/index.js");
      return jwe.recipients(content, { kid });
    }
    case "OpenPGP key": {
      const { pgp } = await loadPgp();
      const keyRing = recoverKeyFile(content);
      const keys = await openPgpKeys(keyRing);
      return keys.map((key) => pgp.recipient(key.getFingerprint(), { keyRing }));
    }
    default: {
      const message = `this is a ${form}; a public key or a certificate is needed`;
      throw new OcicryptError("KEY_IS_PRIVATE", message);
    }
  }
}
