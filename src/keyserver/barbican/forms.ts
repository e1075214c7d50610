import type { Key, Recipient } from "../../keywrap/types.js";
import type { JsonObject } from "../../text/json.js";
import {
  environment,
  flagSetting,
  invalidSettings,
  notAllowed,
  readCertificates,
  readSecret,
  type Setting,
  settingIn,
  settingsOf,
  textSetting,
} from "../settings.js";
import type { KeyServerContext, ServedFile } from "../types.js";
import * as barbican from "./barbican.js";
import type { KeystoneDomain, KeystoneName, KeystoneScope } from "./keystone.js";
import { fileAt, kekRecipientAt, keyAt } from "./secrets.js";
import { barbicanAt, type BarbicanAuth, type BarbicanOptions } from "./session.js";
import { isId, placeOf, type SecretPlace } from "./wrapped.js";

const SETTINGS = [
  ...["endpoint", "region-name", "interface", "ca-file", "plain-http", "name"],
  ...["auth-url", "auth-type", "password-file", "token-file", "username", "user-id"],
  ...["user-domain-name", "user-domain-id", "project-name", "project-id"],
  ...["project-domain-name", "project-domain-id", "domain-name", "domain-id"],
  ...["application-credential-id", "application-credential-name"],
  "application-credential-secret-file",
];

/**
 * `barbican:` or `barbican:URL` for a new secret; `barbican:SECRET` for one that wraps, or for a
 * public key or a certificate.
 */
export async function recipients(
  text: string,
  context: KeyServerContext,
): Promise<(Recipient | ServedFile)[]> {
  const settings = settingsOf(context.settings, "barbican", SETTINGS);
  const name = textSetting(settings, "name");
  const named = namedBy(text);
  requireAllowed(named, settings, context);
  const options = optionsOf(context, [named]);
  if (named.id === undefined) return [barbican.recipient({ ...options, name })];
  const server = barbicanAt(options);
  const content = await fileAt(server, named.id, context.signal);
  if (content !== undefined) return [servedFile(named.id, content)];
  return [kekRecipientAt(server, named.id, options.authUrl)];
}

/**
 * `barbican` for all secrets that the user may read, or secrets by their references or ids. A secret
 * that is a private key or a certificate is a file. All use one login.
 */
export async function keys(
  texts: readonly string[],
  context: KeyServerContext,
): Promise<(Key | ServedFile)[]> {
  const named = texts.map(namedBy);
  const server = barbicanAt(optionsOf(context, named));
  const files: ServedFile[] = [];
  const secrets: string[] = [];
  for (const { id } of named) {
    if (id === undefined) continue;
    const content = await fileAt(server, id, context.signal);
    if (content === undefined) secrets.push(id);
    else files.push(servedFile(id, content));
  }
  if (named.some(({ id }) => id === undefined))
    return [keyAt(server, undefined, undefined), ...files];
  return secrets.length === 0 ? files : [keyAt(server, undefined, secrets), ...files];
}

function servedFile(id: string, content: Uint8Array): ServedFile {
  return { content, label: `barbican:${id}` };
}

/** A login is sent to the server, so only the user chooses it. */
function requireAllowed(
  { server }: Partial<SecretPlace>,
  settings: JsonObject,
  { allowedServers }: KeyServerContext,
): void {
  if (server === undefined || allowedServers === undefined) return;
  const configured = textSetting(settings, "endpoint", "BARBICAN_ENDPOINT");
  const allowed = [...allowedServers, ...(configured === undefined ? [] : [configured])];
  if (allowed.some((each) => endpointOf(each) === endpointOf(server))) return;
  throw notAllowed("recipient", "Barbican", server);
}

/** Returns the endpoint without a version and without a slash at its end. */
function endpointOf(text: string): string {
  return text.replace(/\/+$/, "").replace(/\/v1$/, "");
}

/** The parts of an argument: an endpoint, the reference of a secret, the id of one, or nothing. */
function namedBy(text: string): Partial<SecretPlace> {
  const value = text.slice("barbican:".length);
  if (value === "") return {};
  if (isId(value)) return { id: value };
  return placeOf(value) ?? { server: value };
}

