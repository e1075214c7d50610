import { setImmediate } from "node:timers/promises";
import { OcicryptError } from "../errors.js";
import { MAX_UNWRAP_ATTEMPTS } from "../spec/limits.js";
import type { UnwrapContext } from "./types.js";

/** The attempts that one key may make on the wrapped keys of one layer. */
export interface Attempts {
  left: number;
}

export function newAttempts(): Attempts {
  return { left: MAX_UNWRAP_ATTEMPTS };
}

/**
 * Takes one attempt before a private key operation, which takes milliseconds. Other work and an
 * aborted signal get their turn first.
 *
 * @throws {@link OcicryptError} `ANNOTATION_TOO_LARGE` when none is left
 */
export async function takeAttempt(
  attempts: Attempts,
  signal: UnwrapContext["signal"],
): Promise<void> {
  await setImmediate();
  signal?.throwIfAborted();
  if (attempts.left-- > 0) return;
  const message = `gave up on the layer's wrapped keys after ${String(MAX_UNWRAP_ATTEMPTS)} attempts with one key`;
  throw new OcicryptError("ANNOTATION_TOO_LARGE", message);
}
