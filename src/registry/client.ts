import type { ErrorCode } from "../errors.js";
import { abortable, timeLimit } from "../io/abort.js";
import { single } from "../io/source.js";
import { MAX_REGISTRY_ANSWER, MAX_TOKEN_ANSWER } from "../spec/limits.js";
import { authorization } from "./authorization.js";
import { atLeast, backoff, isBusy, retryAfter, type Backoff } from "../http/backoff.js";
import { configuredCredentials } from "./credentials.js";
import { exchange, readAnswer, showRequest } from "../http/exchange.js";
import {
  type Answer,
  type HttpRequest,
  isLoopback,
  nodeFetch,
  type OpenAnswer,
} from "../http/transport.js";
import {
  failure,
  invalidAnswer,
  isDenied,
  isTransient,
  secretsIn,
  unreachable,
} from "./failure.js";
import {
  DEFAULT_RETRIES,
  DEFAULT_RETRY_DELAY,
  DEFAULT_TIMEOUT,
  type RegistryOptions,
} from "./options.js";
import { apiUrl, checkReference, type RegistryReference } from "./reference.js";
import { loadTls, parseCertificates, speaksTls } from "../http/tls.js";

const MAX_REDIRECTS = 5;

export interface RegistryRequest extends HttpRequest {
  /** The repositories and actions that a token is requested for. Default: reading this one. */
  scopes?: readonly string[] | undefined;
  /** Whether a redirect to another origin is the answer instead of followed. */
  staysHere?: boolean;
}

/**
 * Sends requests to one repository. It authorizes them, and retries and redirects them if that is
 * safe.
 */
export interface RegistryClient {
  /** The timeout in milliseconds. */
  readonly timeout: number;
  /** Whether a caller's `fetch` sends the requests. */
  readonly hasOwnFetch: boolean;
  /** Returns the URL of `/v2/REPOSITORY/PATH` for a well-formed path. */
  url(path: string): Promise<URL>;
  /** Resolves a URL of an answer; `undefined` unless it is safe to send requests there. */
  resolve(location: string | null, base: URL): URL | undefined;
  /** Sends a request, retries it, and reads the answer up to a limit in bytes. */
  request(request: RegistryRequest, limit?: number): Promise<Answer>;
  /** Sends a request without retries. */
  requestOnce(request: RegistryRequest): Promise<Answer>;
  /**
   * Sends a request and retries it, for an answer that is read as a stream.
   *
   * @throws {@link OcicryptError} {@link failure} unless the answer is a success
   */
  open(
    request: RegistryRequest,
    codes?: Readonly<Partial<Record<number, ErrorCode>>>,
  ): Promise<OpenAnswer>;
  backoff(): Backoff;
}

/**
 * Creates a client for a repository.
 *
 * @throws {@link OcicryptError} `REFERENCE_INVALID`
 * @throws {TypeError} {RangeError} for invalid options
 */
