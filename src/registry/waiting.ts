import { abortable } from "../io/abort.js";

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
