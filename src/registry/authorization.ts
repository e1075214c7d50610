import { OcicryptError } from "../errors.js";
import { MAX_TOKEN_ANSWER } from "../spec/limits.js";
import { ANY, asObject, parseJson, struct } from "../text/json.js";
import type { CredentialRequest, CredentialSource } from "./credentials.js";
import type { Credentials } from "./credential-helper.js";
import type { Answer, HttpRequest } from "../http/transport.js";
import { failure, invalidAnswer } from "./failure.js";
import { showRequest } from "../http/exchange.js";

/** Manages the Authorization header that a registry requires. */
export interface Authorization {
  /** Returns the header for scopes, if the registry has asked for one before. */
  header(scopes: readonly string[]): Promise<string | undefined>;
  /**
   * Returns the header that a registry asks for with status 401.
   *
   * @param refused the header that the rejected request had
   * @throws {@link OcicryptError} `REGISTRY_DENIED` if there is no other header,
   *   `REGISTRY_INVALID_RESPONSE`, `CREDENTIALS_INVALID`
   */
  answer(
    request: HttpRequest,
    challenged: Answer,
    scopes: readonly string[],
    refused: string | undefined,
  ): Promise<string>;
}

export interface AuthorizationOptions {
  registry: CredentialRequest;
  source: CredentialSource;
  /** Resolves a URL of an answer; `undefined` unless it is safe to send requests there. */
  resolve: (location: string, base: URL) => URL | undefined;
  /** Sends a request without authorization. */
  send: (request: HttpRequest) => Promise<Answer>;
}

type Scheme = { kind: "basic"; header: string } | { kind: "bearer"; service: TokenService };

export function authorization({
  registry,
  source,
  resolve,
  send,
}: AuthorizationOptions): Authorization {
  let scheme: Scheme | undefined;
  let found: Promise<Credentials | undefined> | undefined;
  const tokens = new Map<string, Token>();
  const pending = new Map<string, Promise<Token>>();

  async function tokenHeader(
    service: TokenService,
    scopes: readonly string[],
    refused?: string,
  ): Promise<string> {
    const key = JSON.stringify([service.realm.href, service.service, scopes]);
    const known = tokens.get(key);
    if (known !== undefined && known.expires > performance.now() && known.header !== refused) {
      return known.header;
    }
    // If several requests need a token at the same time, one requests it and the others wait.
    const token = pending.get(key) ?? renew(key, service, scopes);
    return (await token).header;
  }

  function renew(key: string, service: TokenService, scopes: readonly string[]): Promise<Token> {
    const renewal = (async () => {
      try {
        found ??= source(registry);
        const token = await fetchToken(service, scopes, await found, send);
        tokens.set(key, token);
        return token;
      } finally {
        pending.delete(key);
      }
    })();
    pending.set(key, renewal);
    return renewal;
  }

  async function chooseScheme(request: HttpRequest, challenged: Answer): Promise<Scheme> {
    const header = challenged.headers.get("www-authenticate");
    // Some registries send no challenge when a token has expired
    // (https://github.com/docker/hub-feedback/issues/2530).
    if (header === null && scheme !== undefined) return scheme;
    const challenges = header === null ? [] : parseChallenges(header);
    if (challenges === undefined) {
      throw invalidAnswer(request, "its WWW-Authenticate is not well-formed");
    }
    const bearer = challenges.find(({ scheme: name }) => name === "bearer");
    if (bearer !== undefined) {
      return { kind: "bearer", service: tokenService(bearer, request, resolve) };
    }
    if (!challenges.some(({ scheme: name }) => name === "basic")) {
      throw failure(request, challenged);
    }
    found ??= source(registry);
    const credentials = await found;
    if (credentials === undefined || "identityToken" in credentials) {
      const wanted = `${showRequest(request)} needs a user name and a password`;
      const message = `${wanted}, and no credentials were found for ${registry.host}/${registry.repository}`;
      throw new OcicryptError("REGISTRY_DENIED", message);
    }
    return { kind: "basic", header: basicHeader(credentials) };
  }

  return {
    async header(scopes) {
      if (scheme === undefined) return undefined;
      return scheme.kind === "basic" ? scheme.header : tokenHeader(scheme.service, scopes);
    },
    async answer(request, challenged, scopes, refused) {
      scheme = await chooseScheme(request, challenged);
      if (scheme.kind === "bearer") return tokenHeader(scheme.service, scopes, refused);
      if (scheme.header === refused) throw failure(request, challenged);
      return scheme.header;
    },
  };
}

