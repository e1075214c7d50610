import { setTimeout } from "node:timers/promises";
import { OcicryptError } from "../../errors.js";
import { abortable } from "../../io/abort.js";
import { encodeBase64 } from "../../spec/base64.js";
import { type JsonObject, stringIn } from "../../text/json.js";
import {
  type Answer,
  invalidAnswer,
  jsonAnswer,
  keyServerClient,
  type KeyServerOptions,
  type KeyServerRequest,
  objectOf,
  type Refusal,
} from "../client.js";
import { invalidSettings, serverUrl } from "../settings.js";
import { cachedTokens, isHeader } from "../tokens.js";
import { endpointIn, keystone, type KeystoneAuth } from "./keystone.js";
import { placeOf } from "./wrapped.js";

/** The options of a Barbican server, and of the Keystone that issues tokens for it. */
export interface BarbicanOptions extends KeyServerOptions {
  auth: BarbicanAuth;
  /** The URL of Keystone, as in `OS_AUTH_URL`. Not needed for the method `none`. */
  authUrl?: string | undefined;
  /** The URL of Barbican. Default: the endpoint of `key-manager` in Keystone's catalogue. */
  endpoint?: string | undefined;
  /** The region of that endpoint. Default: the first region. */
  region?: string | undefined;
  /** The interface of that endpoint. Default: `public`. */
  interface?: "public" | "internal" | "admin" | undefined;
  /** Allows HTTP to other machines, where others can read tokens and keys. Default: false. */
  plainHttp?: boolean | undefined;
}

/**
 * How to authenticate. `none` is for a Barbican without Keystone, which trusts any project id; use
 * it for tests only.
 */
export type BarbicanAuth = KeystoneAuth | NoAuth;

interface NoAuth {
  method: "none";
  projectId: string;
}

/** A new secret. */
export interface NewSecret {
  name: string;
  /** 32 bytes of an AES key. */
  payload: Uint8Array;
}

/** A Barbican, with a login for it. */
export interface Barbican {
  /** The configured endpoint, without a slash at its end; `undefined` if it is in the catalogue. */
  readonly endpoint: string | undefined;
  /** Stores a secret, and returns its reference. */
  store(secret: NewSecret, signal: AbortSignal | undefined): Promise<string>;
  /** Returns the content of a secret, with its reference. */
  payload(
    id: string,
    signal: AbortSignal | undefined,
  ): Promise<{ payload: Uint8Array; reference: string }>;
  /** Returns the metadata of a secret, without its content. */
  metadata(id: string, signal: AbortSignal | undefined): Promise<JsonObject>;
  /** Orders a new AES key of 256 bits, waits until it is made, and returns its reference. */
  order(name: string, signal: AbortSignal | undefined): Promise<string>;
}

