import { OcicryptError } from "../errors.js";
import type { Recipient } from "../keywrap/types.js";
import { abortable, anySignal } from "../io/abort.js";
import { serializePrivateOptions, type PrivateOptions } from "../cipher/options.js";

export interface WrappedElement {
  scheme: string;
  bytes: Uint8Array;
}

/**
 * Returns one wrapped key for each recipient, in the same order. If one recipient fails, the whole
 * call fails: a recipient that is silently dropped would only notice when the image does not run.
 *
 * @throws {@link OcicryptError} `NO_RECIPIENTS`, `WRAP_FAILED`, and the errors of recipients
 */
export async function wrapForAll(
  options: PrivateOptions,
  recipients: readonly Recipient[],
  signal?: AbortSignal,
): Promise<WrappedElement[]> {
  requireRecipients(recipients);
  const secret = serializePrivateOptions(options);
  const short = serializePrivateOptions({ ...options, binding: undefined });
  const shared = signal && anySignal(signal);
  try {
    return await Promise.all(
      recipients.map((recipient) =>
        wrapFor(recipient, recipient.roomForBinding === false ? short : secret, shared),
      ),
    );
  } finally {
    secret.fill(0);
    short.fill(0);
  }
}

async function wrapFor(
  recipient: Recipient,
  secret: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<WrappedElement> {
  const { scheme } = recipient;
  // A copy, so that a recipient that changes it does not affect the others.
  const own = Uint8Array.from(secret);
  let bytes: unknown;
  try {
    bytes = await abortable(recipient.wrap(own, { signal }), signal);
  } catch (error) {
    const { redactError } = await import("../text/redact.js");
    // A recipient may be the caller's own code, and its error may quote its input.
    throw asWrapError(redactError(error, [secret]), signal);
  } finally {
    own.fill(0);
  }
  if (bytes instanceof Uint8Array && bytes.byteLength > 0) return { scheme, bytes };
  throw new OcicryptError("WRAP_FAILED", `the ${scheme} recipient returned no wrapped key`);
}

/**
 * Returns the recipients without duplicates, which have the same public key, scheme and algorithm;
 * the first is kept. Recipients without a thumbprint cannot be compared, and are kept.
 *
 * @throws {@link OcicryptError} `NO_RECIPIENTS`
 */
export function distinctRecipients(recipients: readonly Recipient[]): Recipient[] {
  requireRecipients(recipients);
  const seen = new Set<string>();
  return recipients.filter(({ scheme, algorithm, thumbprint }) => {
    if (thumbprint === undefined) return true;
    const name = JSON.stringify([scheme, algorithm, thumbprint]);
    return !seen.has(name) && seen.add(name);
  });
}

/** @throws {@link OcicryptError} `NO_RECIPIENTS` */
export function requireRecipients(recipients: readonly Recipient[]): void {
  if (recipients.length === 0) {
    throw new OcicryptError("NO_RECIPIENTS", "encryption needs at least one recipient");
  }
  for (const { scheme } of recipients) {
    if (!/^[a-z0-9]+(?:\.[^\s,]+)?$/.test(scheme)) {
      throw new TypeError(`${JSON.stringify(scheme)} cannot be the name of a scheme`);
    }
  }
}

function asWrapError(reason: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true) return signal.reason;
  if (reason instanceof OcicryptError) return reason;
  const what = reason instanceof Error ? reason.message : "unknown reason";
  return new OcicryptError("WRAP_FAILED", `a recipient could not wrap the key: ${what}`, {
    cause: reason,
  });
}