/** The token service that a registry names. */
export interface TokenService {
  realm: URL;
  service: string | undefined;
}

export interface Token {
  header: string;
  /** The time at which the token must be renewed, on the clock of `performance.now()`. */
  expires: number;
}

// https://distribution.github.io/distribution/spec/auth/token/: 60 seconds by default.
const DEFAULT_LIFETIME = 60;
const MAX_LIFETIME = 24 * 60 * 60;
/** A token is renewed this many milliseconds before it expires, because a request takes time. */
const MARGIN = 10_000;

/** @throws {@link OcicryptError} `REGISTRY_INVALID_RESPONSE` */
function tokenService(
  { params }: Challenge,
  request: HttpRequest,
  resolve: AuthorizationOptions["resolve"],
): TokenService {
  const realm = params.get("realm") ?? "";
  // The password will be sent to this URL.
  const url = URL.canParse(realm) ? resolve(realm, request.url) : undefined;
  if (url === undefined) {
    throw invalidAnswer(request, "it names no token service that is safe to use");
  }
  return { realm: url, service: params.get("service") };
}

/**
 * Gets a token: with a password by GET
 * (https://distribution.github.io/distribution/spec/auth/token/), with an identity token by OAuth 2
 * (https://distribution.github.io/distribution/spec/auth/oauth/).
 *
 * @throws {@link OcicryptError} `REGISTRY_DENIED`, `REGISTRY_FAILED`, `REGISTRY_INVALID_RESPONSE`
 */
export async function fetchToken(
  { realm, service }: TokenService,
  scopes: readonly string[],
  credentials: Credentials | undefined,
  send: (request: HttpRequest) => Promise<Answer>,
): Promise<Token> {
  const query = new URLSearchParams();
  for (const scope of scopes) query.append("scope", scope);
  if (service !== undefined) query.set("service", service);
  const request = tokenRequest(realm, query, credentials);
  const asked = performance.now();
  const answer = await send(request);
  if (answer.status !== 200) {
    // Some services reject credentials with status 400:
    // https://www.rfc-editor.org/rfc/rfc6749#section-5.2
    throw failure(request, answer, { 400: "REGISTRY_DENIED", 404: "REGISTRY_FAILED" });
  }
  const { token, lifetime } = readToken(answer, request);
  return { header: `Bearer ${token}`, expires: asked + lifetime * 1000 - MARGIN };
}

function tokenRequest(
  realm: URL,
  query: URLSearchParams,
  credentials: Credentials | undefined,
): HttpRequest {
  const url = new URL(realm);
  if (credentials !== undefined && "identityToken" in credentials) {
    // OAuth 2 expects one list: https://www.rfc-editor.org/rfc/rfc6749#section-3.3
    query.set("scope", query.getAll("scope").join(" "));
    query.set("grant_type", "refresh_token");
    query.set("client_id", "ocicrypt");
    query.set("refresh_token", credentials.identityToken);
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    return { method: "POST", url, headers, body: new TextEncoder().encode(query.toString()) };
  }
  for (const [name, value] of query) url.searchParams.append(name, value);
  if (credentials === undefined) return { method: "GET", url };
  url.searchParams.set("account", credentials.username);
  return { method: "GET", url, headers: { authorization: basicHeader(credentials) } };
}

