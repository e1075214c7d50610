import { OcicryptError } from "../../errors.js";

export interface DeadlineOptions {
  /** Milliseconds. */
  timeout: number;
  signal?: AbortSignal | undefined;
  /** The provider's name in messages. */
  who: string;
}

/**
 * Waits until the deadline at most, even for a provider that ignores the signal.
 *
 * @throws {@link OcicryptError} `PROVIDER_TIMEOUT`; the reason of `signal`; errors of `run`
 */
export async function withDeadline<T>(
  run: (signal: AbortSignal) => Promise<T>,
  { timeout, signal, who }: DeadlineOptions,
): Promise<T> {
  signal?.throwIfAborted();
  const controller = new AbortController();
  const aborted = new Promise<never>((_resolve, reject) => {
    controller.signal.addEventListener("abort", () => {
      reject(controller.signal.reason as Error);
    });
  });
  const forward = (): void => {
    controller.abort(signal?.reason);
  };
  signal?.addEventListener("abort", forward, { once: true });
  const timer = setTimeout(() => {
    const message = `${who} did not answer within ${String(timeout)} ms`;
    controller.abort(new OcicryptError("PROVIDER_TIMEOUT", message));
  }, timeout);
  try {
    return await Promise.race([run(controller.signal), aborted]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", forward);
  }
}
