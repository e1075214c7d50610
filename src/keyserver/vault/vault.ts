import { OcicryptError } from "../../errors.js";
import type { Key, Recipient } from "../../keywrap/types.js";
import { envelopeKey, envelopeRecipient, readEnvelope, writeEnvelope } from "../envelope.js";
import { invalidSettings } from "../settings.js";
import { transit, type Transit, type VaultOptions } from "./session.js";
import {
  describe,
  isKeyName,
  type KeyPlace,
  shownKey,
  SYSTEM,
  type VaultWrapped,
  versionOf,
  wrappedIn,
} from "./wrapped.js";

/**
 * Creates a recipient for a key of a transit engine. The latest version of the key wraps. Nothing is
 * sent before {@link Recipient.wrap}.
 *
 * Wrapping fails with `KEY_SERVER_UNREACHABLE`, `KEY_SERVER_UNAUTHORIZED`,
 * `KEY_SERVER_KEY_NOT_FOUND`, `KEY_SERVER_ANSWER_INVALID` or `KEY_UNSUPPORTED`.
 *
 * @param name the key's name in the engine. Vault creates a key of a new name if the token's policy
 *   grants `create`; grant only `update`.
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function recipient(name: string, options: VaultOptions): Recipient {
  const engine = transit(options);
  if (!isKeyName(name)) throw invalidSettings("the name of the key of Vault is not valid");
  const { server, namespace, mount } = engine;
  const place: KeyPlace = { server, namespace, mount, key: name };
  return envelopeRecipient({
    system: SYSTEM,
    thumbprint: `${server}/${shownKey(place)}`,
    async wrapDataKey(dataKey, signal) {
      const ciphertext = await engine.encrypt(name, dataKey, signal);
      return { ...present(place), ciphertext };
    },
  });
}

export interface VaultKeyOptions extends VaultOptions {
  /** The key's name in reports. Default: `vault`. */
  label?: string | undefined;
  /** The names of the keys that may be used. Default: all keys that the token may use. */
  keys?: readonly string[] | undefined;
}

/**
 * Creates a key that opens layers with the transit engine that the options name. The server and the
 * engine that a wrapped key names are never contacted.
 *
 * Unwrapping fails with `KEY_SERVER_UNREACHABLE`, `KEY_SERVER_UNAUTHORIZED`,
 * `KEY_SERVER_KEY_NOT_FOUND`, `KEY_SERVER_KEY_DISABLED` (the version of the key is excluded),
 * `KEY_SERVER_ANSWER_INVALID`, `KEY_UNSUPPORTED` or `WRAPPED_KEY_INVALID`.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function key({ label = SYSTEM, keys, ...options }: VaultKeyOptions): Key {
  const engine = transit(options);
  return envelopeKey({
    system: SYSTEM,
    label,
    mismatch: (envelope) => mismatch(wrappedIn(envelope), engine, keys),
    unwrapDataKey(envelope, signal) {
      const { key: name, ciphertext } = wrappedIn(envelope);
      return engine.decrypt(name, ciphertext, signal);
    },
    describe,
    async isCurrent(envelope, signal) {
      const { key: name, ciphertext } = wrappedIn(envelope);
      const renewed = await engine.rewrap(name, ciphertext, signal);
      return versionOf(renewed) === versionOf(ciphertext);
    },
  });
}

/**
 * Returns a wrapped key whose data key Vault has encrypted again with the latest version of its key, or
 * `undefined` if it already uses that version. Needs only the permission to rewrap.
 *
 * @param wrapped a wrapped key of `provider.vault`
 * @throws {@link OcicryptError} as {@link key}; `NO_MATCHING_KEY` for a wrapped key of another engine
 */
export async function rewrap(
  wrapped: Uint8Array,
  { signal, keys, ...options }: VaultKeyOptions & { signal?: AbortSignal | undefined },
): Promise<Uint8Array | undefined> {
  const engine = transit(options);
  const envelope = readEnvelope(SYSTEM, wrapped);
  const own = envelope === undefined ? undefined : wrappedIn(envelope);
  const why = own === undefined ? "it is not a wrapped key of Vault" : mismatch(own, engine, keys);
  if (own === undefined || why !== undefined) {
    throw new OcicryptError("NO_MATCHING_KEY", `the wrapped key cannot be rewrapped: ${why ?? ""}`);
  }
  const ciphertext = await engine.rewrap(own.key, own.ciphertext, signal);
  if (versionOf(ciphertext) === versionOf(own.ciphertext)) return undefined;
  return writeEnvelope({ ...envelope, ciphertext });
}

/** The address may differ: a server can move, and have several names. */
function mismatch(
  wrapped: VaultWrapped,
  { namespace, mount }: Transit,
  keys: readonly string[] | undefined,
): string | undefined {
  const own = { namespace, mount, key: wrapped.key };
  const isOwn = wrapped.namespace === namespace && wrapped.mount === mount;
  if (isOwn && keys?.includes(wrapped.key) !== false) return undefined;
  const wanted = isOwn ? (keys ?? []).map((each) => shownKey({ ...own, key: each })).join(" or ") : shownKey({ ...own, key: "…" }); // prettier-ignore
  return `it is for the key ${shownKey(wrapped)} of Vault, not ${wanted}`;
}

function present({ namespace, ...place }: KeyPlace): Record<string, string> {
  return { ...place, ...(namespace !== undefined && { namespace }) };
}
