import { newAttempts } from "../keywrap/unwrapping.js";
import { describeWrappedKey } from "../keywrap/schemes.js";
import type { Key, RecipientInfo } from "../keywrap/types.js";
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

/** Returns the recipients of a layer. No content of the annotations makes it throw. */
export async function listRecipients(descriptor: DescriptorLike): Promise<RecipientReport[]> {
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

/**
 * Tries one key on every wrapped key of its scheme, until one opens.
 *
 * @throws the reason of the signal if it aborts. If the key fails, the report has the reason.
 */
export async function explainKey(
  descriptor: DescriptorLike,
  { key, signal }: ExplainKeyOptions,
): Promise<KeyReport> {
  const reasons: string[] = [];
  const attempts = newAttempts();
  for (const wrapped of readWrappedKeys(descriptor, [key.scheme])) {
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