function optionsOf(
  context: KeyServerContext,
  named: readonly Partial<SecretPlace>[],
): BarbicanOptions {
  const settings = settingsOf(context.settings, "barbican", SETTINGS);
  const setting = settingIn(settings);
  const [server, ...others] = new Set(named.map((each) => each.server).filter((each) => each !== undefined)); // prettier-ignore
  if (others.length > 0) throw invalidSettings("the arguments name different Barbican servers");
  return {
    endpoint: server ?? setting("endpoint", "BARBICAN_ENDPOINT"),
    authUrl: setting("auth-url", "OS_AUTH_URL"),
    auth: authOf(setting),
    region: setting("region-name", "OS_REGION_NAME"),
    interface: interfaceOf(setting("interface", "OS_INTERFACE")),
    ca: readCertificates(setting("ca-file", "OS_CACERT"), "the certificates of OpenStack"),
    plainHttp: flagSetting(settings, "plain-http"),
  };
}

/** The names of keystoneauth's plugins, with and without the version. */
function authOf(setting: Setting): BarbicanAuth {
  const type = setting("auth-type", "OS_AUTH_TYPE") ?? "password";
  switch (type.replace(/^v3/, "")) {
    case "password":
      return {
        method: "password",
        user: required(userOf(setting), "username or OS_USERNAME"),
        password: secretOf(setting, "password-file", "OS_PASSWORD"),
        scope: scopeOf(setting),
      };
    case "token":
      return {
        method: "token",
        token: secretOf(setting, "token-file", "OS_TOKEN"),
        scope: scopeOf(setting),
      };
    case "applicationcredential": {
      const variable = "OS_APPLICATION_CREDENTIAL_SECRET";
      return {
        method: "application-credential",
        credential: credentialOf(setting),
        secret: secretOf(setting, "application-credential-secret-file", variable),
      };
    }
    case "none":
      return {
        method: "none",
        projectId: required(setting("project-id", "OS_PROJECT_ID"), "project-id or OS_PROJECT_ID"),
      };
    default:
      throw invalidSettings("auth-type of Barbican is not password, token, v3applicationcredential or none"); // prettier-ignore
  }
}

function credentialOf(setting: Setting): { id: string } | { name: string; user: KeystoneName } {
  const id = setting("application-credential-id", "OS_APPLICATION_CREDENTIAL_ID");
  if (id !== undefined) return { id };
  const name = setting("application-credential-name", "OS_APPLICATION_CREDENTIAL_NAME");
  const what = "application-credential-id or OS_APPLICATION_CREDENTIAL_ID";
  return {
    name: required(name, what),
    user: required(userOf(setting), "username or OS_USERNAME"),
  };
}

function userOf(setting: Setting): KeystoneName | undefined {
  const id = setting("user-id", "OS_USER_ID");
  if (id !== undefined) return { id };
  const name = setting("username", "OS_USERNAME");
  return name === undefined ? undefined : { name, domain: domainOf("user", setting) };
}

function scopeOf(setting: Setting): KeystoneScope | undefined {
  const id = setting("project-id", "OS_PROJECT_ID");
  if (id !== undefined) return { project: { id } };
  const name = setting("project-name", "OS_PROJECT_NAME");
  if (name !== undefined) return { project: { name, domain: domainOf("project", setting) } };
  const domainId = setting("domain-id", "OS_DOMAIN_ID");
  if (domainId !== undefined) return { domain: { id: domainId } };
  const domain = setting("domain-name", "OS_DOMAIN_NAME");
  return domain === undefined ? undefined : { domain: { name: domain } };
}

function domainOf(whose: "user" | "project", setting: Setting): KeystoneDomain | undefined {
  const variable = `OS_${whose.toUpperCase()}_DOMAIN`;
  const id = setting(`${whose}-domain-id`, `${variable}_ID`);
  if (id !== undefined) return { id };
  const name = setting(`${whose}-domain-name`, `${variable}_NAME`);
  if (name !== undefined) return { name };
  const usual = environment("OS_DEFAULT_DOMAIN");
  return usual === undefined ? undefined : { id: usual };
}

function interfaceOf(text: string | undefined): BarbicanOptions["interface"] {
  // The older clients append "URL".
  const name = text?.replace(/URL$/, "");
  if (name === undefined || name === "public" || name === "internal" || name === "admin") {
    return name;
  }
  throw invalidSettings("interface of Barbican is not public, internal or admin");
}

function secretOf(setting: Setting, name: string, variable: string): string {
  const file = setting(name);
  if (file !== undefined) return readSecret(file, `${name} of Barbican`);
  return required(environment(variable), `${name} or ${variable}`);
}

function required<T>(value: T | undefined, names: string): T {
  if (value !== undefined) return value;
  throw invalidSettings(`${names} is missing for Barbican`);
}