/** Barbican's workers make the key of an order within a second or two. */
const ORDER_PAUSE = 500;
const ORDER_TIMEOUT = 20_000;
const ORDER = /\/v1\/orders\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/** @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID` */
export function barbicanAt(options: BarbicanOptions): Barbican {
  const { auth, plainHttp } = options;
  const client = keyServerClient(options);
  const timeout = options.timeout ?? ORDER_TIMEOUT;
  const configured = options.endpoint === undefined ? undefined : baseOf(options.endpoint, plainHttp); // prettier-ignore
  const authorized = auth.method === "none" ? withoutKeystone(auth) : withKeystone(auth);

  function withoutKeystone({ projectId }: NoAuth): Authorized {
    if (configured === undefined) throw invalidSettings("the endpoint of Barbican is missing");
    if (!isHeader(projectId)) throw invalidSettings("the project id for Barbican is empty or has white space"); // prettier-ignore
    return (send) => send(configured, { "x-project-id": projectId });
  }

  function withKeystone(own: KeystoneAuth): Authorized {
    const { authUrl, region, interface: wanted = "public" } = options;
    if (authUrl === undefined) throw invalidSettings("the URL of Keystone is missing");
    const login = keystone({ authUrl, auth: own, plainHttp }, client, configured === undefined);
    let base = configured;
    const tokens = cachedTokens(async () => {
      const token = await login();
      base ??= baseOf(endpointIn(token.catalog, "key-manager", { region, interface: wanted }), plainHttp); // prettier-ignore
      return token;
    });
    return (send, signal) =>
      tokens.use((token) => {
        if (base === undefined) throw invalidSettings("the endpoint of Barbican is missing");
        return send(base, { "x-auth-token": token });
      }, signal);
  }

  function request(path: string, own: OwnRequest): Promise<Answered> {
    return authorized(async (base, headers) => {
      const sent: KeyServerRequest = {
        ...own,
        url: new URL(`v1/${path}`, base),
        headers: { ...own.headers, ...headers },
        refusal,
      };
      return { sent, answer: await client.request(sent) };
    }, own.signal);
  }

  function post(
    path: string,
    body: JsonObject,
    signal: AbortSignal | undefined,
  ): Promise<Answered> {
    return request(path, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: Buffer.from(JSON.stringify(body), "utf8"),
      signal,
    });
  }

  async function get(
    path: string,
    signal: AbortSignal | undefined,
  ): Promise<{ sent: KeyServerRequest; facts: JsonObject }> {
    const headers = { accept: "application/json" };
    const { sent, answer } = await request(path, { method: "GET", headers, signal });
    return { sent, facts: jsonAnswer(sent, answer) };
  }

  return {
    endpoint: configured?.href.replace(/\/$/, ""),
    async store({ name, payload }, signal) {
      const body = {
        ...{ name, secret_type: "symmetric", algorithm: "aes", bit_length: 256, mode: "gcm" },
        payload: encodeBase64(payload),
        payload_content_type: "application/octet-stream",
        payload_content_encoding: "base64",
      };
      // Not repeated: a second copy would survive when the first is deleted.
      const { sent, answer } = await post("secrets", body, signal);
      const place = placeOf(stringIn(jsonAnswer(sent, answer), "secret_ref") ?? "");
      if (place === undefined) throw invalidAnswer(sent, "it has no reference to a secret");
      return referenceTo(sent.url, place.id);
    },
    async payload(id, signal) {
      const headers = { accept: "application/octet-stream" };
      const { sent, answer } = await request(`secrets/${id}/payload`, { method: "GET", headers, signal }); // prettier-ignore
      return { payload: answer.bytes, reference: sent.url.href.replace(/\/payload$/, "") };
    },
    async metadata(id, signal) {
      return (await get(`secrets/${id}`, signal)).facts;
    },
    async order(name, signal) {
      const meta = { name, algorithm: "aes", bit_length: 256, mode: "gcm", payload_content_type: "application/octet-stream" }; // prettier-ignore
      const { sent, answer } = await post("orders", { type: "key", meta }, signal);
      const reference = stringIn(jsonAnswer(sent, answer), "order_ref") ?? "";
      const [, id] = ORDER.exec(reference) ?? [];
      if (id === undefined) throw invalidAnswer(sent, "it has no reference to an order");
      const end = performance.now() + timeout;
      for (;;) {
        const { sent: asked, facts } = await get(`orders/${id}`, signal);
        const status = stringIn(facts, "status");
        const place = placeOf(stringIn(facts, "secret_ref") ?? "");
        if (status === "ACTIVE" && place !== undefined) return referenceTo(asked.url, place.id);
        if (status !== "PENDING") throw invalidAnswer(asked, "Barbican could not make the key");
        if (performance.now() + ORDER_PAUSE > end) {
          const message = `Barbican did not make the key within ${String(timeout)} ms`;
          throw new OcicryptError("KEY_SERVER_UNREACHABLE", message);
        }
        await abortable(setTimeout(ORDER_PAUSE), signal);
      }
    },
  };
}

/** Uses the address of the request: behind a proxy, Barbican may name a wrong address. */
function referenceTo(url: URL, id: string): string {
  return url.href.replace(/\/v1\/(?:secrets|orders)(?:\/[^/]*)?$/, `/v1/secrets/${id}`);
}

type Authorized = (
  send: (base: URL, headers: Readonly<Record<string, string>>) => Promise<Answered>,
  signal: AbortSignal | undefined,
) => Promise<Answered>;

interface Answered {
  sent: KeyServerRequest;
  answer: Answer;
}

type OwnRequest = Pick<KeyServerRequest, "method" | "headers" | "body" | "signal">;

/** Catalogues name the endpoint with or without its version. */
function baseOf(text: string, plainHttp: boolean | undefined): URL {
  const url = serverUrl(text, "the endpoint of Barbican", plainHttp);
  url.pathname = url.pathname.replace(/\/v1\/$/, "/");
  return url;
}

function refusal(answer: Answer): Refusal | undefined {
  const text = descriptionIn(answer);
  switch (answer.status) {
    case 401:
      return { code: "KEY_SERVER_UNAUTHORIZED", why: "Barbican does not accept the token" };
    case 403:
      return /quota/i.test(text ?? "")
        ? { code: "KEY_SERVER_UNAUTHORIZED", why: "the project's quota of secrets is used up" }
        : { code: "KEY_SERVER_UNAUTHORIZED", why: "the project, the roles or the ACL do not allow it" }; // prettier-ignore
    case 404:
      return text === undefined
        ? { code: "KEY_SERVER_ANSWER_INVALID", why: "Barbican is not at this URL" }
        : { code: "KEY_SERVER_KEY_NOT_FOUND", why: "the secret was deleted or has expired" };
    case 406:
      return { code: "KEY_UNSUPPORTED", why: "the secret is stored as text, not as bytes" };
    default:
      return undefined;
  }
}

/** The description of an error: barbican/api/controllers/__init__.py; `undefined` if it is another's. */
function descriptionIn(answer: Answer): string | undefined {
  const error = objectOf(answer);
  return stringIn(error, "title") === undefined
    ? undefined
    : (stringIn(error, "description") ?? "");
}
