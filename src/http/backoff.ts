import { setTimeout as sleep } from "node:timers/promises";

export interface RetryPolicy {
  /** The number of times that a request is sent again. */
  retries: number;
  /** The milliseconds before the first retry, which double with each further retry. */
  retryDelay: number;
  onRetry?: ((retry: Retry) => void) | undefined;
}

/** A request that failed temporarily and is sent again. */
export interface Retry {
  /** The reason for the retry. */
  reason: string;
  /** The number of the retry, from 1. */
  attempt: number;
  /** The largest number of retries. */
  retries: number;
}

export interface Backoff {
  /**
   * Waits before a retry.
   *
   * @param reason the failure
   * @param asked the milliseconds that the server asked for
   * @returns false immediately if there are no retries left
   */
  again(reason: string, signal: AbortSignal | undefined, asked?: number): Promise<boolean>;
}

const MAX_PAUSE = 60_000;
const MAX_TIME = 5 * 60_000;

/**
 * Creates growing pauses. Their lengths are random, so that many clients do not retry at the same
 * time.
 */
export function backoff(policy: RetryPolicy): Backoff {
  let count = 0;
  let first: number | undefined;
  return {
    async again(reason, signal, asked = 0) {
      const pause = pauseBefore(count, policy, asked);
      first ??= performance.now();
      if (count >= policy.retries || performance.now() - first + pause > MAX_TIME) return false;
      count++;
      policy.onRetry?.({ reason, attempt: count, retries: policy.retries });
      try {
        await sleep(pause, undefined, signal === undefined ? {} : { signal });
      } catch (error) {
        signal?.throwIfAborted();
        throw error;
      }
      return true;
    },
  };
}

/**
 * Returns the milliseconds before a retry: at least as many as the server asked for, within a
 * limit.
 */
export function pauseBefore(count: number, { retryDelay }: RetryPolicy, asked: number): number {
  const own = retryDelay * 2 ** count * (0.5 + Math.random());
  return Math.min(Math.max(own, asked), MAX_PAUSE);
}

/** Whether a status means that the same request may succeed later. */
export function isBusy(status: number): boolean {
  return status === 429 || (status >= 502 && status <= 504);
}

/**
 * Returns the milliseconds that a server asks its client to wait; 0 if it does not ask.
 * https://www.rfc-editor.org/rfc/rfc9110.html#section-10.2.3
 */
export function retryAfter(headers: { get(name: string): string | null }): number {
  const value = headers.get("retry-after")?.trim() ?? "";
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  // A date of HTTP starts with the name of the day; Date.parse also takes other text.
  const date = /^[A-Z][a-z]{2}/.test(value) ? Date.parse(value) : NaN;
  return Number.isNaN(date) ? 0 : Math.max(date - Date.now(), 0);
}

/** @throws {RangeError} */
export function atLeast(name: string, value: number, minimum: number): number {
  if (Number.isSafeInteger(value) && value >= minimum) return value;
  throw new RangeError(`${name} must be a whole number of at least ${String(minimum)}`);
}
