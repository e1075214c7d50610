import type { ErrorCode } from "../errors.js";
import { abortable } from "../io/abort.js";
import { authorization } from "./authorization.js";
import { backoff, isBusy, retryAfter, type Backoff } from "./backoff.js";
import { configuredCredentials } from "./credentials.js";
import { exchange, readAnswer } from "./exchange.js";
import { failure, invalidAnswer, isTransient, showRequest } from "./failure.js";
import type { Answer, HttpRequest, OpenAnswer } from "./exchange.js";
import {
  atLeast,
  DEFAULT_RETRIES,
  DEFAULT_RETRY_DELAY,
  DEFAULT_TIMEOUT,
  type RegistryOptions,
} from "./options.js";
import { apiUrl, checkReference, isLoopback, type RegistryReference } from "./reference.js";
import { MAX_TOKEN_ANSWER } from "./authorization.js";
import { nodeFetch } from "./transport.js";

/** How much is read of an answer that is not content, in bytes. */
const MAX_ANSWER = 64 * 1024;
const MAX_REDIRECTS = 5;

export interface RegistryRequest extends HttpRequest {
  /** The repositories and what is done in them, as token services want it; reading by default. */
  scopes?: readonly string[] | undefined;
}

/** Requests about one repository, with all that stands between a request and its answer. */
export interface RegistryClient {
  readonly timeout: number;
  /** `/v2/REPOSITORY/PATH`, where the path is well-formed already. */
  url(path: string): URL;
  /** A URL from an answer, if requests may go there; `undefined` otherwise. */
  resolve(location: string | null, base: URL): URL | undefined;
  /** Sends a request, again if it fails in passing, and reads the answer up to a limit in bytes. */
  request(request: RegistryRequest, limit?: number): Promise<Answer>;
  /** The same, once. */
  requestOnce(request: RegistryRequest): Promise<Answer>;
  /**
   * The same as {@link request}, for an answer that is read as it comes.
   *
   * @throws {@link OcicryptError} {@link failure} unless it is a success
   */
  open(
    request: RegistryRequest,
    codes?: Readonly<Partial<Record<number, ErrorCode>>>,
  ): Promise<OpenAnswer>;
  backoff(): Backoff;
}

/**
 * @throws {@link OcicryptError} `REFERENCE_INVALID`
 * @throws {TypeError} {RangeError} for options
 */
export function registryClient(
  reference: RegistryReference,
  options: RegistryOptions = {},
): RegistryClient {
  checkReference(reference);
  const { host, repository } = reference;
  const { ca, insecure, credentials = configuredCredentials() } = options;
  const timeout = atLeast("timeout", options.timeout ?? DEFAULT_TIMEOUT, 1);
  const retries = atLeast("retries", options.retries ?? DEFAULT_RETRIES, 0);
  const retryDelay = atLeast("retryDelay", options.retryDelay ?? DEFAULT_RETRY_DELAY, 0);
  if (ca !== undefined && options.fetch !== undefined) {
    throw new TypeError("ca has no effect on another fetch");
  }
  const newBackoff = (): Backoff => backoff({ retries, retryDelay, onRetry: options.onRetry });
  const fetch = options.fetch ?? nodeFetch({ ca, timeout });
  const isPlain = insecure ?? (ca === undefined && isLoopback(apiUrl(host, true)));
  const api = apiUrl(host, isPlain);
  const pulls = [`repository:${repository}:pull`];

  /** Whether requests may go to a URL: never from HTTPS to what others can read. */
  function isAllowed(url: URL): boolean {
    if (url.username !== "" || url.password !== "") return false;
    if (url.protocol === "https:") return true;
    return url.protocol === "http:" && isPlain && (insecure === true || isLoopback(url));
  }

  function resolve(location: string | null, base: URL): URL | undefined {
    if (location === null || !URL.canParse(location, base.href)) return undefined;
    const url = new URL(location, base.href);
    url.hash = "";
    return isAllowed(url) ? url : undefined;
  }

  const auth = authorization({
    registry: { host, repository },
    source: typeof credentials === "function" ? credentials : () => Promise.resolve(credentials),
    isAllowed,
    send: (request) => repeated(request, () => exchangeOnce(request, MAX_TOKEN_ANSWER)),
  });

  async function exchangeOnce(request: HttpRequest, limit: number): Promise<Answer> {
    return readAnswer(await exchange(request, { fetch, timeout }), limit);
  }

  async function authorized(request: RegistryRequest): Promise<OpenAnswer> {
    const { scopes = pulls, signal } = request;
    const withHeader = (header: string | undefined): Promise<OpenAnswer> => {
      const headers = {
        ...request.headers,
        ...(header !== undefined && { authorization: header }),
      };
      return exchange({ ...request, headers }, { fetch, timeout });
    };
    const first = await abortable(auth.header(scopes), signal);
    const answer = await withHeader(first);
    if (answer.status !== 401) return answer;
    const challenged = await readAnswer(answer, MAX_ANSWER);
    const header = await abortable(auth.answer(request, challenged, scopes, first), signal);
    return withHeader(header);
  }

  /** Follows redirects of what is read. Whoever it leads to gets no credentials. */
  async function followed(request: RegistryRequest): Promise<OpenAnswer> {
    let { url } = request;
    for (let count = 0; ; count++) {
      const isOwn = url.origin === api.origin;
      const here = { ...request, url };
      const answer = await (isOwn ? authorized(here) : exchange(here, { fetch, timeout }));
      const isRedirect = [301, 302, 303, 307, 308].includes(answer.status);
      if (!isRedirect || !["GET", "HEAD"].includes(request.method)) return answer;
      await readAnswer(answer, MAX_ANSWER);
      const target = resolve(answer.headers.get("location"), url);
      if (target === undefined) throw invalidAnswer(here, "it leads to where it is not safe to go");
      if (count === MAX_REDIRECTS) throw invalidAnswer(request, "it leads on and on");
      url = target;
    }
  }

  async function repeated<T extends Pick<Answer, "status" | "headers">>(
    request: HttpRequest,
    run: () => Promise<T>,
  ): Promise<T> {
    const { signal } = request;
    const pauses = newBackoff();
    for (;;) {
      try {
        const answer = await run();
        if (!isBusy(answer.status)) return answer;
        const reason = `${showRequest(request)} was answered ${String(answer.status)}`;
        if (!(await pauses.again(reason, signal, retryAfter(answer.headers)))) return answer;
      } catch (error) {
        if (!isTransient(error) || !(await pauses.again(error.message, signal))) throw error;
      }
    }
  }

  const requestOnce = async (request: RegistryRequest, limit: number): Promise<Answer> =>
    readAnswer(await followed(request), limit);

  return {
    timeout,
    resolve,
    url: (path) => new URL(`/v2/${repository}/${path}`, api),
    request: (request, limit = MAX_ANSWER) => repeated(request, () => requestOnce(request, limit)),
    requestOnce: (request) => requestOnce(request, MAX_ANSWER),
    async open(request, codes) {
      const answer = await repeated(request, async () => {
        const open = await followed(request);
        return isSuccess(open.status) ? open : readAnswer(open, MAX_ANSWER);
      });
      if ("bytes" in answer) throw failure(request, answer, codes);
      return answer;
    },
    backoff: newBackoff,
  };
}

export function isSuccess(status: number): boolean {
  return status >= 200 && status <= 299;
}
