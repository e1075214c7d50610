import { unlimitListeners } from "#engine/turn";

/**
 * Returns a signal that aborts when any of the given signals aborts. It may have any number of
 * listeners; by default, Node.js warns of a leak from the eleventh listener on.
 */
export function anySignal(...signals: (AbortSignal | undefined)[]): AbortSignal {
  const either = AbortSignal.any(signals.filter((signal) => signal !== undefined));
  unlimitListeners(either);
  return either;
}

/**
 * Waits until a promise settles or a signal aborts, for work that may ignore the signal. If the
 * signal aborts first, it rejects with the signal's reason.
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

/** Waits for one promise after the other, each as {@link abortable} does. */
export interface Interruptible {
  wait<T>(promise: Promise<T>): Promise<T>;
  /** Forgets the signal. */
  end(): void;
}

/** Listens to a signal once for many waits: for a stream, a listener for each chunk takes long. */
export function interruptible(signal: AbortSignal | undefined): Interruptible {
  if (signal === undefined) return { wait: (promise) => promise, end: () => undefined };
  let interrupt: ((reason: unknown) => void) | undefined;
  const onAbort = (): void => interrupt?.(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  return {
    wait: (promise) =>
      new Promise((resolve, reject) => {
        interrupt = reject;
        promise.then(resolve, reject);
        if (signal.aborted) onAbort();
      }),
    end: () => {
      signal.removeEventListener("abort", onAbort);
    },
  };
}

/**
 * Returns a timeout in milliseconds that timers can measure: 24 days at most.
 *
 * @throws {RangeError} for a longer one, with which `setTimeout` would end at once
 */
export function timeLimit(timeout: number): number {
  if (timeout > 0 && timeout <= 2 ** 31 - 1) return timeout;
  throw new RangeError(`a timeout of ${String(timeout)} ms is out of range`);
}

/**
 * Runs work until a deadline at most, even work that ignores its signal.
 *
 * @param timeout in milliseconds
 * @param late makes the error for work that takes longer
 */
export async function withDeadline<T>(
  run: (signal: AbortSignal) => Promise<T>,
  {
    timeout,
    signal,
    late,
  }: { timeout: number; signal: AbortSignal | undefined; late: () => Error },
): Promise<T> {
  signal?.throwIfAborted();
  const controller = new AbortController();
  const either = anySignal(signal, controller.signal);
  const timer = setTimeout(() => {
    controller.abort(late());
  }, timeout);
  try {
    return await abortable(run(either), either);
  } finally {
    clearTimeout(timer);
  }
}

/** A time limit that can be set again and again. All times are in milliseconds. */
export interface Deadline {
  /** Starts the time limit, and replaces a running one. */
  start(what: string, limit?: number): void;
  stop(): void;
}

/**
 * Creates a {@link Deadline}.
 *
 * @param timeout the usual limit, which the message names
 * @param onLate called with an error with the code `ETIMEDOUT` when the limit has passed
 */
export function deadline(timeout: number, onLate: (error: Error) => void): Deadline {
  let timer: ReturnType<typeof setTimeout> | undefined;
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
