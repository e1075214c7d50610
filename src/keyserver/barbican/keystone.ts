import { asObject, type JsonObject, stringIn } from "../../text/json.js";
import {
  type Answer,
  invalidAnswer,
  jsonAnswer,
  type KeyServerClient,
  type KeyServerRequest,
  objectOf,
  type Refusal,
} from "../client.js";
import { invalidSettings, serverUrl } from "../settings.js";
import { isHeader, type Token } from "../tokens.js";

/** A user or project of Keystone: its id, or its name within a domain. */
export type KeystoneName =
  | { id: string }
  | {
      name: string;
      /** Default: the domain with the id `default`. */
      domain?: KeystoneDomain | undefined;
    };

export type KeystoneDomain = { id: string } | { name: string };

/** How to log in to version 3 of Keystone's API. */
export type KeystoneAuth =
  | { method: "password"; user: KeystoneName; password: string; scope?: KeystoneScope | undefined }
  | { method: "token"; token: string; scope?: KeystoneScope | undefined }
  | {
      /** The token's scope is the project for which the credential was created. */
      method: "application-credential";
      /** The id; or a name, with the user that owns it. */
      credential: { id: string } | { name: string; user: KeystoneName };
      secret: string;
    };

/** The scope of a token. Default: the user's own default project. */
export type KeystoneScope = { project: KeystoneName } | { domain: KeystoneDomain };

export interface KeystoneOptions {
  /** The URL of Keystone, as in `OS_AUTH_URL`. */
  authUrl: string;
  auth: KeystoneAuth;
  /** Allows HTTP to another machine. Default: false. */
  plainHttp?: boolean | undefined;
}

export interface KeystoneLogin extends Token {
  /** The catalogue of services; `undefined` if it was not asked for. */
  catalog: unknown;
}

/**
 * Returns a function that logs in.
 *
 * @param withCatalog whether the catalogue of services is needed
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function keystone(
  { authUrl, auth, plainHttp }: KeystoneOptions,
  client: KeyServerClient,
  withCatalog: boolean,
): () => Promise<KeystoneLogin> {
  const base = serverUrl(authUrl, "the URL of Keystone", plainHttp);
  if (/\/v2(?:\.0)?\/$/.test(base.pathname))
    throw invalidSettings("the URL of Keystone names version 2 of its API, not version 3");
  if (!base.pathname.endsWith("/v3/")) base.pathname += "v3/";
  const url = new URL("auth/tokens", base);
  if (!withCatalog) url.search = "nocatalog";
  const body = Buffer.from(JSON.stringify({ auth: loginOf(auth) }), "utf8");
  return async () => {
    const headers = { "content-type": "application/json", accept: "application/json" };
    const request: KeyServerRequest = {
      ...{ method: "POST", url, headers, body, refusal },
      // A second login only issues a second token.
      isRepeatable: true,
    };
    const answer = await client.request(request);
    const value = answer.headers.get("x-subject-token") ?? "";
    if (!isHeader(value)) throw invalidAnswer(request, "it has no token");
    const { token } = jsonAnswer(request, answer);
    const lifetime = timeIn(token, "expires_at") - timeIn(token, "issued_at");
    if (!(lifetime > 0))
      throw invalidAnswer(request, "it does not say how long the token is valid");
    return { value, lifetime, catalog: asObject(token)?.catalog };
  };
}

/** Both times are Keystone's, so that a wrong clock on this machine does not matter. */
function timeIn(token: unknown, name: string): number {
  return Date.parse(stringIn(token, name) ?? "");
}

/** https://docs.openstack.org/api-ref/identity/v3/, "Authentication and token management" */
function loginOf(auth: KeystoneAuth): JsonObject {
  switch (auth.method) {
    case "password": {
      const user = { ...named(auth.user, "user"), password: secret(auth.password, "the password") };
      return { identity: { methods: ["password"], password: { user } }, ...scopeOf(auth.scope) };
    }
    case "token": {
      if (!isHeader(auth.token)) throw invalidSettings("the token for Keystone is empty or has white space"); // prettier-ignore
      const token = { id: auth.token };
      return { identity: { methods: ["token"], token }, ...scopeOf(auth.scope) };
    }
    case "application-credential": {
      const { credential } = auth;
      const application_credential = {
        ...("id" in credential
          ? { id: text(credential.id, "application credential") }
          : {
              name: text(credential.name, "application credential"),
              user: named(credential.user, "user"),
            }),
        secret: secret(auth.secret, "the secret of the application credential"),
      };
      // Keystone rejects a scope here.
      return { identity: { methods: ["application_credential"], application_credential } };
    }
  }
}

function scopeOf(scope: KeystoneScope | undefined): JsonObject {
  if (scope === undefined) return {};
  return "project" in scope
    ? { scope: { project: named(scope.project, "project") } }
    : { scope: { domain: domainOf(scope.domain) } };
}

function named(name: KeystoneName, what: string): JsonObject {
  if ("id" in name) return { id: text(name.id, what) };
  return { name: text(name.name, what), domain: domainOf(name.domain ?? { id: "default" }) };
}

function domainOf(domain: KeystoneDomain): JsonObject {
  return "id" in domain ? { id: text(domain.id, "domain") } : { name: text(domain.name, "domain") };
}

/** Keystone's columns for names have 255 characters at most. */
function text(value: string, what: string): string {
  if (value !== "" && value.length <= 255) return value;
  throw invalidSettings(
    `the name or id of the Keystone ${what} is empty or longer than 255 characters`,
  );
}

function secret(value: string, what: string): string {
  if (value !== "") return value;
  throw invalidSettings(`${what} for Keystone is empty`);
}

function refusal(answer: Answer): Refusal | undefined {
  const { status, headers } = answer;
  // Keystone answers 404 to an unknown token or application credential.
  if (status === 401 || (status === 404 && isKeystones(answer))) {
    const isPartial = headers.get("openstack-auth-receipt") !== null;
    const why = isPartial ? "the user needs a second factor" : "Keystone does not accept the login";
    return { code: "KEY_SERVER_UNAUTHORIZED", why };
  }
  if (status !== 404 && status !== 300) return undefined;
  const why = "version 3 of Keystone's API is not at this URL";
  return { code: "KEY_SERVER_ANSWER_INVALID", why };
}

/** Whether an error comes from Keystone itself, not from another server: keystone/server/flask. */
function isKeystones(answer: Answer): boolean {
  return asObject(objectOf(answer)?.error) !== undefined;
}

/**
 * Returns the URL of a service in a catalogue.
 *
 * @param request the login that returned the catalogue, for messages
 * @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID`
 */
export function endpointIn(
  catalog: unknown,
  type: string,
  { region, interface: wanted }: { region: string | undefined; interface: string },
): string {
  const services = listed(catalog).filter((service) => stringIn(service, "type") === type);
  const found = services
    .flatMap((service) => listed(asObject(service)?.endpoints))
    .filter((each) => stringIn(each, "interface") === wanted)
    .filter(
      (each) =>
        region === undefined ||
        [stringIn(each, "region"), stringIn(each, "region_id")].includes(region),
    ) // prettier-ignore
    .map((each) => stringIn(each, "url"));
  const [url] = found;
  if (url !== undefined) return url;
  throw invalidSettings(`the catalogue of Keystone has no ${wanted} endpoint for ${type}${region === undefined ? "" : " in this region"}`); // prettier-ignore
}

function listed(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
