import type { Key, Recipient } from "../../keywrap/types.js";
import { envelopeRecipient } from "../envelope.js";
import { fileAt, kekRecipientAt, keyAt, requireId } from "./secrets.js";
import { barbicanAt, type BarbicanOptions } from "./session.js";
import { SYSTEM } from "./wrapped.js";

/** The name under which an administrator finds the secrets of this library. */
const NAME = "ocicrypt";

export interface BarbicanRecipientOptions extends BarbicanOptions {
  /** The name of the stored secrets. Default: `ocicrypt`. */
  name?: string | undefined;
}

/**
 * Creates a recipient that stores one secret in Barbican for each layer. The wrapped key refers to the
 * secret, and anyone who may read the secret can decrypt the layer, until the secret is deleted.
 * Nothing is sent before {@link Recipient.wrap}.
 *
 * Wrapping fails with `KEY_SERVER_UNREACHABLE`, `KEY_SERVER_UNAUTHORIZED`,
 * `KEY_SERVER_ANSWER_INVALID`, or `KEY_SERVER_CONFIG_INVALID` for a catalogue without Barbican.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function recipient({ name = NAME, ...options }: BarbicanRecipientOptions): Recipient {
  const server = barbicanAt(options);
  return envelopeRecipient({
    system: SYSTEM,
    async wrapDataKey(payload, signal) {
      return { secretRef: await server.store({ name, payload }, signal) };
    },
  });
}

/**
 * Creates a recipient from one AES-256 key that Barbican keeps. For each layer, the recipient fetches
 * the key and wraps with it on this machine, as in RFC 3394. Anyone who can encrypt this way can
 * therefore also decrypt.
 *
 * Wrapping fails with the codes of {@link recipient}, with `KEY_SERVER_KEY_NOT_FOUND`, or with
 * `KEY_UNSUPPORTED` if the secret is text or does not have 32 bytes.
 *
 * @param id the id of the secret, the last part of its reference
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function kekRecipient(id: string, options: BarbicanOptions): Recipient {
  return kekRecipientAt(barbicanAt(options), requireId(id), options.authUrl);
}

/**
 * Orders a new AES-256 key from Barbican, and returns the id of its secret, for {@link kekRecipient}.
 * Waits for the key for up to `timeout`, the time limit of one request.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_UNREACHABLE`, also if the key is not ready in time;
 *   `KEY_SERVER_UNAUTHORIZED`, `KEY_SERVER_ANSWER_INVALID`, `KEY_SERVER_CONFIG_INVALID`
 */
export async function createKek({
  name = NAME,
  signal,
  ...options
}: BarbicanRecipientOptions & { signal?: AbortSignal | undefined }): Promise<string> {
  const reference = await barbicanAt(options).order(name, signal);
  return reference.slice(reference.lastIndexOf("/") + 1);
}

/**
 * Returns a private key, a public key or a certificate that Barbican keeps, for `keysFromFiles` of
 * `ocicrypt/keys` or `jwe.recipients`; `undefined` for a secret of another type, such as `symmetric`.
 *
 * @param id the id of the secret, the last part of its reference
 * @throws {@link OcicryptError} `KEY_SERVER_UNREACHABLE`, `KEY_SERVER_UNAUTHORIZED`,
 *   `KEY_SERVER_KEY_NOT_FOUND`, `KEY_SERVER_ANSWER_INVALID`, `KEY_SERVER_CONFIG_INVALID`, or
 *   `KEY_UNSUPPORTED` for a secret that is text
 */
export async function keyFile(
  id: string,
  { signal, ...options }: BarbicanOptions & { signal?: AbortSignal | undefined },
): Promise<Uint8Array | undefined> {
  return fileAt(barbicanAt(options), requireId(id), signal);
}

export interface BarbicanKeyOptions extends BarbicanOptions {
  /** The key's name in reports. Default: `barbican`. */
  label?: string | undefined;
  /** The ids of the secrets that may be used. Default: all secrets that the user may read. */
  secrets?: readonly string[] | undefined;
}

/**
 * Creates a key that opens layers with secrets in Barbican. The server comes from the options or from
 * Keystone's catalogue. From a wrapped key, only the id of the secret is used: the server that it
 * names is not contacted.
 *
 * Unwrapping fails with `KEY_SERVER_UNREACHABLE`, `KEY_SERVER_UNAUTHORIZED`,
 * `KEY_SERVER_KEY_NOT_FOUND` for a deleted secret, `KEY_SERVER_ANSWER_INVALID`,
 * `KEY_SERVER_CONFIG_INVALID` for a catalogue without Barbican, `WRAPPED_KEY_INVALID`, or
 * `KEY_UNSUPPORTED` for a secret that is text, or that should wrap and does not have 32 bytes.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function key({ label, secrets, ...options }: BarbicanKeyOptions): Key {
  return keyAt(barbicanAt(options), label, secrets);
}
