import { subscribe } from "node:diagnostics_channel";
import { writeAbove } from "./progress.js";
import { printable } from "./text.js";

let isOn = false;

/** Prints a decision of the command if `--debug` is given. */
export function debug(text: string): void {
  if (isOn) writeAbove(process.stderr, `debug: ${printable(text)}`);
}

interface Request {
  method?: string;
  /** Scheme and host of a request by undici. */
  origin?: string | URL;
  /** Scheme and host of a request by Node's own client. */
  protocol?: string;
  host?: string;
  path?: string;
}

interface Exchange {
  request: Request;
  response?: { statusCode?: number };
  error?: unknown;
}

/**
 * Turns on `--debug`. Requests are logged without headers and without the query of their URL,
 * either of which may contain a secret.
 */
export function startDebug(): void {
  isOn = true;
  for (const channel of ["undici:request:create", "http.client.request.start"]) {
    subscribe(channel, (message) => {
      debug(nameOf((message as Exchange).request));
    });
  }
  for (const channel of ["undici:request:headers", "http.client.response.finish"]) {
    subscribe(channel, (message) => {
      const { request, response } = message as Exchange;
      debug(
        `${nameOf(request)} was answered ${String(response?.statusCode ?? "without a status")}`,
      );
    });
  }
  for (const channel of ["undici:request:error", "http.client.request.error"]) {
    subscribe(channel, (message) => {
      const { request, error } = message as Exchange;
      debug(`${nameOf(request)} failed${error instanceof Error ? `: ${error.name}` : ""}`);
    });
  }
}

function nameOf({ method = "GET", origin, protocol = "", host = "", path = "" }: Request): string {
  const [withoutQuery = ""] = path.split("?", 1);
  return `${method} ${String(origin ?? `${protocol}//${host}`)}${withoutQuery}`;
}
