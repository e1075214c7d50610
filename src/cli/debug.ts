import { subscribe } from "node:diagnostics_channel";
import { writeAbove } from "./progress.js";
import { printable } from "./text.js";

let isOn = false;

/** Prints a decision of the command if `--debug` is given. */
export function debug(text: string): void {
  if (isOn) writeAbove(process.stderr, `debug: ${printable(text)}`);
}

/** The parts of undici's messages that are logged. */
interface Request {
  method: string;
  origin: string | URL;
  path: string;
}

interface Exchange {
  request: Request;
  response?: { statusCode?: number };
  error?: unknown;
}

/**
 * Turns on `--debug`. Requests are logged without headers and without the queries of URLs, because
 * both may contain secrets.
 */
export function startDebug(): void {
  isOn = true;
  subscribe("undici:request:create", (message) => {
    debug(nameOf((message as Exchange).request));
  });
  subscribe("undici:request:headers", (message) => {
    const { request, response } = message as Exchange;
    debug(`${nameOf(request)} was answered ${String(response?.statusCode ?? "without a status")}`);
  });
  subscribe("undici:request:error", (message) => {
    const { request, error } = message as Exchange;
    debug(`${nameOf(request)} failed${error instanceof Error ? `: ${error.name}` : ""}`);
  });
}

function nameOf({ method, origin, path }: Request): string {
  return `${method} ${String(origin)}${path.replace(/\?.*/s, "")}`;
}
