import { BlockList, isIP } from "node:net";
import { isLoopback } from "./reference.js";

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
