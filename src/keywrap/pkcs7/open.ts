import type { PlatformKey } from "#engine/keys";
import { OcicryptError } from "../../errors.js";
import { rsaBits } from "../../keys/asymmetric-key.js";
import { newAttempts, takeAttempt } from "../unwrapping.js";
import type { UnwrapContext } from "../types.js";
import type { Certificate } from "./certificate.js";
import { type ContentDecryption, readContent, readContentCipher } from "./content.js";
import { decryptContentKey, readKeyTransport } from "./key-transport.js";
import { type KeyTransRecipient, keyTransportName, parseCms } from "./message.js";
import { formatRecipientId, recipientIdKeys } from "./recipient-id.js";

/** A private key with its known certificates. */
export interface Pkcs7PrivateKey {
  key: PlatformKey;
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
  const message = parseCms(wrapped);
  const size = Math.ceil(rsaBits(key) / 8); // of all that RSA encrypts: RFC 8017 section 7.1.1
  const ids = new Set(certificates.flatMap(recipientIdKeys));
  const own = message.recipients
    .filter((recipient): recipient is KeyTransRecipient => !("otherKind" in recipient))
    .filter(({ id, encryptedKey }) =>
      ids.size > 0
        ? recipientIdKeys(id).some((each) => ids.has(each))
        : encryptedKey.byteLength === size,
    );
  let cipher: ContentDecryption | undefined;
  for (const recipient of own) {
    // Parameters of an algorithm can take as long to read as an attempt.
    await takeAttempt(attempts, signal);
    const transport = readKeyTransport(recipient.algorithm);
    if (transport === undefined) continue;
    cipher ??= readContentCipher(readContent(message));
    const { encryptedKey } = recipient;
    if (encryptedKey.byteLength !== size) continue;
    const contentKey = await decryptContentKey(transport, key, encryptedKey, cipher.keySize);
    const plaintext = cipher.decrypt(contentKey);
    contentKey.fill(0);
    if (plaintext !== null) return plaintext;
  }
  const [first] = own;
  if (first === undefined) return null;
  if (cipher === undefined) {
    const name = keyTransportName(first);
    throw new OcicryptError(
      "WRAPPED_KEY_UNSUPPORTED",
      `a CMS recipient uses ${name}, which is not supported with these parameters`,
    );
  }
  if (certificates.length === 0) return null;
  const why = "a CMS message names the key's certificate, but the key does not open it";
  throw new OcicryptError("WRAPPED_KEY_INVALID", why);
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
