import { nextTurn } from "#engine/turn";
import { newAttempts } from "../keywrap/unwrapping.js";
import { describeWrappedKey } from "../keywrap/schemes.js";
import type { Key, RecipientInfo, ServerReport } from "../keywrap/types.js";
import type { DescriptorLike } from "../spec/descriptor.js";
import { abortable } from "../io/abort.js";
import { parsePrivateOptions, wipePrivateOptions } from "../cipher/options.js";
import { readWrappedKeys, type WrappedKey } from "./wrapped-keys.js";

/** A recipient of a layer, as far as it is known without a key. */
export interface RecipientReport extends Partial<RecipientInfo> {
  scheme: string;
  /** The position of the wrapped key in its scheme's list, from 0. */
  index: number;
  /** The reason why the wrapped key cannot be read. */
  problem?: string;
}

/** Whether one key opens a layer, and if not, why. */
export interface KeyReport {
  opens: boolean;
  /** The position of the wrapped key that it opens, in its scheme's list, from 0. */
  index?: number;
  /** The bytes that bind the layer to images, if the wrapped key contains any. */
  binding?: Uint8Array;
  /** The reasons why the key does not open the wrapped keys of its scheme, one for each. */
  reasons: string[];
}

export interface ExplainKeyOptions {
  key: Key;
  signal?: AbortSignal | undefined;
}

/** As in `recipients.ts`. */
export async function listRecipients(descriptor: DescriptorLike): Promise<RecipientReport[]> {
  // An image can have thousands of layers.
  await nextTurn();
  const reports = await Promise.all(readWrappedKeys(descriptor).map(reportRecipients));
  return reports.flat();
}

/** Describes the recipients of one wrapped key, which may have several. */
export async function reportRecipients(wrapped: WrappedKey): Promise<RecipientReport[]> {
  const { scheme, index } = wrapped;
  if (wrapped.error !== undefined) return [{ scheme, index, problem: wrapped.error.message }];
  try {
    const recipients = await describeWrappedKey(scheme, wrapped.bytes);
    if (recipients.length === 0) return [{ scheme, index }];
    return recipients.map((info) => ({ scheme, index, ...info }));
  } catch (error) {
    return [{ scheme, index, problem: messageOf(error) }];
  }
}

/** As in `recipients.ts`. */
export async function explainKey(
  descriptor: DescriptorLike,
  { key, signal }: ExplainKeyOptions,
): Promise<KeyReport> {
  const reasons: string[] = [];
  const attempts = newAttempts();
  for (const wrapped of readWrappedKeys(descriptor, [key.scheme])) {
    await nextTurn();
    signal?.throwIfAborted();
    if (wrapped.error !== undefined) {
      reasons.push(wrapped.error.message);
      continue;
    }
    try {
      const secret = await abortable(key.unwrap(wrapped.bytes, { signal, attempts }), signal);
      if (secret !== null) {
        const binding = bindingIn(secret);
        const { index } = wrapped;
        return { opens: true, index, ...(binding && { binding }), reasons: [] };
      }
      reasons.push(key.explain?.(wrapped.bytes) ?? "it is for another key");
    } catch (error) {
      signal?.throwIfAborted();
      reasons.push(messageOf(error));
    }
  }
  if (reasons.length === 0) reasons.push(`the layer has no ${key.scheme} recipient`);
  return { opens: false, reasons };
}

/** The answer of a key server about one wrapped key of a layer. */
export interface LayerServerReport extends ServerReport {
  scheme: string;
  /** The position of the wrapped key in its scheme's list, from 0. */
  index: number;
}

/**
 * Asks key servers about the wrapped keys of a layer, with the keys that can ask.
 *
 * @throws the reason of the signal if it aborts
 */
export async function checkServers(
  descriptor: DescriptorLike,
  { keys, signal }: { keys: readonly Key[]; signal?: AbortSignal | undefined },
): Promise<LayerServerReport[]> {
  const reports: LayerServerReport[] = [];
  for (const { scheme, index, bytes } of readWrappedKeys(descriptor)) {
    const key = keys.find((each) => each.scheme === scheme && each.check !== undefined);
    if (key?.check === undefined || bytes === undefined) continue;
    try {
      const found = await abortable(key.check(bytes, { signal }), signal);
      reports.push(...found.map((report) => ({ scheme, index, ...report })));
    } catch {
      // The recipients of the layer say why its wrapped key cannot be read.
      signal?.throwIfAborted();
    }
  }
  return reports;
}

function bindingIn(secret: Uint8Array): Uint8Array | undefined {
  try {
    const options = parsePrivateOptions(secret);
    wipePrivateOptions(options);
    return options.binding;
  } finally {
    secret.fill(0);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : "unknown reason";
}

/**
 * Selects recipients of a layer:
 * - `keys`: the recipients whose wrapped keys these keys open;
 * - `keyIds`: the recipients that `listRecipients` reports with one of these ids;
 * - `scheme` and `index`: the recipients of the wrapped key at a position in its scheme's list,
 *   from 0;
 * - `scheme` alone: all recipients of a scheme.
 */
export type RecipientSelector =
  | { keys: readonly Key[] }
  | { keyIds: readonly string[]; scheme?: string | undefined }
  | { scheme: string; index?: number | undefined };

/** Whether a selector selects a whole scheme. */
export function meansScheme(selector: RecipientSelector): selector is { scheme: string } {
  return !("keys" in selector || "keyIds" in selector) && selector.index === undefined;
}

/** A key of a selector that could not be tried on a wrapped key. */
export interface FailedAttempt {
  selector: RecipientSelector;
  key: Key;
  scheme: string;
  index: number;
  error: unknown;
}

/** Whether a selector selects a wrapped key. Failed attempts are added to `failed`. */
export async function meansWrappedKey(
  selector: RecipientSelector,
  wrapped: WrappedKey,
  reports: readonly RecipientReport[],
  failed: FailedAttempt[],
  signal?: AbortSignal,
): Promise<boolean> {
  const { scheme, index } = wrapped;
  if ("keys" in selector) {
    for (const key of selector.keys) {
      try {
        if (await unwraps(key, wrapped, signal)) return true;
      } catch (error) {
        signal?.throwIfAborted();
        failed.push({ selector, key, scheme, index, error });
      }
    }
    return false;
  }
  if ("keyIds" in selector) {
    if (selector.scheme !== undefined && selector.scheme !== scheme) return false;
    return reports.some(({ keyId }) => keyId !== undefined && selector.keyIds.includes(keyId));
  }
  return selector.scheme === scheme && (selector.index ?? index) === index;
}

/** Whether a key opens a wrapped key. The secret itself is not parsed. */
export async function unwraps(
  key: Key,
  wrapped: WrappedKey,
  signal?: AbortSignal,
): Promise<boolean> {
  if (wrapped.error !== undefined || key.scheme !== wrapped.scheme) return false;
  await nextTurn();
  signal?.throwIfAborted();
  const secret = await abortable(key.unwrap(wrapped.bytes, { signal }), signal);
  secret?.fill(0);
  return secret !== null;
}

/** Describes a selector for a message. */
export function describeSelector(selector: RecipientSelector): string {
  if ("keys" in selector) {
    const labels = new Set(selector.keys.map(({ label }) => label ?? "a key without a name"));
    return [...labels].join(", ");
  }
  if ("keyIds" in selector) return selector.keyIds.slice(0, 3).join(" or ");
  const { scheme, index } = selector;
  return index === undefined ? scheme : `${scheme}:${String(index)}`;
}