export function registryClient(
  reference: RegistryReference,
  options: RegistryOptions = {},
): RegistryClient {
  checkReference(reference);
  const { host, repository } = reference;
  const { ca, insecure, credentials = configuredCredentials() } = options;
  const timeout = timeLimit(options.timeout ?? DEFAULT_TIMEOUT);
  const retries = atLeast("retries", options.retries ?? DEFAULT_RETRIES, 0);
  const retryDelay = atLeast("retryDelay", options.retryDelay ?? DEFAULT_RETRY_DELAY, 0);
  if (ca !== undefined && options.fetch !== undefined) {
    throw new TypeError("ca has no effect if fetch is given");
  }
  const certificates = ca === undefined ? [] : parseCertificates(ca);
  const newBackoff = (): Backoff => backoff({ retries, retryDelay, onRetry: options.onRetry });
  const tls = (): ReturnType<typeof loadTls> => loadTls({ host, ca: certificates });
  const fetch = options.fetch ?? nodeFetch({ tls, timeout });
  const pulls = [`repository:${repository}:pull`];
  let api: URL | undefined;
  let finding: Promise<URL> | undefined;

  /**
   * Chooses between HTTPS and HTTP; for a server on this machine, by finding out which it speaks.
   */
  async function findApi(): Promise<URL> {
    const secure = apiUrl(host, false);
    const isPlain =
      insecure ?? (ca === undefined && isLoopback(secure) && !(await speaksTls(secure, timeout)));
    return (api = apiUrl(host, isPlain));
  }

  /** Whether requests may be sent to a URL: never from HTTPS to HTTP, which others can read. */
  function isAllowed(url: URL): boolean {
    if (url.username !== "" || url.password !== "") return false;
    if (url.protocol === "https:") return true;
    const isPlain = api?.protocol === "http:";
    return url.protocol === "http:" && isPlain && (insecure === true || isLoopback(url));
  }

  function resolve(location: string | null, base: URL): URL | undefined {
    if (location === null || !URL.canParse(location, base.href)) return undefined;
    let url = new URL(location, base.href);
    // Registries behind a proxy that ends TLS may write http: for their own address
    // (https://github.com/goharbor/harbor-helm/issues/132).
    const secure = new URL(url);
    secure.protocol = "https:";
    if (url.protocol === "http:" && secure.origin === base.origin) url = secure;
    url.hash = "";
    return isAllowed(url) ? url : undefined;
  }

  const auth = authorization({
    registry: { host, repository },
    source: typeof credentials === "function" ? credentials : () => Promise.resolve(credentials),
    resolve,
    send: (request) =>
      repeated(request, async () => {
        // The request contains the credentials, so only redirects within the token service are
        // followed.
        const answer = await redirected(request, send, isSameOrigin);
        return readAnswer(answer, MAX_TOKEN_ANSWER);
      }),
  });

  const secrets = new Map<string, Uint8Array>();

  /** The answer gets all that was ever sent: the token service may be another server of the same. */
  async function send(request: HttpRequest): Promise<OpenAnswer> {
    for (const secret of secretsIn(request)) secrets.set(secret, Buffer.from(secret));
    const answer = await exchange(request, { fetch, timeout, failed: unreachable });
    return { ...answer, secrets: [...secrets.values()] };
  }

  async function authorized(request: RegistryRequest): Promise<OpenAnswer> {
    const { scopes = pulls, signal } = request;
    const withHeader = (header: string | undefined): Promise<OpenAnswer> => {
      const headers = {
        ...request.headers,
        ...(header !== undefined && { authorization: header }),
      };
      return send({ ...request, headers });
    };
    const first = await abortable(auth.header(scopes), signal);
    const answer = await withHeader(first);
    const mayBeExpired = answer.status === 400 && first?.startsWith("Bearer ") === true;
    if (answer.status !== 401 && !mayBeExpired) return answer;
    const challenged = await readAnswer(answer, MAX_REGISTRY_ANSWER);
    if (mayBeExpired && !isDenied(challenged)) return reopened(challenged);
    const header = await abortable(auth.answer(request, challenged, scopes, first), signal);
    return withHeader(header);
  }

  /** Sends a request and follows redirects. Another host gets no credentials and no content. */
  function followed(request: RegistryRequest): Promise<OpenAnswer> {
    const { method, staysHere = false } = request;
    const mayLeave = (method === "GET" || method === "HEAD") && !staysHere;
    const sendHere = (here: RegistryRequest): Promise<OpenAnswer> =>
      here.url.origin === api?.origin ? authorized(here) : send(here);
    return redirected(request, sendHere, mayLeave ? () => true : isSameOrigin);
  }

  async function redirected<R extends RegistryRequest>(
    request: R,
    sendHere: (request: R) => Promise<OpenAnswer>,
    mayFollow: (from: URL, to: URL) => boolean,
  ): Promise<OpenAnswer> {
    let { url } = request;
    for (let count = 0; ; count++) {
      const here = { ...request, url };
      const answer = await sendHere(here);
      // Status 303 asks for GET, which is only safe if the request was GET or HEAD.
      const kept = request.method === "GET" || request.method === "HEAD" ? [303] : [];
      if (![301, 302, 307, 308, ...kept].includes(answer.status)) return answer;
      await readAnswer(answer, MAX_REGISTRY_ANSWER);
      const target = resolve(answer.headers.get("location"), url);
      if (request.staysHere === true && target?.origin !== url.origin) return answer;
      if (target === undefined || !mayFollow(url, target)) {
        throw invalidAnswer(here, "it redirects to an unsafe URL");
      }
      if (count === MAX_REDIRECTS) throw invalidAnswer(request, "too many redirects");
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
    hasOwnFetch: options.fetch !== undefined,
    resolve,
    url: async (path) => new URL(`/v2/${repository}/${path}`, await (finding ??= findApi())),
    request: (request, limit = MAX_REGISTRY_ANSWER) =>
      repeated(request, () => requestOnce(request, limit)),
    requestOnce: (request) => requestOnce(request, MAX_REGISTRY_ANSWER),
    async open(request, codes) {
      const answer = await repeated(request, async () => {
        const open = await followed(request);
        return isSuccess(open.status) ? open : readAnswer(open, MAX_REGISTRY_ANSWER);
      });
      if ("bytes" in answer) throw failure(request, answer, codes);
      return answer;
    },
    backoff: newBackoff,
  };
}

/** An answer that was read, for a reader that expects a stream. */
function reopened({ bytes, ...head }: Answer): OpenAnswer {
  return { ...head, body: single(bytes), close: () => undefined };
}

export function isSuccess(status: number): boolean {
  return status >= 200 && status <= 299;
}

function isSameOrigin(from: URL, to: URL): boolean {
  return from.origin === to.origin;
}
