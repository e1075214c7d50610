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

export interface Limits {
  /** Milliseconds. */
  limit: number;
  /** For the message, in milliseconds too. */
  timeout: number;
  signal: AbortSignal;
}

/** Waits for a peer no longer than the limit, even for one who does not listen to the signal. */
export async function within<T>(
  promise: Promise<T>,
  { limit, timeout, signal }: Limits,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(timedOut("there was no answer, or next to nothing of one,", timeout));
    }, limit);
  });
  try {
    return await abortable(Promise.race([promise, late]), signal);
  } finally {
    clearTimeout(timer);
  }
}

/** The failure of somebody who lets wait, in the form of the system's own. */
export function timedOut(what: string, timeout: number): Error {
  const error = new Error(`${what} for ${String(timeout)} ms`);
  return Object.assign(error, { code: "ETIMEDOUT" });
}
