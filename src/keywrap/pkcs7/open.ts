import type { KeyObject } from "node:crypto";
import { OcicryptError } from "../../errors.js";
import { rsaBits } from "../../keys/asymmetric-key.js";
import { newAttempts, takeAttempt } from "../attempts.js";
import type { UnwrapContext } from "../types.js";
import type { Certificate } from "./certificate.js";
import { readContentCipher } from "./content.js";
import {
  decryptContentKey,
  keyTransportName,
  readKeyTransport,
  type KeyTransport,
} from "./key-transport.js";
import { parseCms, type KeyTransRecipient } from "./message.js";
import { formatRecipientId, recipientIdKeys } from "./recipient-id.js";

/** A private key with its known certificates. */
export interface Pkcs7PrivateKey {
  key: KeyObject;
  /** If empty, every recipient is tried. */
  certificates: readonly Certificate[];
}

/** More names do not help a reader. */
const MAX_NAMED = 5;

/**
 * Opens a CMS message.
 *
 * @returns `null` when it is for other keys
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`, also when the key's certificate is named as
 *   a recipient and the key does not open the message; `WRAPPED_KEY_UNSUPPORTED`
 */
export async function openCms(
  { key, certificates }: Pkcs7PrivateKey,
  wrapped: Uint8Array,
  { signal, attempts = newAttempts() }: UnwrapContext = {},
): Promise<Uint8Array | null> {
  const { recipients, content } = parseCms(wrapped);
  const size = Math.ceil(rsaBits(key) / 8); // of all that RSA encrypts: RFC 8017 section 7.1.1
  const ids = new Set(certificates.flatMap(recipientIdKeys));
  const own = recipients
    .filter((recipient): recipient is KeyTransRecipient => !("otherKind" in recipient))
    .filter(({ id, encryptedKey }) =>
      ids.size > 0
        ? recipientIdKeys(id).some((each) => ids.has(each))
        : encryptedKey.byteLength === size,
    );
  const usable = own.flatMap(usableTransport);
  if (usable.length === 0) {
    const unsupported = own[0];
    if (unsupported === undefined) return null;
    const name = keyTransportName(unsupported.algorithm);
    const message = `a CMS recipient uses ${name}, which is not supported with these parameters`;
    throw new OcicryptError("WRAPPED_KEY_UNSUPPORTED", message);
  }
  const cipher = readContentCipher(content);
  for (const { transport, encryptedKey } of usable) {
    if (encryptedKey.byteLength !== size) continue;
    await takeAttempt(attempts, signal);
    const contentKey = decryptContentKey(transport, key, encryptedKey, cipher.keySize);
    const plaintext = cipher.decrypt(contentKey);
    contentKey.fill(0);
    if (plaintext !== null) return plaintext;
  }
  if (certificates.length === 0) return null;
  const message = "a CMS message names the key's certificate, but the key does not open it";
  throw new OcicryptError("WRAPPED_KEY_INVALID", message);
}

/** Says why {@link openCms} returns `null`. */
export function explainCms({ key, certificates }: Pkcs7PrivateKey, wrapped: Uint8Array): string {
  const recipients = parseCms(wrapped).recipients.map((recipient) =>
    "otherKind" in recipient ? recipient.otherKind : formatRecipientId(recipient.id),
  );
  const more =
    recipients.length > MAX_NAMED ? `; and ${String(recipients.length - MAX_NAMED)} more` : "";
  const named = `it is for ${recipients.slice(0, MAX_NAMED).join("; ")}${more}`;
  const own = certificates.map((certificate) => formatRecipientId(certificate));
  if (own.length > 0) return `${named}, the key's certificate is ${own.join("; ")}`;
  return `${named}; and the RSA-${String(rsaBits(key))} key opens none of these, or it is damaged`;
}

function usableTransport({
  algorithm,
  encryptedKey,
}: KeyTransRecipient): { transport: KeyTransport; encryptedKey: Uint8Array }[] {
  const transport = readKeyTransport(algorithm);
  return transport === undefined ? [] : [{ transport, encryptedKey }];
}
