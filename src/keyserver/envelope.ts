import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { isOcicryptError, OcicryptError } from "../errors.js";
import { newAttempts, takeAttempt } from "../keywrap/unwrapping.js";
import type { Key, Recipient, RecipientInfo, ServerReport } from "../keywrap/types.js";
import { decodeBase64, encodeBase64 } from "../spec/base64.js";
import { MAX_WRAPPED_KEY_SIZE } from "../spec/limits.js";
import { asObject, type JsonObject, parseJson, stringIn } from "../text/json.js";
import { printable } from "../text/printable.js";

/**
 * A wrapped key as JSON. The private options are encrypted with a new data key, and only the data
 * key is wrapped by the key server: servers limit the length of what they wrap, and the layer's key
 * never leaves this process.
 *
 * - `system`: the system, such as `vault`
 * - `sealed`: base64 of the nonce (12 bytes), the private options encrypted with AES-256-GCM, and the
 *   tag (16 bytes); the additional data is the annotation's scheme, such as `provider.vault`
 * - all further members belong to the system, and name the key
 */
export type Envelope = JsonObject;

/** The length of a data key, in bytes. */
export const DATA_KEY_SIZE = 32;
const NONCE_SIZE = 12;
const TAG_SIZE = 16;

export interface EnvelopeRecipient extends Pick<Recipient, "thumbprint"> {
  system: string;
  /** Wraps a data key, and returns the members of the envelope that belong to the system. */
  wrapDataKey(dataKey: Uint8Array, signal: AbortSignal | undefined): Promise<JsonObject>;
}

/** Creates a recipient whose wrapped keys are envelopes. */
export function envelopeRecipient(options: EnvelopeRecipient): Recipient {
  const { system, thumbprint } = options;
  const scheme = schemeOf(system);
  return {
    scheme,
    thumbprint,
    async wrap(privateOptions, { signal } = {}) {
      const dataKey = randomBytes(DATA_KEY_SIZE);
      try {
        // First, because the caller overwrites the private options.
        const sealed = seal(privateOptions, dataKey, scheme);
        const own = await options.wrapDataKey(dataKey, signal);
        return writeEnvelope({ system, ...own, sealed: encodeBase64(sealed) });
      } finally {
        dataKey.fill(0);
      }
    },
  };
}

export interface EnvelopeKey extends Pick<Key, "label"> {
  system: string;
  /**
   * Returns a few words that say why an envelope is for another key; `undefined` if it is not.
   *
   * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`
   */
  mismatch(envelope: Envelope): string | undefined;
  /** Unwraps the data key, into a buffer that is overwritten after use. */
  unwrapDataKey(envelope: Envelope, signal: AbortSignal | undefined): Promise<Uint8Array>;
  /** Whether the latest version of the key wrapped the data key. */
  isCurrent?:
    ((envelope: Envelope, signal: AbortSignal | undefined) => Promise<boolean>) | undefined;
  /** Describes a wrapped key. */
  describe?: ((wrapped: Uint8Array) => RecipientInfo[]) | undefined;
}

/** Creates a key that opens envelopes. */
export function envelopeKey(options: EnvelopeKey): Key {
  const { system, label, isCurrent } = options;
  const scheme = schemeOf(system);
  return {
    scheme,
    label,
    ...(isCurrent !== undefined && {
      async check(wrapped, { signal } = {}) {
        const envelope = readEnvelope(system, wrapped);
        if (envelope === undefined || options.mismatch(envelope) !== undefined) return [];
        const [{ server = "", keyId = "" } = {}] = options.describe?.(wrapped) ?? [];
        const ask = (): Promise<boolean> => isCurrent(envelope, signal);
        return [{ server, keyId, ...(await stateOf(ask, signal)) }];
      },
    }),
    async unwrap(wrapped, { signal, attempts = newAttempts() } = {}) {
      const envelope = readEnvelope(system, wrapped);
      if (envelope === undefined || options.mismatch(envelope) !== undefined) return null;
      await takeAttempt(attempts, signal);
      const dataKey = await options.unwrapDataKey(envelope, signal);
      try {
        if (dataKey.byteLength !== DATA_KEY_SIZE) {
          const message = `the data key that ${system} unwrapped does not have 32 bytes`;
          throw new OcicryptError("KEY_SERVER_ANSWER_INVALID", message);
        }
        return unseal(envelope, dataKey, scheme);
      } finally {
        dataKey.fill(0);
      }
    },
    explain(wrapped) {
      const envelope = readEnvelope(system, wrapped);
      const why = envelope === undefined ? undefined : options.mismatch(envelope);
      return why ?? "it is from another key provider of this name";
    },
  };
}

