import { setMaxListeners } from "node:events";

/**
 * Returns a signal that is aborted with any of those given. It may have as many listeners as there
 * is work at once: Node.js would warn of a leak from the eleventh on.
 */
export function anySignal(...signals: (AbortSignal | undefined)[]): AbortSignal {
  const either = AbortSignal.any(signals.filter((signal) => signal !== undefined));
  setMaxListeners(0, either);
  return either;
}

/**
 * Waits for a promise until it settles or a signal is aborted, for work that may ignore the signal.
 * Rejects with the signal's reason in the second case.
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

/** A limit on waiting that can be set again and again. All times are in milliseconds. */
export interface Deadline {
  /** Starts to wait; a limit that is running already is replaced. */
  start(what: string, limit?: number): void;
  stop(): void;
}

/**
 * Makes a {@link Deadline}.
 *
 * @param timeout the usual limit, which the message names
 * @param onLate called with an error of the code `ETIMEDOUT` when the limit passes
 */
export function deadline(timeout: number, onLate: (error: Error) => void): Deadline {
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    clearTimeout(timer);
  };
  return {
    start(what, limit = timeout) {
      stop();
      timer = setTimeout(() => {
        const error = new Error(`${what} for ${String(timeout)} ms`);
        onLate(Object.assign(error, { code: "ETIMEDOUT" }));
      }, limit);
    },
    stop,
  };
}
