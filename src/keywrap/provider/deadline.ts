import { OcicryptError } from "../../errors.js";

export interface DeadlineOptions {
  /** Milliseconds. */
  timeout: number;
  signal?: AbortSignal | undefined;
  /** Who is waited for. */
  who: string;
}

/**
 * Waits no longer than the deadline, even for somebody who does not listen to the signal.
 *
 * @throws {@link OcicryptError} `PROVIDER_TIMEOUT`; the reason of `signal`; what `run` throws
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
    const message = `${who} gave no answer within ${String(timeout)} ms`;
    controller.abort(new OcicryptError("PROVIDER_TIMEOUT", message));
  }, timeout);
  try {
    return await Promise.race([run(controller.signal), aborted]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", forward);
  }
}
