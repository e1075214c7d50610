import { X509Certificate } from "node:crypto";
import { Agent as HttpAgent, request as httpRequest, type ClientRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { rootCertificates } from "node:tls";
import { OcicryptError } from "../errors.js";
import { timedOut } from "../io/abort.js";
import { BlockList, isIP } from "node:net";
import { isLoopback } from "./reference.js";

/** The part of the Fetch API that is used; the global `fetch` has it. */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchResponse>;

export interface FetchInit {
  method: string;
  headers: Record<string, string>;
  body?: Uint8Array<ArrayBuffer>;
  /** Redirects are never followed unseen: credentials must not go along. */
  redirect: "manual";
  signal: AbortSignal;
}

export interface FetchResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncIterable<Uint8Array> | null;
}

export interface TransportOptions {
  /** Certificates to trust besides the usual ones, in PEM. */
  ca?: string | Uint8Array | undefined;
  /** Milliseconds to connect, and between the parts of a body that is sent. */
  timeout: number;
}

/** The agents of Node.js take `proxyEnv` from 22.21 and 24.5 on. */
const HAS_PROXIES = hasProxies(process.versions.node);

function hasProxies(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 24 || (major === 24 && minor >= 5) || (major === 22 && minor >= 21);
}

/** Larger than what a socket takes at once, so that the time is that of some progress. */
const PART = 64 * 1024;

/**
 * A `fetch` over Node's own HTTP client. Node's `fetch` can not be told of another certificate
 * authority without a package, and has no limit for a body that is sent and stalls. The proxies
 * that `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name are used where Node.js knows how.
 *
 * @throws {TypeError} when `ca` is not PEM certificates
 */
export function nodeFetch({ ca, timeout }: TransportOptions): Fetch {
  const trusted = ca === undefined ? {} : { ca: [...rootCertificates, ...certificates(ca)] };
  const agentFor = agents(trusted);
  return (url, { method, headers, body, signal }) => {
    const isTls = url.startsWith("https:");
    const length = body === undefined ? {} : { "content-length": String(body.byteLength) };
    const options = { method, headers: { ...headers, ...length }, agent: agentFor(new URL(url)) };
    const request = isTls ? httpsRequest(url, options) : httpRequest(url, options);
    // Not by Node's own option: it destroys with an error, for which nobody listens on the socket
    // of an answer that has arrived and was not read.
    const onAbort = (): void => {
      request.destroy();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    request.on("close", () => {
      signal.removeEventListener("abort", onAbort);
    });
    return new Promise((resolve, reject) => {
      request.on("error", reject);
      request.on("response", (message) => {
        // Whoever reads it gets the failure; who has left does not want it.
        message.on("error", () => undefined);
        // An answer before all was sent is a refusal: the rest would only be thrown away.
        message.on("close", () => {
          if (!request.writableFinished) request.destroy();
        });
        resolve({
          status: message.statusCode ?? 0,
          headers: { get: (name) => oneValue(message.headers[name.toLowerCase()]) },
          body: message,
        });
      });
      limitConnecting(request, isTls, timeout);
      void send(request, body, timeout);
    });
  };
}

/** An agent for each way to go: with TLS or without, straight or by a proxy. */
function agents(trusted: { ca?: string[] }): (url: URL) => HttpAgent {
  const made = new Map<string, HttpAgent>();
  return (url) => {
    const proxy = proxyFor(url, process.env);
    const way = JSON.stringify([url.protocol, proxy]);
    const agent = made.get(way) ?? makeAgent(url, proxy, trusted);
    made.set(way, agent);
    return agent;
  };
}

/** @throws {@link OcicryptError} `REGISTRY_UNREACHABLE` for a proxy that can not be used */
function makeAgent(url: URL, proxy: string | undefined, trusted: { ca?: string[] }): HttpAgent {
  const isTls = url.protocol === "https:";
  const variable = isTls ? "HTTPS_PROXY" : "HTTP_PROXY";
  const isProxied = proxy !== undefined && HAS_PROXIES;
  if (isProxied && !isUsable(proxy)) {
    const form = "http://USER:PASSWORD@HOST:PORT, special characters in it written as %XX";
    const message = `${variable} names no proxy that can be used; it is written ${form}`;
    throw new OcicryptError("REGISTRY_UNREACHABLE", message);
  }
  const options = {
    keepAlive: true,
    ...(isProxied && { proxyEnv: { [variable]: proxy } }),
  };
  return isTls ? new HttpsAgent({ ...options, ...trusted }) : new HttpAgent(options);
}

/** Whether Node can use a proxy; else it would throw an error that quotes it, or go without one. */
function isUsable(proxy: string): boolean {
  if (!/^https?:\/\//.test(proxy) || !URL.canParse(proxy)) return false;
  const { username, password } = new URL(proxy);
  try {
    decodeURIComponent(`${username}${password}`);
    return true;
  } catch {
    return false;
  }
}

function limitConnecting(request: ClientRequest, isTls: boolean, timeout: number): void {
  request.on("socket", (socket) => {
    if (!socket.connecting) return;
    const timer = setTimeout(() => {
      request.destroy(timedOut("it could not be connected to", timeout));
    }, timeout);
    const stop = (): void => {
      clearTimeout(timer);
    };
    socket.once(isTls ? "secureConnect" : "connect", stop).once("close", stop);
  });
}

async function send(
  request: ClientRequest,
  body: Uint8Array | undefined,
  timeout: number,
): Promise<void> {
  for (let start = 0; body !== undefined && start < body.byteLength; start += PART) {
    if (request.destroyed) return;
    await sendPart(request, body.subarray(start, start + PART), timeout);
  }
  request.end();
}

/** Resolves when the part has left; an answer or a failure come by events of the request. */
function sendPart(request: ClientRequest, part: Uint8Array, timeout: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      request.destroy(timedOut("it took nothing of what was sent", timeout));
    }, timeout);
    request.write(part, () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function oneValue(value: string | string[] | undefined): string | null {
  return Array.isArray(value) ? value.join(", ") : (value ?? null);
}

function certificates(pem: string | Uint8Array): string[] {
  const text = typeof pem === "string" ? pem : Buffer.from(pem).toString("latin1");
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    // Node takes what it does not understand for no certificate at all.
    for (const block of blocks) new X509Certificate(block);
  } catch (cause) {
    throw new TypeError("ca holds a certificate that is not valid", { cause });
  }
  if (blocks.length === 0) throw new TypeError("ca holds no certificate in PEM");
  return blocks;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy that an environment names for a URL, read as tools in Go read it
 * (https://pkg.go.dev/golang.org/x/net/http/httpproxy): never for this machine itself, nor for what
 * `NO_PROXY` names.
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

/** An entry is `*`, an address, a network such as `10.0.0.0/8`, or a domain; with a port or not. */
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
  // With a dot in front it means what is below a domain, and not the domain itself.
  return host.endsWith(`.${domain}`) || (host === domain && domain === name);
}

/** Addresses can be written in several ways. */
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
