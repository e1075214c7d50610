import { BlockList, isIP } from "node:net";
import type { Readable } from "node:stream";
import type { Agent, ProxyAgent } from "undici";
import { deadline, type Deadline } from "../io/abort.js";
import type { Bytes } from "../io/source.js";
import type { TrustedTls } from "./tls.js";

export interface HttpRequest {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: URL;
  headers?: Readonly<Record<string, string>>;
  /** The content, or a function that starts a stream of it; called once for each try. */
  body?: Bytes | (() => AsyncIterable<Bytes>);
  /** The timeout in milliseconds, instead of the usual one. */
  timeout?: number;
  signal?: AbortSignal | undefined;
}

interface AnswerHead {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  /** Passwords and tokens that were sent. A message that quotes the answer leaves them out. */
  readonly secrets?: readonly Uint8Array[];
}

/** An answer whose body must be read to its end or closed with {@link close}. */
export interface OpenAnswer extends AnswerHead {
  readonly body: AsyncGenerator<Uint8Array, void, undefined>;
  close(): void;
}

export interface Answer extends AnswerHead {
  readonly bytes: Uint8Array;
  /** Whether the body was longer than the limit and is cut off. */
  readonly isCut: boolean;
}

/** The part of the Fetch API that this library uses; the global `fetch` has it. */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchResponse>;

export interface FetchInit {
  method: string;
  headers: Record<string, string>;
  /**
   * The content. If its length is unknown in advance, it is an iterable, which Node's global
   * `fetch` accepts.
   */
  body?: Bytes | AsyncIterable<Bytes>;
  /** Set if the body is an iterable, as the Fetch API requires. */
  duplex?: "half";
  /**
   * The transport never follows redirects, because credentials must not be sent to another place.
   */
  redirect: "manual";
  signal: AbortSignal;
}

export interface FetchResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncIterable<Uint8Array> | null;
}

export interface TransportOptions {
  /** The certificates to trust and to present in TLS, requested once. */
  tls: () => Promise<TrustedTls>;
  /** The time limit in milliseconds, for connecting and for each piece of a body. */
  timeout: number;
}

/** The code of the error about a proxy that cannot be used. */
export const PROXY_UNUSABLE = "PROXY_UNUSABLE";

export const NO_ANSWER = "it sent nothing, or almost nothing,";
const NOTHING_TAKEN = "it accepted no data";

/** Content is sent in pieces of this size, so that the time limit applies to each piece. */
const PIECE = 64 * 1024;

/**
 * Creates a `fetch` function on undici, the HTTP client of Node.js. Unlike the global `fetch`, it
 * accepts certificates and proxies on every supported version of Node.js. Proxies come from
 * `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
 */
