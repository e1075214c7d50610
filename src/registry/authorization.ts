import { OcicryptError } from "../errors.js";
import { parseChallenges } from "./challenge.js";
import type { CredentialRequest, Credentials, CredentialSource } from "./credentials.js";
import type { Answer, HttpRequest } from "./http.js";
import { failure, invalidAnswer, showRequest } from "./failure.js";
import { basicHeader, fetchToken, tokenService, type Token, type TokenService } from "./token.js";

/** Keeps what a registry wants to see with each request. */
export interface Authorization {
  /** The header for scopes, as far as the registry has asked for one before. */
  header(scopes: readonly string[]): Promise<string | undefined>;
  /**
   * The header that a registry asks for by a 401.
   *
   * @param refused the header that the request had
   * @throws {@link OcicryptError} `REGISTRY_DENIED` when there is no other than that one,
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
  isAllowed: (url: URL) => boolean;
  /** Sends a request without any of this. */
  send: (request: HttpRequest) => Promise<Answer>;
}

type Scheme = { kind: "basic"; header: string } | { kind: "bearer"; service: TokenService };

export function authorization({
  registry,
  source,
  isAllowed,
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
    // Of several requests at once one asks, and all wait for that.
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
    const challenges = header === null ? [] : parseChallenges(header);
    if (challenges === undefined) {
      throw invalidAnswer(request, "its WWW-Authenticate is not well-formed");
    }
    const bearer = challenges.find(({ scheme: name }) => name === "bearer");
    if (bearer !== undefined) {
      return { kind: "bearer", service: tokenService(bearer, request, isAllowed) };
    }
    if (!challenges.some(({ scheme: name }) => name === "basic")) {
      throw failure(request, challenged);
    }
    found ??= source(registry);
    const credentials = await found;
    if (credentials === undefined || "identityToken" in credentials) {
      const wanted = `${showRequest(request)} needs a user name and a password`;
      const message = `${wanted}, and there are none for ${registry.host}/${registry.repository}`;
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
