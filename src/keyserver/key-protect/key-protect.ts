import { OcicryptError } from "../../errors.js";
import type { Key, Recipient } from "../../keywrap/types.js";
import type { JsonObject } from "../../text/json.js";
import { envelopeRecipient, readEnvelope } from "../envelope.js";
import { invalidSettings } from "../settings.js";
import { fileAt, keyAt, mismatch, replaced } from "./secrets.js";
import { type KeyProtectOptions, openInstance, type Wdek } from "./session.js";
import { isAad, isKeyName, SYSTEM, wrappedIn } from "./wrapped.js";

export interface KeyProtectRecipientOptions extends KeyProtectOptions {
  /**
   * Additional authenticated data: up to 16 strings of up to 255 characters. Anyone who can read the
   * wrapped key can read them, and the service does not unwrap it without them. Default: none.
   */
  aad?: readonly string[] | undefined;
}

/**
 * Creates a recipient for a root key. The latest version of the key wraps. Nothing is sent before
 * {@link Recipient.wrap}.
 *
 * Wrapping fails with `KEY_SERVER_UNREACHABLE`, `KEY_SERVER_UNAUTHORIZED`,
 * `KEY_SERVER_KEY_NOT_FOUND`, `KEY_SERVER_KEY_DISABLED`, `KEY_SERVER_ANSWER_INVALID`, or
 * `KEY_UNSUPPORTED` for a standard key.
 *
 * @param name the key's id or alias; an alias must keep naming the same key
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function recipient(
  name: string,
  { aad = [], ...options }: KeyProtectRecipientOptions,
): Recipient {
  const service = openInstance(options);
  const { server, instance } = service;
  if (!isKeyName(name)) throw invalidSettings("the key of Key Protect is neither an id nor an alias"); // prettier-ignore
  if (!isAad(aad)) throw invalidSettings("aad is not a list of up to 16 strings of up to 255 characters"); // prettier-ignore
  return envelopeRecipient({
    system: SYSTEM,
    thumbprint: JSON.stringify([server, instance, name, aad]),
    async wrapDataKey(dataKey, signal) {
      const made = await service.wrap(name, dataKey, { aad, signal });
      return { server, instance, key: name, ...present(made), ...(aad.length > 0 && { aad }) };
    },
  });
}

export interface KeyProtectKeyOptions extends KeyProtectOptions {
  /** The key's name in reports. Default: `key-protect`. */
  label?: string | undefined;
  /** The ids and aliases that may be used. Default: all keys that the API key may use. */
  keys?: readonly string[] | undefined;
  /** Requires exactly this additional authenticated data. Default: what the wrapped key names. */
  aad?: readonly string[] | undefined;
  /**
   * Called if the root key was rotated since, with a new wrapped key that its latest version wrapped.
   * The image is not changed; to change it, replace the recipient.
   */
  onRotated?: ((wrapped: Uint8Array) => void) | undefined;
}

/**
 * Creates a key that opens layers with the instance that the options name. The server that a wrapped
 * key names is never contacted, and keys of other instances are not sent.
 *
 * Unwrapping fails with `KEY_SERVER_UNREACHABLE`, `KEY_SERVER_UNAUTHORIZED`,
 * `KEY_SERVER_KEY_NOT_FOUND` (also for a deleted key), `KEY_SERVER_KEY_DISABLED`,
 * `KEY_SERVER_ANSWER_INVALID` or `WRAPPED_KEY_INVALID`.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function key(options: KeyProtectKeyOptions): Key {
  return keyAt(openInstance(options), options);
}

/**
 * Returns a private key that Key Protect keeps as a standard key, or that a root key wrapped, for
 * `keysFromFiles` of `ocicrypt/keys`; `undefined` for a root key without a `ciphertext`.
 *
 * @param name the key's id or alias
 * @throws {@link OcicryptError} as {@link key}
 */
export async function keyFile(
  name: string,
  { signal, ciphertext, aad = [], ...options }: KeyProtectFileOptions,
): Promise<Uint8Array | undefined> {
  return fileAt(openInstance(options), name, { ciphertext, aad, signal });
}

export interface KeyProtectFileOptions extends KeyProtectOptions {
  /** The key file, wrapped by the root key: the `ciphertext` that Key Protect returned. */
  ciphertext?: string | undefined;
  /** The additional authenticated data with which it was wrapped. Default: none. */
  aad?: readonly string[] | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Returns a wrapped key with its data key wrapped by the latest version of the root key. The data
 * key does not leave the service. Returns `undefined` if the version is already the latest.
 *
 * @param wrapped a wrapped key of `provider.key-protect`
 * @throws {@link OcicryptError} as {@link key}; `NO_MATCHING_KEY` for a key of another instance
 */
export async function rewrap(
  wrapped: Uint8Array,
  { signal, ...options }: KeyProtectKeyOptions & { signal?: AbortSignal | undefined },
): Promise<Uint8Array | undefined> {
  const service = openInstance(options);
  const envelope = readEnvelope(SYSTEM, wrapped);
  const why = envelope === undefined ? "it is not a wrapped key of Key Protect" : mismatch(envelope, service, options); // prettier-ignore
  if (envelope === undefined || why !== undefined) {
    throw new OcicryptError("NO_MATCHING_KEY", `the wrapped key cannot be rewrapped: ${why ?? ""}`);
  }
  const own = wrappedIn(envelope);
  const made = await service.rewrap(own.key, own.ciphertext, { aad: own.aad, signal });
  if (made.keyVersion === own.keyVersion) return undefined;
  return replaced(envelope, made);
}

function present({ ciphertext, keyVersion }: Wdek): JsonObject {
  return { ciphertext, ...(keyVersion !== undefined && { keyVersion }) };
}
