import { unreachable } from "./failure.js";
import type { Fetch } from "./transport.js";
import { within } from "../io/abort.js";

export interface HttpRequest {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: URL;
  headers?: Readonly<Record<string, string>>;
  body?: Uint8Array<ArrayBuffer>;
  /** Milliseconds; for what takes its time. */
  timeout?: number;
  signal?: AbortSignal | undefined;
}

/** An answer whose body is to be read to its end, or left by {@link close}. */
export interface OpenAnswer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncGenerator<Uint8Array, void, undefined>;
  close(): void;
}

export interface Answer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly bytes: Uint8Array;
  /** Whether there was more than the limit, which is left out. */
  readonly isCut: boolean;
}

export interface ExchangeOptions {
  fetch: Fetch;
  timeout: number;
}

/**
 * Every so many bytes have to pass within the timeout. So silence ends, and single drops that
 * would otherwise keep a client for ever do too.
 */
const PROGRESS = 64 * 1024;

/** One request and its answer, with nothing followed or repeated. */
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
  const unlink = (): void => {
    signal?.removeEventListener("abort", forward);
  };
  const close = (): void => {
    unlink();
    controller.abort();
  };
  const fail = (error: unknown): unknown => {
    close();
    return signal?.aborted === true ? signal.reason : unreachable(request, error);
  };
  const parts = 1 + Math.ceil((body?.byteLength ?? 0) / PROGRESS);
  try {
    const init = {
      method,
      headers: { "user-agent": "ocicrypt", ...request.headers },
      ...(body !== undefined && { body }),
      redirect: "manual" as const,
      signal: controller.signal,
    };
    const {
      status,
      headers,
      body: content,
    } = await within(fetch(url.href, init), {
      limit: timeout * parts,
      timeout,
      signal: controller.signal,
    });
    const watch = { timeout, signal: controller.signal, unlink, close, fail };
    return { status, headers, body: watched(content, watch), close };
  } catch (error) {
    throw fail(error);
  }
}

interface Watch {
  timeout: number;
  signal: AbortSignal;
  /** At its end. */
  unlink: () => void;
  /** When it is left before. */
  close: () => void;
  fail: (error: unknown) => unknown;
}

async function* watched(
  body: AsyncIterable<Uint8Array> | null,
  { timeout, signal, unlink, close, fail }: Watch,
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
      const limit = Math.max(timeout - waited, 1);
      const result = await within(iterator.next(), { limit, timeout, signal });
      if (result.done === true) break;
      // Only the time of the peer counts: the reader may be as slow as it likes.
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

/** Reads a body, as much of it as the limit lets, in bytes. */
export async function readAnswer(open: OpenAnswer, limit: number): Promise<Answer> {
  const { status, headers } = open;
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of open.body) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size > limit) break;
  }
  const bytes = Buffer.concat(chunks);
  return { status, headers, bytes: bytes.subarray(0, limit), isCut: size > limit };
}
