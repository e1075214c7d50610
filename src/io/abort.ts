import { setMaxListeners } from "node:events";

/**
 * A signal that is aborted with any of those given. It may have as many listeners as there is work
 * at once, while Node warns of more than ten as of a leak.
 */
export function anySignal(...signals: (AbortSignal | undefined)[]): AbortSignal {
  const either = AbortSignal.any(signals.filter((signal) => signal !== undefined));
  setMaxListeners(0, either);
  return either;
}

/**
 * Waits for a promise no longer than until a signal is aborted, for work that may not heed it.
 * Rejects with the signal's reason then.
 */
export async function abortable<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return promise;
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the caller's own
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
  }
}
