import { nextTurn } from "#engine/turn";
import { OcicryptError } from "../errors.js";
import { MAX_UNWRAP_ATTEMPTS } from "../spec/limits.js";
import type { Attempts, Key, UnwrapContext } from "./types.js";

/**
 * Returns a key whose password takes time to check. It is opened once, off the main thread, when
 * the first wrapped key is tried. Its contents are then used as one key.
 *
 * @param open opens the key; if it rejects, {@link Key.unwrap} rejects in the same way each time
 */
export function lockedKey(
  scheme: string,
  label: string | undefined,
  open: (signal?: AbortSignal) => Promise<Key[]>,
): Key {
  let opened: Key[] | undefined;
  let opening: Promise<Key[]> | undefined;
  return {
    scheme,
    label,
    get thumbprint() {
      return opened?.[0]?.thumbprint;
    },
    async unwrap(wrapped, options) {
      opening ??= open(options?.signal).then(
        (keys) => (opened = keys),
        (error: unknown) => {
          // An aborted attempt does not show whether the password is right.
          if (options?.signal?.aborted === true) opening = undefined;
          throw error;
        },
      );
      for (const key of await opening) {
        const secret = await key.unwrap(wrapped, options);
        if (secret !== null) return secret;
      }
      return null;
    },
    explain: (wrapped) =>
      opened?.map((key) => key.explain?.(wrapped) ?? "it is for another key").join("; ") ??
      "the key was not opened",
  };
}

export function newAttempts(): Attempts {
  return { left: MAX_UNWRAP_ATTEMPTS };
}

/**
 * Counts one attempt before a private key operation, which takes milliseconds. It first yields to
 * the event loop, so that an aborted signal is noticed.
 *
 * @throws {@link OcicryptError} `ANNOTATION_TOO_LARGE` if no attempt is left
 */
export async function takeAttempt(
  attempts: Attempts,
  signal: UnwrapContext["signal"],
): Promise<void> {
  await nextTurn();
  signal?.throwIfAborted();
  if (attempts.left-- > 0) return;
  const message = `gave up on the layer's wrapped keys after ${String(MAX_UNWRAP_ATTEMPTS)} attempts with one key`;
  throw new OcicryptError("ANNOTATION_TOO_LARGE", message);
}
