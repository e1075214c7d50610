import type { Key } from "../keywrap/types.js";
import { abortable } from "../io/abort.js";
import type { RecipientReport } from "./explain.js";
import type { WrappedKey } from "./wrapped-keys.js";

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