/** https://distribution.github.io/distribution/spec/auth/token/#token-response-fields */
const TOKEN_ANSWER = /* @__PURE__ */ struct({ token: ANY, access_token: ANY, expires_in: ANY });

function readToken(answer: Answer, request: HttpRequest): { token: string; lifetime: number } {
  const refuse = (why: string): OcicryptError => invalidAnswer(request, why);
  if (answer.isCut) throw refuse("it is too large");
  const options = { shape: TOKEN_ANSWER, maxSize: MAX_TOKEN_ANSWER, refuse };
  const members = asObject(parseJson(answer.bytes, options)) ?? {};
  const { token: first, access_token: second } = members;
  const token = typeof first === "string" && first !== "" ? first : second;
  // The token becomes part of a header.
  if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token)) {
    throw invalidAnswer(request, "it has no token");
  }
  const { expires_in: seconds } = members;
  const lifetime = typeof seconds === "number" && seconds > 0 ? seconds : DEFAULT_LIFETIME;
  return { token, lifetime: Math.min(Math.max(lifetime, DEFAULT_LIFETIME), MAX_LIFETIME) };
}

/**
 * https://www.rfc-editor.org/rfc/rfc7617.html
 *
 * @throws {@link OcicryptError} `CREDENTIALS_INVALID`
 */
export function basicHeader({
  username,
  password,
}: {
  username: string;
  password: string;
}): string {
  if (username.includes(":")) {
    throw new OcicryptError("CREDENTIALS_INVALID", "the user name contains a colon");
  }
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** The authentication that a registry requests in `WWW-Authenticate`. */
export interface Challenge {
  /** The scheme in lower case. */
  scheme: string;
  /** The parameters by their names in lower case. */
  params: ReadonlyMap<string, string>;
}

const MAX_LENGTH = 8192;

// https://www.rfc-editor.org/rfc/rfc9110.html#section-5.6.2
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = '"(?:[^"\\\\\\x00-\\x08\\x0a-\\x1f\\x7f]|\\\\[\\t\\x20-\\x7e])*"';
const PARAM = new RegExp(`(${TOKEN})[ \\t]*=[ \\t]*(${TOKEN}|${QUOTED})[ \\t]*(?=,|$)`, "y");
const SCHEME = new RegExp(`(${TOKEN})(?:[ \\t]+|(?=,|$))`, "y");
// https://www.rfc-editor.org/rfc/rfc9110.html#section-11.2
const TOKEN68 = /[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)/y;
const COMMAS = /[ \t,]*/y;

/**
 * Parses the challenges of one or more joined `WWW-Authenticate` headers
 * (https://www.rfc-editor.org/rfc/rfc9110.html#section-11.6.1).
 *
 * @returns `undefined` if the header is not well-formed, or names a parameter twice
 */
export function parseChallenges(header: string): Challenge[] | undefined {
  if (header.length > MAX_LENGTH) return undefined;
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = position;
    const match = pattern.exec(header);
    if (match !== null) position = pattern.lastIndex;
    return match;
  };

  const challenges: Challenge[] = [];
  take(COMMAS);
  while (position < header.length) {
    const scheme = take(SCHEME)?.[1]?.toLowerCase();
    if (scheme === undefined) return undefined;
    const params = new Map<string, string>();
    // Parameters continue after commas until a word that is not a parameter: the next scheme.
    for (let param = take(PARAM); param !== null; param = take(PARAM)) {
      const [, name = "", value = ""] = param;
      if (params.has(name.toLowerCase())) return undefined;
      params.set(name.toLowerCase(), unquote(value));
      take(COMMAS);
    }
    if (params.size === 0) take(TOKEN68);
    challenges.push({ scheme, params });
    const next = header[position];
    if (params.size === 0 && next !== "," && next !== undefined) return undefined;
    take(COMMAS);
  }
  return challenges;
}

function unquote(value: string): string {
  return value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value;
}