export function nodeFetch(options: TransportOptions): Fetch {
  let loading: ReturnType<typeof load> | undefined;
  return async (url, { method, headers, body, signal }) => {
    const { request, dispatcherFor } = await (loading ??= load(options));
    const sending = new AbortController();
    const patience = deadline(options.timeout, (error) => {
      sending.abort(error);
    });
    const isBytes = body instanceof Uint8Array;
    const content = isBytes ? paced(piecesOf(body), patience) : body;
    const length = isBytes ? { "content-length": String(body.byteLength) } : undefined;
    try {
      const answer = await request(url, {
        method: method as "GET",
        headers: { ...headers, ...length },
        // undici accepts any iterable, but its types allow only Node.js streams.
        ...(content !== undefined && { body: content as unknown as Readable }),
        signal: AbortSignal.any([signal, sending.signal]),
        dispatcher: dispatcherFor(new URL(url)),
        // The caller limits the time for an answer.
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      // The reader of the body gets its failure. If nothing reads the body, the failure does not
      // matter.
      answer.body.on("error", () => undefined);
      const get = (name: string): string | null => oneValue(answer.headers[name.toLowerCase()]);
      return { status: answer.statusCode, headers: { get }, body: answer.body };
    } finally {
      patience.stop();
    }
  };
}

/** Limits how long the peer may take for each piece of a stream, and for its answer after them. */
export async function* paced(
  body: AsyncIterable<Bytes>,
  patience: Deadline,
): AsyncGenerator<Bytes, void, undefined> {
  patience.stop();
  for await (const piece of body) {
    patience.start(NOTHING_TAKEN);
    yield piece;
    // The time limit does not apply to the source of the content.
    patience.stop();
  }
  patience.start(NO_ANSWER);
}

// eslint-disable-next-line @typescript-eslint/require-await -- an iterable
async function* piecesOf(bytes: Bytes): AsyncGenerator<Bytes> {
  for (let start = 0; start < bytes.byteLength; start += PIECE) {
    yield bytes.subarray(start, start + PIECE);
  }
}

type Request = (typeof import("undici"))["request"];

/** Loads undici and makes an agent for each route: direct or through a proxy. */
async function load({ tls, timeout }: TransportOptions): Promise<{
  request: Request;
  dispatcherFor: (url: URL) => Agent | ProxyAgent;
}> {
  const [{ Agent, ProxyAgent, request }, certificates] = await Promise.all([
    import("undici"),
    tls(),
  ]);
  const made = new Map<string, Agent | ProxyAgent>();
  const make = (url: URL, proxy: string | undefined): Agent | ProxyAgent => {
    const trusted = url.protocol === "https:" ? certificates.trusted() : {};
    const connect = { timeout, ...trusted, ...certificates.presented(url) };
    if (proxy === undefined) return new Agent({ connect });
    const { address, token } = readProxy(proxy, url);
    return new ProxyAgent({
      uri: address,
      ...(token !== undefined && { token }),
      proxyTunnel: url.protocol === "https:",
      requestTls: connect,
      proxyTls: { timeout, ...(address.startsWith("https:") && certificates.trusted()) },
    });
  };
  return {
    request,
    dispatcherFor(url) {
      const proxy = proxyFor(url, process.env);
      const own = certificates.presented(url) === undefined ? "" : url.origin;
      const route = JSON.stringify([url.protocol, proxy, own]);
      const agent = made.get(route) ?? make(url, proxy);
      made.set(route, agent);
      return agent;
    },
  };
}

/**
 * Returns the address of a proxy without its credentials, and the credentials as a header.
 *
 * @throws an error with the code `PROXY_UNUSABLE` if the text is not a usable proxy. The text is not
 *   quoted, because it may contain a password, and the request is not sent without a proxy.
 */
function readProxy(proxy: string, url: URL): { address: string; token: string | undefined } {
  if (/^https?:\/\//.test(proxy) && URL.canParse(proxy)) {
    const address = new URL(proxy);
    try {
      const user = decodeURIComponent(address.username);
      const basic = Buffer.from(`${user}:${decodeURIComponent(address.password)}`);
      const token = user === "" ? undefined : `Basic ${basic.toString("base64")}`;
      return { address: address.origin, token };
    } catch {
      // A percent sign that encodes nothing.
    }
  }
  const variable = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const form = "http://USER:PASSWORD@HOST:PORT, with special characters in it as %XX";
  const message = `${variable} does not name a usable proxy; write it as ${form}`;
  throw Object.assign(new Error(message), { code: PROXY_UNUSABLE });
}

function oneValue(value: string | string[] | undefined): string | null {
  return Array.isArray(value) ? value.join(", ") : (value ?? null);
}

/** Whether a host is this machine, whose traffic nobody else can read. */
export function isLoopback({ hostname }: URL): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Returns the proxy that an environment names for a URL, read as Go's tools read it
 * (https://pkg.go.dev/golang.org/x/net/http/httpproxy): never for this machine itself, nor for
 * hosts in `NO_PROXY`. undici's own agent for these variables supports neither networks such as
 * `10.0.0.0/8` nor Go's rule for this machine.
 */
export function proxyFor(url: URL, env: Environment): string | undefined {
  const [upper, lower] =
    url.protocol === "https:"
      ? [env.HTTPS_PROXY, env.https_proxy]
      : [env.HTTP_PROXY, env.http_proxy];
  const proxy = firstOf(upper, lower);
  if (proxy === "" || isLoopback(url)) return undefined;
  const excluded = firstOf(env.NO_PROXY, env.no_proxy).split(",");
  if (excluded.some((entry) => isExcluded(url, entry.trim().toLowerCase()))) return undefined;
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

function firstOf(...values: readonly (string | undefined)[]): string {
  return values.find((value) => value !== undefined && value !== "")?.trim() ?? "";
}

/**
 * Whether an entry of `NO_PROXY` covers a URL: `*`, an address, a network such as `10.0.0.0/8`, or
 * a domain. All except networks may have a port.
 */
function isExcluded(url: URL, entry: string): boolean {
  if (entry === "") return false;
  if (entry === "*") return true;
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const [network = "", prefix] = entry.split("/");
  if (prefix !== undefined) return isInNetwork(host, network, Number(prefix));
  const [, name = entry, port] = /^(\[.*\]|[^:]*):(\d+)$/.exec(entry) ?? [];
  if (port !== undefined && port !== portOf(url)) return false;
  const address = name.replace(/^\[(.*)\]$/, "$1");
  if (isIP(address) !== 0) return isInNetwork(host, address, isIP(address) === 4 ? 32 : 128);
  const domain = name.replace(/^\*?\./, "");
  // A leading dot means only the subdomains, and not the domain itself.
  return host.endsWith(`.${domain}`) || (host === domain && domain === name);
}

/** Compares the addresses and not their text, because each can be written in several ways. */
function isInNetwork(host: string, network: string, prefix: number): boolean {
  const family = isIP(network);
  if (family === 0 || isIP(host) !== family) return false;
  if (!Number.isInteger(prefix) || prefix < 0 || prefix > (family === 4 ? 32 : 128)) return false;
  const type = family === 4 ? "ipv4" : "ipv6";
  const list = new BlockList();
  list.addSubnet(network, prefix, type);
  return list.check(host, type);
}

function portOf({ port, protocol }: URL): string {
  if (port !== "") return port;
  return protocol === "https:" ? "443" : "80";
}
