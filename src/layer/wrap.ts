import { OcicryptError } from "../errors.js";
import type { Recipient } from "../keywrap/types.js";
import { serializePrivateOptions, type PrivateOptions } from "./private-options.js";

export interface WrappedElement {
  scheme: string;
  bytes: Uint8Array;
}

/**
 * One wrapped key for each recipient, in their order. All of them or none: a recipient that is
 * dropped without a word finds out when the image does not run.
 *
 * @throws {@link OcicryptError} `NO_RECIPIENTS`, `WRAP_FAILED`, and what recipients throw
 */
export async function wrapForAll(
  options: PrivateOptions,
  recipients: readonly Recipient[],
  signal?: AbortSignal,
): Promise<WrappedElement[]> {
  requireRecipients(recipients);
  const secret = serializePrivateOptions(options);
  try {
    const results = await Promise.allSettled(
      recipients.map(async (recipient) => ({
        scheme: recipient.scheme,
        bytes: await recipient.wrap(secret, { signal }),
      })),
    );
    return results.map((result) => {
      if (result.status === "rejected") throw asWrapError(result.reason, signal);
      const { scheme, bytes } = result.value;
      if (bytes.byteLength === 0) {
        throw new OcicryptError("WRAP_FAILED", `the ${scheme} recipient returned an empty key`);
      }
      return result.value;
    });
  } finally {
    secret.fill(0);
  }
}

/** @throws {@link OcicryptError} `NO_RECIPIENTS` */
export function requireRecipients(recipients: readonly Recipient[]): void {
  if (recipients.length === 0) {
    throw new OcicryptError("NO_RECIPIENTS", "encryption needs at least one recipient");
  }
  for (const { scheme } of recipients) {
    if (!/^[a-z0-9]+(?:\.[^\s,]+)?$/.test(scheme)) {
      throw new TypeError(`${JSON.stringify(scheme)} can not be the name of a scheme`);
    }
  }
}

function asWrapError(reason: unknown, signal: AbortSignal | undefined): unknown {
  if (reason instanceof OcicryptError || signal?.aborted === true) return reason;
  const what = reason instanceof Error ? reason.message : "unknown reason";
  return new OcicryptError("WRAP_FAILED", `a recipient could not wrap the key: ${what}`, {
    cause: reason,
  });
}
