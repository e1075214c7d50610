import type { KeyObject } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { OcicryptError } from "../../errors.js";
import type { Certificate } from "./certificate.js";
import { readContentCipher } from "./content.js";
import {
  decryptContentKey,
  keyTransportName,
  readKeyTransport,
  type KeyTransport,
} from "./key-transport.js";
import { parseCms, type CmsRecipient, type KeyTransRecipient } from "./message.js";
import { formatRecipientId, matchesCertificate } from "./recipient-id.js";
import { rsaBits } from "./rsa-key.js";

/** A private key, with those of its certificates that are known. */
export interface Pkcs7PrivateKey {
  key: KeyObject;
  /** Without any, every recipient is tried. */
  certificates: readonly Certificate[];
}

/** More names are of no help to anybody. */
const MAX_NAMED = 5;

/**
 * Opens a CMS message.
 *
 * @returns `null` when it is for others
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`, also when the key's certificate is named as
 *   a recipient and the key does not open the message; `WRAPPED_KEY_UNSUPPORTED`
 */
export async function openCms(
  { key, certificates }: Pkcs7PrivateKey,
  wrapped: Uint8Array,
  signal?: AbortSignal,
): Promise<Uint8Array | null> {
  const { recipients, content } = parseCms(wrapped);
  const own = recipients.filter((recipient) => isFor(recipient, key, certificates));
  const usable = own.flatMap(usableTransport);
  if (usable.length === 0) {
    const unsupported = own[0];
    if (unsupported === undefined) return null;
    const name = keyTransportName(unsupported.algorithm);
    const message = `a CMS recipient uses ${name}, or parameters of it, that can not be used`;
    throw new OcicryptError("WRAPPED_KEY_UNSUPPORTED", message);
  }
  const cipher = readContentCipher(content);
  for (const { transport, encryptedKey } of usable) {
    // There may be many recipients, and each takes milliseconds.
    await setImmediate();
    signal?.throwIfAborted();
    const contentKey = decryptContentKey(transport, key, encryptedKey, cipher.keySize);
    const plaintext = cipher.decrypt(contentKey);
    contentKey.fill(0);
    if (plaintext !== null) return plaintext;
  }
  if (certificates.length === 0) return null;
  const message = "a CMS message names the key's certificate, and the key does not open it";
  throw new OcicryptError("WRAPPED_KEY_INVALID", message);
}

/** Why {@link openCms} gives `null`. */
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

function isFor(
  recipient: CmsRecipient,
  key: KeyObject,
  certificates: readonly Certificate[],
): recipient is KeyTransRecipient {
  if ("otherKind" in recipient) return false;
  if (certificates.length > 0) {
    return certificates.some((certificate) => matchesCertificate(recipient.id, certificate));
  }
  return recipient.encryptedKey.byteLength === modulusSize(key);
}

/** In bytes; what RSA encrypts is as long: RFC 8017 sections 7.1.1 and 7.2.1. */
function modulusSize(key: KeyObject): number {
  return Math.ceil(rsaBits(key) / 8);
}

function usableTransport({
  algorithm,
  encryptedKey,
}: KeyTransRecipient): { transport: KeyTransport; encryptedKey: Uint8Array }[] {
  const transport = readKeyTransport(algorithm);
  return transport === undefined ? [] : [{ transport, encryptedKey }];
}
