import { abortable, deadline, type Deadline } from "../io/abort.js";
import { parts } from "../io/source.js";
import { unreachable } from "./failure.js";
import {
  NO_ANSWER,
  paced,
  type Answer,
  type Fetch,
  type HttpRequest,
  type OpenAnswer,
} from "./transport.js";

export interface ExchangeOptions {
  fetch: Fetch;
  /** In milliseconds. */
  timeout: number;
}

/**
 * This many bytes must arrive within each timeout. This ends silent connections, and also
 * connections that send single bytes slowly and would otherwise block a client forever.
 */
const PROGRESS = 64 * 1024;

/**
 * Sends one request, without following redirects and without retries.
 *
 * @throws {@link OcicryptError} as {@link unreachable} returns; or the reason of the signal
 */
export async function exchange(
  request: HttpRequest,
  { fetch, timeout: usual }: ExchangeOptions,
): Promise<OpenAnswer> {
  const { method, url, body, timeout = usual, signal } = request;
  signal?.throwIfAborted();
  const controller = new AbortController();
  const forward = (): void => {
    controller.abort(signal?.reason);
  };
  signal?.addEventListener("abort", forward, { once: true });
  const patience = deadline(timeout, (error) => {
    controller.abort(error);
  });
  const unlink = (): void => {
    patience.stop();
    signal?.removeEventListener("abort", forward);
  };
  const close = (): void => {
    unlink();
    controller.abort();
  };
  const fail = (error: unknown): unknown => {
    const late: unknown = controller.signal.reason;
    close();
    return signal?.aborted === true ? signal.reason : unreachable(request, late ?? error);
  };
  try {
    const isStream = typeof body === "function";
    const init = {
      method,
      headers: { "user-agent": "ocicrypt", ...request.headers },
      ...(body !== undefined && !isStream && { body }),
      ...(isStream && { body: paced(body(), patience), duplex: "half" as const }),
      redirect: "manual" as const,
      signal: controller.signal,
    };
    // A stream restarts the limit with each piece; any other body is complete and can be sent at
    // once.
    const pieces = isStream ? 0 : Math.ceil((body?.byteLength ?? 0) / PROGRESS);
    patience.start(NO_ANSWER, timeout * (1 + pieces));
    const answer = await abortable(fetch(url.href, init), controller.signal);
    patience.stop();
    const watch = { timeout, signal: controller.signal, patience, unlink, close, fail };
    return {
      status: answer.status,
      headers: answer.headers,
      body: watched(answer.body, watch),
      close,
    };
  } catch (error) {
    throw fail(error);
  }
}

interface Watch {
  timeout: number;
  signal: AbortSignal;
  patience: Deadline;
  /** Called at the end of the body. */
  unlink: () => void;
  /** Called if the body is not read to its end. */
  close: () => void;
  fail: (error: unknown) => unknown;
}

async function* watched(
  body: AsyncIterable<Uint8Array> | null,
  { timeout, signal, patience, unlink, close, fail }: Watch,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (body === null) {
    unlink();
    return;
  }
  const iterator = body[Symbol.asyncIterator]();
  let bytes = 0;
  let waited = 0;
  let isOpen = true;
  try {
    for (;;) {
      const start = performance.now();
      patience.start(NO_ANSWER, Math.max(timeout - waited, 1));
      const result = await abortable(iterator.next(), signal);
      patience.stop();
      if (result.done === true) break;
      // Only the peer's time counts; the reader may be slow.
      waited += performance.now() - start;
      bytes += result.value.byteLength;
      if (bytes >= PROGRESS) bytes = waited = 0;
      yield result.value;
    }
    isOpen = false;
    unlink();
  } catch (error) {
    isOpen = false;
    throw fail(error);
  } finally {
    if (isOpen) close();
  }
}

/** Reads the body of an answer up to a limit in bytes. */
export async function readAnswer(open: OpenAnswer, limit: number): Promise<Answer> {
  const { status, headers } = open;
  const chunks: Uint8Array[] = [];
  let size = 0;
  // In gathered parts, because single bytes would take many times as much memory.
  for await (const chunk of parts(open.body)) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size > limit) break;
  }
  const bytes = Buffer.concat(chunks);
  return { status, headers, bytes: bytes.subarray(0, limit), isCut: size > limit };
}
