import type { Key, Recipient } from "../../keywrap/types.js";
import { asObject, type JsonObject } from "../../text/json.js";
import {
  invalidSettings,
  notAllowed,
  readCertificates,
  settingsOf,
  textSetting,
} from "../settings.js";
import type { KeyServerContext } from "../types.js";
import { serverUrl } from "./servers.js";
import * as tang from "./tang.js";

const SETTINGS = ["servers", "moved", "ca-file"];

/**
 * `tang:URL?thp=THUMBPRINT`, `tang:URL?trust=first-use`, or `sss:FILE` with Clevis's configuration in
 * JSON.
 */
export async function recipients(text: string, context: KeyServerContext): Promise<Recipient[]> {
  const [, pin = "", value = ""] = /^([a-z]+):(.*)$/s.exec(text) ?? [];
  const own = settings(context);
  const options = { ...commonOptions(own), signal: context.signal };
  if (pin === "sss") return [await tang.sss(context.readFile(value), options)];
  const [url = "", query = "", ...more] = value.split("?");
  const params = new URLSearchParams(query);
  const [thumbprint, trust] = [params.get("thp"), params.get("trust")];
  const isFirstUse = thumbprint === null && trust === "first-use";
  if (more.length > 0 || params.size !== 1 || (!isFirstUse && thumbprint === null)) {
    throw invalidSettings("a Tang server is written as tang:URL?thp=THUMBPRINT");
  }
  if (context.allowedServers !== undefined) {
    requireAllowed(url, [...context.allowedServers, ...serversOf(own)]);
  }
  const onFirstUse = (server: string, thumbprints: readonly string[]): void => {
    context.onWarning?.(
      `trusting ${server}, which nobody has verified, with the thumbprint ${thumbprints.join(" or ")}`,
    );
  };
  const trusted = thumbprint === null ? { onFirstUse } : { thumbprint };
  return [await tang.recipient({ url, ...trusted, ...options })];
}

/** A request is sent to the server, so only the user chooses it. */
function requireAllowed(url: string, servers: readonly string[]): void {
  if (servers.map(serverUrl).includes(serverUrl(url))) return;
  throw notAllowed("recipient", "Tang", url);
}

/** `tang` for the servers of the settings, and `tang:URL` for one more each. */
// eslint-disable-next-line @typescript-eslint/require-await -- rejects instead of throwing
export async function keys(texts: readonly string[], context: KeyServerContext): Promise<Key[]> {
  const own = settings(context);
  const named = texts.map((text) => text.slice("tang:".length)).filter((url) => url !== "");
  const listed = texts.includes("tang") ? serversOf(own) : [];
  return [
    tang.key({
      servers: [...named, ...listed],
      moved: movedOf(own),
      ...commonOptions(own),
    }),
  ];
}

function settings(context: KeyServerContext): JsonObject {
  return settingsOf(context.settings, "tang", SETTINGS);
}

function commonOptions(own: JsonObject): { ca: string | undefined } {
  return { ca: readCertificates(textSetting(own, "ca-file"), "the certificates of Tang servers") };
}

function serversOf({ servers = [] }: JsonObject): string[] {
  const listed: readonly unknown[] = Array.isArray(servers) ? servers : [servers];
  if (listed.every((each) => typeof each === "string")) return [...listed];
  throw invalidSettings("servers of tang is not a list of URLs");
}

function movedOf({ moved }: JsonObject): Record<string, string> {
  const found = Object.entries(moved === undefined || moved === null ? {} : (asObject(moved) ?? { "": 0 })); // prettier-ignore
  return Object.fromEntries(
    found.map(([from, to]) => {
      if (typeof to === "string") return [from, to];
      throw invalidSettings("moved of tang does not map URLs to URLs");
    }),
  );
}
