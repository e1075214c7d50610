import { readFileSync } from "node:fs";
import { cannotRead, OcicryptError, shown } from "../errors.js";
import { parseCertificates } from "../http/tls.js";
import { isLoopback } from "../http/transport.js";
import { MAX_KEY_FILE_SIZE } from "../spec/limits.js";
import { asObject, type JsonObject } from "../text/json.js";
import { printable } from "../text/printable.js";
import { parseYaml } from "../text/yaml.js";

/**
 * Reads a settings file: YAML or JSON, with one member for each system.
 *
 * @param names the systems
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export async function readSettings(
  content: Uint8Array,
  names: readonly string[],
): Promise<JsonObject> {
  if (content.byteLength > MAX_KEY_FILE_SIZE) throw invalidSettings("the file is too large");
  let settings: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(content);
    settings = await parseYaml(text);
  } catch {
    // The reason can quote the file, which may hold a password.
    throw invalidSettings("the file is neither YAML nor JSON");
  }
  return membersOf(settings, "the file", names);
}

/**
 * Returns the settings of one system.
 *
 * @param known the names that they may have
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function settingsOf(
  settings: JsonObject,
  name: string,
  known: readonly string[],
): JsonObject {
  return Object.hasOwn(settings, name) ? membersOf(settings[name], name, known) : {};
}

/** Rejects unknown names, which are often typing errors. */
function membersOf(value: unknown, what: string, known: readonly string[]): JsonObject {
  if (value === null || value === undefined) return {};
  const members = asObject(value);
  if (members === undefined) throw invalidSettings(`${what} is not an object`);
  const unknown = Object.keys(members).find((name) => !known.includes(name));
  if (unknown === undefined) return members;
  const name = JSON.stringify(printable(unknown, 50));
  throw invalidSettings(`${what} has the unknown member ${name}; it takes ${known.join(", ")}`);
}

export function invalidSettings(why: string): OcicryptError {
  const message = `the settings of key servers are not valid: ${why}`;
  return new OcicryptError("KEY_SERVER_CONFIG_INVALID", message);
}

/**
 * Returns a setting that is text, or else the first environment variable of these names that is set.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function textSetting(
  settings: JsonObject,
  name: string,
  ...variables: readonly string[]
): string | undefined {
  const value = Object.hasOwn(settings, name) ? settings[name] : undefined;
  if (value !== undefined && value !== null) {
    if (typeof value === "string" && value !== "") return value;
    throw invalidSettings(`${name} is not text`);
  }
  return environment(...variables);
}

/** Returns a setting as {@link textSetting} does. */
export type Setting = (name: string, ...variables: readonly string[]) => string | undefined;

export function settingIn(settings: JsonObject): Setting {
  return (name, ...variables) => textSetting(settings, name, ...variables);
}

/** Returns the first of these environment variables that is set. */
export function environment(...variables: readonly string[]): string | undefined {
  return variables
    .map((name) => process.env[name])
    .find((value) => value !== undefined && value !== "");
}

/**
 * Returns a setting that is true or false. Default: false.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function flagSetting(settings: JsonObject, name: string): boolean {
  const value = Object.hasOwn(settings, name) ? settings[name] : undefined;
  if (value === undefined || value === null) return false;
  if (typeof value === "boolean") return value;
  throw invalidSettings(`${name} is neither true nor false`);
}

/** Returns the error `KEY_SERVER_NOT_ALLOWED` for a server that the user has not named. */
export function notAllowed(
  where: "wrapped key" | "recipient",
  system: string,
  server: string,
): OcicryptError {
  const message = `the ${where} names the ${system} server ${shown(server)}, which is not allowed`;
  return new OcicryptError("KEY_SERVER_NOT_ALLOWED", message);
}

/**
 * Reads a file that the settings name, such as one with a token, without the line end.
 *
 * @param what the content, for messages
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function readSecret(file: string, what: string): string {
  let content: Buffer;
  try {
    content = readFileSync(file);
  } catch (error) {
    throw invalidSettings(cannotRead(`the file of ${what}`, error));
  }
  if (content.byteLength > MAX_KEY_FILE_SIZE)
    throw invalidSettings(`the file of ${what} is too large`);
  return content.toString("utf8").trimEnd();
}

/**
 * Reads a file of certificates in PEM; `undefined` without a file.
 *
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function readCertificates(file: string | undefined, what: string): string | undefined {
  if (file === undefined) return undefined;
  const pem = readSecret(file, what);
  try {
    parseCertificates(pem);
    return pem;
  } catch {
    throw invalidSettings(`the file of ${what} is not PEM`);
  }
}

/**
 * Reads the URL of a key server that gets credentials: HTTPS, or HTTP on this machine.
 *
 * @param plainHttp whether HTTP is allowed for other machines
 * @returns the URL, with a path that ends in `/`
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`; the text is not quoted, because it may
 *   contain a password
 */
export function serverUrl(text: string, what: string, plainHttp = false): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw invalidSettings(`${what} is not an HTTP URL`);
  }
  if (url.username + url.password + url.search + url.hash !== "") {
    throw invalidSettings(`${what} has more than a host and a path`);
  }
  if (url.protocol === "http:" && !plainHttp && !isLoopback(url)) {
    throw invalidSettings(`${what} is not HTTPS, and others could read the credentials`);
  }
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}