/**
 * Returns the state of a key that a server keeps; `unknown`, with the reason, if the server cannot be
 * asked.
 *
 * @param isCurrent asks the server
 * @throws the reason of the signal; an error of `isCurrent` that is not an {@link OcicryptError}
 */
export async function stateOf(
  isCurrent: () => Promise<boolean>,
  signal: AbortSignal | undefined,
): Promise<Pick<ServerReport, "state" | "reason">> {
  try {
    return { state: (await isCurrent()) ? "current" : "old" };
  } catch (error) {
    signal?.throwIfAborted();
    if (!isOcicryptError(error)) throw error;
    if (error.code === "KEY_SERVER_KEY_NOT_FOUND") return { state: "gone" };
    return { state: "unknown", reason: printable(error.message) };
  }
}

function schemeOf(system: string): string {
  return `provider.${system}`;
}

export function writeEnvelope(envelope: Envelope): Uint8Array {
  return Buffer.from(JSON.stringify(envelope), "utf8");
}

/**
 * Reads a wrapped key; `undefined` if another key provider of the same name wrote it.
 *
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`
 */
export function readEnvelope(system: string, wrapped: Uint8Array): Envelope | undefined {
  const refuse = (why: string): Error => damaged(system, why);
  const isJson = wrapped[0] === "{".charCodeAt(0);
  const value = isJson
    ? asObject(parseJson(wrapped, { maxSize: MAX_WRAPPED_KEY_SIZE, refuse }))
    : undefined;
  return stringIn(value, "system") === system ? value : undefined;
}

/**
 * Returns a member of an envelope.
 *
 * @param form matches the whole member
 * @throws {@link OcicryptError} `WRAPPED_KEY_INVALID`
 */
export function textIn(envelope: Envelope, name: string, form: RegExp): string {
  const text = optionalTextIn(envelope, name, form);
  if (text !== undefined) return text;
  throw damaged(systemOf(envelope), `it has no ${name}`);
}

/** As {@link textIn}, for a member that may be absent. */
export function optionalTextIn(envelope: Envelope, name: string, form: RegExp): string | undefined {
  if (!Object.hasOwn(envelope, name)) return undefined;
  const text = stringIn(envelope, name);
  if (text !== undefined && form.test(text)) return text;
  throw damaged(systemOf(envelope), `its ${name} is not valid`);
}

/** Returns the error `WRAPPED_KEY_INVALID`. */
export function damaged(system: string, why: string): OcicryptError {
  return new OcicryptError(
    "WRAPPED_KEY_INVALID",
    `the wrapped key of ${system} is invalid: ${why}`,
  );
}

function systemOf(envelope: Envelope): string {
  return stringIn(envelope, "system") ?? "a key server";
}

function seal(plaintext: Uint8Array, dataKey: Uint8Array, scheme: string): Uint8Array {
  const nonce = randomBytes(NONCE_SIZE);
  const cipher = createCipheriv("aes-256-gcm", dataKey, nonce).setAAD(Buffer.from(scheme));
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** A wrong data key and a changed envelope have the same effect: the tag does not match. */
function unseal(envelope: Envelope, dataKey: Uint8Array, scheme: string): Uint8Array {
  const sealed = decodeBase64(stringIn(envelope, "sealed") ?? "");
  if (sealed === null || sealed.byteLength < NONCE_SIZE + TAG_SIZE) {
    throw damaged(systemOf(envelope), "its sealed part is not valid");
  }
  const decipher = createDecipheriv("aes-256-gcm", dataKey, sealed.subarray(0, NONCE_SIZE), {
    authTagLength: TAG_SIZE,
  });
  decipher.setAAD(Buffer.from(scheme)).setAuthTag(sealed.subarray(-TAG_SIZE));
  const opened = decipher.update(sealed.subarray(NONCE_SIZE, -TAG_SIZE));
  try {
    decipher.final();
    return opened;
  } catch {
    opened.fill(0);
    throw damaged(systemOf(envelope), "it was changed, or the key server unwrapped another key");
  }
}
