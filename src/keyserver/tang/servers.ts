import { invalidSettings, notAllowed } from "../settings.js";

/** The servers that may be contacted. */
export interface AllowedServers {
  /**
   * Returns the URL at which a server is contacted.
   *
   * @param stated the URL in a wrapped key, which anyone may have written
   * @throws {@link OcicryptError} `KEY_SERVER_NOT_ALLOWED`
   */
  resolve(stated: string): string;
}

export interface AllowedServersOptions {
  /** The URLs of the servers, as the wrapped keys state them. */
  servers: readonly string[];
  /** The current URLs of servers that moved, by their URLs in the wrapped keys. Default: none. */
  moved?: Readonly<Record<string, string>> | undefined;
}

/**
 * Creates the list of the servers that may be contacted.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function allowedServers({ servers, moved = {} }: AllowedServersOptions): AllowedServers {
  const addresses = new Map(servers.map(serverUrl).map((url) => [url, url]));
  for (const [from, to] of Object.entries(moved)) addresses.set(serverUrl(from), serverUrl(to));
  if (addresses.size === 0) throw invalidSettings("no Tang server is named");
  return {
    resolve(stated) {
      const url = parseServer(stated);
      const address = url === undefined ? undefined : addresses.get(url);
      if (address !== undefined) return address;
      throw notAllowed("wrapped key", "Tang", stated);
    },
  };
}

/**
 * Returns the URL of a server in the form in which it is compared and written: without a slash at
 * the end, and with `http` if no scheme is given, as curl and thus Clevis read it.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function serverUrl(text: string): string {
  const url = parseServer(text);
  if (url !== undefined) return url;
  // It may contain a password.
  throw invalidSettings("the URL of a Tang server is not of the form http://HOST[:PORT][/PATH]");
}

function parseServer(text: string): string | undefined {
  const full = text.includes("://") ? text : `http://${text}`;
  if (text === "" || !URL.canParse(full)) return undefined;
  const url = new URL(full);
  const { protocol, username, password, search, hash } = url;
  const isHttp = protocol === "http:" || protocol === "https:";
  // An empty query leaves its question mark in the URL.
  if (!isHttp || username + password + search + hash !== "" || /[?#]/.test(url.href))
    return undefined;
  return url.href.replace(/\/+$/, "");
}
