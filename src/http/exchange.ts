import { abortable, deadline, interruptible, type Deadline } from "../io/abort.js";
import { parts } from "../io/source.js";
import { printable } from "../text/printable.js";
import {
  NO_ANSWER,
  paced,
  type Answer,
  type Fetch,
  type HttpRequest,
  type OpenAnswer,
  PROXY_UNUSABLE,
} from "./transport.js";

export interface ExchangeOptions {
  fetch: Fetch;
  /** In milliseconds. */
  timeout: number;
  /** Returns the error for a request that got no answer or only a part of it. */
  failed: (request: HttpRequest, cause: unknown) => Error;
}

/**
 * This many bytes must arrive within each timeout. This ends silent connections, and also
 * connections that send single bytes slowly and would otherwise block a client forever.
 */
const PROGRESS = 64 * 1024;

/** The most characters of another program's text in a message. */
const MAX_WORDS = 300;

/**
 * Sends one request, without following redirects and without retries.
 *
 * @throws the error that `failed` returns, or the reason of the signal
 */
export async function exchange(
  request: HttpRequest,
  { fetch, timeout: usual, failed }: ExchangeOptions,
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
    return signal?.aborted === true ? signal.reason : failed(request, late ?? error);
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
  const waits = interruptible(signal);
  let bytes = 0;
  let waited = 0;
  let isOpen = true;
  try {
    for (;;) {
      const start = performance.now();
      patience.start(NO_ANSWER, Math.max(timeout - waited, 1));
      const result = await waits.wait(iterator.next());
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
    waits.end();
    if (isOpen) close();
  }
}

/** Reads the body of an answer up to a limit in bytes. */
export async function readAnswer(open: OpenAnswer, limit: number): Promise<Answer> {
  const { status, headers, secrets = [] } = open;
  const chunks: Uint8Array[] = [];
  let size = 0;
  // In gathered parts, because single bytes would take many times as much memory.
  for await (const chunk of parts(open.body)) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size > limit) break;
  }
  const bytes = Buffer.concat(chunks);
  return { status, headers, secrets, bytes: bytes.subarray(0, limit), isCut: size > limit };
}

/**
 * Describes a request for a message, without the query, which may contain signatures and upload
 * states.
 */
export function showRequest({ method, url }: Pick<HttpRequest, "method" | "url">): string {
  return `${method} ${url.origin}${printable(url.pathname, MAX_WORDS)}`;
}

/** Returns the codes, such as `ECONNRESET`, of an error and its causes. */
function systemCodes(error: unknown): string[] {
  const codes: string[] = [];
  for (let depth = 0; error instanceof Error && depth < 5; depth++) {
    if ("code" in error && typeof error.code === "string") codes.push(error.code);
    // undici gives only some of its parser's errors a code.
    else if (error.name === "HTTPParserError") codes.push("HPE_INVALID");
    error = error.cause;
  }
  return codes;
}

const TRANSIENT: ReadonlySet<string> = /* @__PURE__ */ new Set([
  ...["ECONNRESET", "ECONNABORTED", "EPIPE", "ETIMEDOUT", "EAI_AGAIN"],
  ...["UND_ERR_SOCKET", "UND_ERR_CONNECT_TIMEOUT", "UND_ERR_RES_CONTENT_LENGTH_MISMATCH"],
]);

/** Whether a request that failed for this reason may succeed when it is sent again. */
export function isTemporary(cause: unknown): boolean {
  return systemCodes(cause).some((code) => TRANSIENT.has(code));
}

/** Returns the reason, in a few words, why a request got no answer or only a part of it. */
export function whyFailed(cause: unknown): { why: string; isHttp: boolean } {
  const codes = systemCodes(cause);
  if (codes.some((code) => code.startsWith("HPE_")))
    return { why: "it is not HTTP", isHttp: false };
  const code = codes.at(-1);
  const isOwn = cause instanceof Error && (code === "ETIMEDOUT" || code === PROXY_UNUSABLE);
  const why = isOwn ? cause.message : (REASONS[code ?? ""] ?? code ?? "no connection");
  return { why: printable(why, MAX_WORDS), isHttp: true };
}

const CLOSED = "the connection was closed";
const UNTRUSTED = "the authority that signed its certificate is not trusted";
const REASONS: Readonly<Partial<Record<string, string>>> = {
  ECONNREFUSED: "no server listens there",
  ECONNRESET: CLOSED,
  EPIPE: CLOSED,
  UND_ERR_SOCKET: CLOSED,
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: CLOSED,
  UND_ERR_CONNECT_TIMEOUT: "connecting timed out",
  // From undici's agent for proxies, for any answer to CONNECT other than 200.
  UND_ERR_ABORTED: "the proxy refused the connection",
  ENOTFOUND: "there is no such host",
  EPROTO: "it does not speak TLS",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak TLS",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed",
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another host",
  CERT_HAS_EXPIRED: "its certificate has expired",
};
