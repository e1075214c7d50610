import { type ErrorCode, errno, OcicryptError } from "../errors.js";
import { atLeast, backoff, retryAfter } from "../http/backoff.js";
import { exchange, isTemporary, readAnswer, showRequest, whyFailed } from "../http/exchange.js";
import { loadTls, parseCertificates } from "../http/tls.js";
import { type Answer, type Fetch, type HttpRequest, nodeFetch } from "../http/transport.js";
import { timeLimit, withDeadline } from "../io/abort.js";
import type { Bytes } from "../io/source.js";
import { MAX_KEY_SERVER_ANSWER } from "../spec/limits.js";
import { asObject, type JsonObject, parseJson } from "../text/json.js";

export type { Answer } from "../http/transport.js";

/** Options for talking to a key server. */
export interface KeyServerOptions {
  /** Certificates in PEM to trust in addition to those of Node.js and `SSL_CERT_FILE`. */
  ca?: string | Uint8Array | undefined;
  /** The time limit for one request with its answer and all retries, in milliseconds. Default: 20,000. */
  timeout?: number | undefined;
  /** The number of times that a request is sent again after a temporary failure. Default: 2. */
  retries?: number | undefined;
  /** The pause before the first retry, in milliseconds; later pauses are longer. Default: 250. */
  retryDelay?: number | undefined;
  /**
   * The function that sends the requests. Default: undici's, with the proxies of `HTTP_PROXY`,
   * `HTTPS_PROXY` and `NO_PROXY`.
   */
  fetch?: Fetch | undefined;
}

export interface KeyServerRequest extends Omit<HttpRequest, "body" | "timeout"> {
  body?: Bytes;
  /** Whether the request has the same effect when it is sent twice. Default: only for GET and HEAD. */
  isRepeatable?: boolean | undefined;
  /** The largest answer in bytes. Default: `MAX_KEY_SERVER_ANSWER`. */
  maxAnswer?: number | undefined;
  /**
   * Returns the meaning of an answer that is not a success, or `undefined` for the usual meaning of
   * its status.
   */
  refusal?: ((answer: Answer) => Refusal | undefined) | undefined;
}

/** The meaning of an answer that is not a success. */
export interface Refusal {
  code: ErrorCode;
  /** A few words for the message, without text of the answer. */
  why: string;
}

/** Sends requests to key servers. */
export interface KeyServerClient {
  /**
   * Sends a request, retries it if it is repeatable, and returns the answer with a status from 200
   * to 299. Redirects are not followed: a server that is allowed must not name one that is not.
   *
   * @throws {@link OcicryptError} the code of `refusal`; `KEY_SERVER_UNREACHABLE` for a server that
   *   is down or busy, `KEY_SERVER_UNAUTHORIZED` (401, 403), `KEY_SERVER_KEY_NOT_FOUND` (404, 410),
   *   `KEY_SERVER_ANSWER_INVALID` for any other answer, `KEY_SERVER_CONFIG_INVALID` for a URL that
   *   cannot be used
   */
  request(request: KeyServerRequest): Promise<Answer>;
}

const DEFAULT_TIMEOUT = 20_000;
const DEFAULT_RETRIES = 2;
const DEFAULT_RETRY_DELAY = 250;

/**
 * Creates a client for key servers.
 *
 * @throws {TypeError} {RangeError} for invalid options
 */
export function keyServerClient(options: KeyServerOptions = {}): KeyServerClient {
  const timeout = timeLimit(options.timeout ?? DEFAULT_TIMEOUT);
  const retries = atLeast("retries", options.retries ?? DEFAULT_RETRIES, 0);
  const retryDelay = atLeast("retryDelay", options.retryDelay ?? DEFAULT_RETRY_DELAY, 0);
  const ca = options.ca === undefined ? [] : parseCertificates(options.ca);
  // The usual directories hold the certificates of registries.
  const tls = (): ReturnType<typeof loadTls> =>
    loadTls({ host: "key-server", ca, directories: [] });
  const fetch = options.fetch ?? nodeFetch({ tls, timeout });

  async function repeated(request: KeyServerRequest): Promise<Answer> {
    const { method, signal, maxAnswer = MAX_KEY_SERVER_ANSWER } = request;
    const isRepeatable = request.isRepeatable ?? (method === "GET" || method === "HEAD");
    const pauses = backoff({ retries: isRepeatable ? retries : 0, retryDelay });
    const end = performance.now() + timeout;
    for (;;) {
      try {
        const open = await exchange(request, { fetch, timeout, failed: unreachable });
        const answer = await readAnswer(open, maxAnswer);
        if (!isTransient(answer.status)) return answer;
        const asked = retryAfter(answer.headers);
        const isInTime = performance.now() + asked < end;
        if (!isInTime || !(await pauses.again(statusOf(answer), signal, asked))) return answer;
      } catch (error) {
        if (!(error instanceof OcicryptError) || !mayPass(error)) throw error;
        if (!(await pauses.again(error.message, signal))) throw error;
      }
    }
  }

  return {
    async request(request) {
      requireUsable(request.url);
      const late = (): OcicryptError =>
        failed(request, "KEY_SERVER_UNREACHABLE", `took longer than ${String(timeout)} ms`);
      const run = (signal: AbortSignal): Promise<Answer> => repeated({ ...request, signal });
      const answer = await withDeadline(run, { timeout, signal: request.signal, late });
      const { status } = answer;
      if (status >= 200 && status <= 299) {
        if (answer.isCut) throw invalidAnswer(request, "it is too large");
        return answer;
      }
      const { code, why } = request.refusal?.(answer) ?? usualRefusal(status);
      throw failed(request, code, `${statusOf(answer)}${why === "" ? "" : `: ${why}`}`);
    },
  };
}

/** A password in a URL would appear in logs, and in the images that name the server. */
function requireUsable({ protocol, username, password }: URL): void {
  const why =
    protocol !== "http:" && protocol !== "https:"
      ? "is not an HTTP URL"
      : username + password === ""
        ? undefined
        : "contains a user name or a password";
  if (why === undefined) return;
  throw new OcicryptError("KEY_SERVER_CONFIG_INVALID", `the URL of a key server ${why}`);
}

/** Whether a status means that the same request may succeed later; 501 is final. */
function isTransient(status: number): boolean {
  return status === 429 || (status >= 500 && status !== 501);
}

/** Whether a failed connection may succeed later; a server that restarts refuses connections. */
function mayPass({ code, cause }: OcicryptError): boolean {
  if (code !== "KEY_SERVER_UNREACHABLE") return false;
  return isTemporary(cause) || errno(cause) === "ECONNREFUSED";
}

function usualRefusal(status: number): Refusal {
  if (status === 401 || status === 403) return { code: "KEY_SERVER_UNAUTHORIZED", why: "" };
  if (status === 404 || status === 410) return { code: "KEY_SERVER_KEY_NOT_FOUND", why: "" };
  if (isTransient(status)) return { code: "KEY_SERVER_UNREACHABLE", why: "" };
  const isRedirect = status >= 300 && status <= 399;
  const why = isRedirect ? "redirects are not followed" : "";
  return { code: "KEY_SERVER_ANSWER_INVALID", why };
}

function statusOf({ status }: Answer): string {
  return `was answered ${String(status)}`;
}

type Named = Pick<HttpRequest, "method" | "url">;

function failed(request: Named, code: ErrorCode, why: string, cause?: unknown): OcicryptError {
  const message = `${showRequest(request)} ${why}`;
  return new OcicryptError(code, message, cause === undefined ? {} : { cause });
}

function unreachable(request: Named, cause: unknown): OcicryptError {
  if (cause instanceof OcicryptError) return cause;
  const { why, isHttp } = whyFailed(cause);
  if (!isHttp) return invalidAnswer(request, why);
  return failed(request, "KEY_SERVER_UNREACHABLE", `failed: ${why}`, cause);
}

/**
 * Returns the error `KEY_SERVER_ANSWER_INVALID`.
 *
 * @param why a few words without text of the answer, which may hold a key
 */
export function invalidAnswer(request: Named, why: string): OcicryptError {
  const message = `the answer to ${showRequest(request)} cannot be used: ${why}`;
  return new OcicryptError("KEY_SERVER_ANSWER_INVALID", message);
}

/**
 * Returns the JSON object in an answer, and wipes the answer, which may hold a key or a token.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_ANSWER_INVALID`
 */
export function jsonAnswer(request: Named, answer: Answer): JsonObject {
  const object = objectOf(answer);
  answer.bytes.fill(0);
  if (object !== undefined) return object;
  throw invalidAnswer(request, "it is not a JSON object");
}

/** Returns the JSON object in an answer; `undefined` for any other answer. */
export function objectOf({ bytes }: Pick<Answer, "bytes">): JsonObject | undefined {
  const refuse = (why: string): Error => new SyntaxError(why);
  try {
    return asObject(parseJson(bytes, { maxSize: bytes.byteLength, refuse }));
  } catch {
    return undefined;
  }
}
