import { randomUUID } from "node:crypto";
import { decodeBase64, encodeBase64 } from "../../spec/base64.js";
import { asObject, type JsonObject, stringIn } from "../../text/json.js";
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
import { cachedTokens, type Token } from "../tokens.js";
import { isCiphertext, isInstance, isVersion } from "./wrapped.js";

/** The options of an instance of IBM Key Protect, or of Hyper Protect Crypto Services. */
export interface KeyProtectOptions extends KeyServerOptions {
  /** The URL of the service, such as `https://us-south.kms.cloud.ibm.com`. */
  url: string;
  /** The instance's id (GUID). */
  instance: string;
  /** The API key with which tokens are requested from IAM. It is sent to no other server. */
  apiKey: string;
  /** The URL of IAM. Default: `https://iam.cloud.ibm.com`. */
  iamUrl?: string | undefined;
  /** The key ring of the key. Default: the service looks for the key in all key rings. */
  keyRing?: string | undefined;
  /** Allows HTTP to another machine, where others can read the API key. Default: false. */
  plainHttp?: boolean | undefined;
}

/** A data key's ciphertext with the version of the root key that made it. */
export interface Wdek {
  ciphertext: string;
  keyVersion: string | undefined;
}

/** An instance of the service, with tokens for it. */
export interface Instance {
  readonly server: string;
  readonly instance: string;
  wrap(key: string, plaintext: Uint8Array, context: ActionContext): Promise<Wdek>;
  /** `renewed` is set if the root key was rotated since. */
  unwrap(
    key: string,
    ciphertext: string,
    context: ActionContext,
  ): Promise<{ plaintext: Uint8Array; renewed: Wdek | undefined }>;
  rewrap(key: string, ciphertext: string, context: ActionContext): Promise<Wdek>;
  /** Returns the content of a standard key; `undefined` for a root key, which does not leave the service. */
  content(key: string, signal: AbortSignal | undefined): Promise<Uint8Array | undefined>;
}

export interface ActionContext {
  aad: readonly string[];
  signal: AbortSignal | undefined;
}

type Action = "wrap" | "unwrap" | "rewrap";

interface Sent {
  request: KeyServerRequest;
  answer: JsonObject;
}

/** @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID` */
export function openInstance(options: KeyProtectOptions): Instance {
  const { instance, apiKey, keyRing, plainHttp, iamUrl = "https://iam.cloud.ibm.com" } = options;
  const base = serverUrl(options.url, "the URL of Key Protect", plainHttp);
  const iam = serverUrl(iamUrl, "the URL of IAM", plainHttp);
  if (!isInstance(instance)) throw invalidSettings("the instance of Key Protect is not a GUID");
  if (!/^[!-~]{1,1000}$/.test(apiKey)) throw invalidSettings("the API key is empty or has white space"); // prettier-ignore
  if (keyRing !== undefined && !/^[A-Za-z0-9-]{2,100}$/.test(keyRing)) {
    throw invalidSettings("the key ring of Key Protect is not valid");
  }
  const client = keyServerClient(options);
  const tokens = cachedTokens(login);

  /** https://cloud.ibm.com/docs/account?topic=account-iamtoken_from_apikey */
  async function login(): Promise<Token> {
    const grant = { grant_type: "urn:ibm:params:oauth:grant-type:apikey", apikey: apiKey };
    const request: KeyServerRequest = {
      method: "POST",
      url: new URL("identity/token", iam),
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        accept: "application/json",
      },
      body: Buffer.from(new URLSearchParams(grant).toString(), "utf8"),
      isRepeatable: true,
      refusal: (refused) =>
        refused.status === 400 && stringIn(objectOf(refused), "errorCode") !== undefined
          ? { code: "KEY_SERVER_UNAUTHORIZED", why: "it does not accept the API key" }
          : undefined,
    };
    const answer = jsonAnswer(request, await client.request(request));
    const value = stringIn(answer, "access_token") ?? "";
    const seconds = answer.expires_in;
    if (!/^[!-~]{1,16384}$/.test(value) || typeof seconds !== "number" || !(seconds > 0)) {
      throw invalidAnswer(request, "it has no token");
    }
    return { value, lifetime: seconds * 1000 };
  }

  /** @param mediaType of the answer, and of the content */
  function send(
    own: Pick<KeyServerRequest, "method" | "body" | "refusal" | "signal">,
    path: string,
    mediaType: string,
  ): Promise<Sent> {
    return tokens.use(async (token) => {
      const request: KeyServerRequest = {
        ...own,
        url: new URL(`api/v2/keys/${path}`, base),
        headers: {
          authorization: `Bearer ${token}`,
          "bluemix-instance": instance,
          ...(own.body !== undefined && { "content-type": mediaType }),
          accept: mediaType,
          "correlation-id": randomUUID(),
          ...(keyRing !== undefined && { "x-kms-key-ring": keyRing }),
        },
        isRepeatable: true,
      };
      return { request, answer: jsonAnswer(request, await client.request(request)) };
    }, own.signal);
  }

  function act(
    action: Action,
    key: string,
    body: JsonObject,
    { aad, signal }: ActionContext,
  ): Promise<Sent> {
    const content = JSON.stringify({ ...body, ...(aad.length > 0 && { aad }) });
    const own = {
      ...{ method: "POST" as const, body: Buffer.from(content, "utf8"), signal },
      refusal: (answer: Answer) => refusal(action !== "wrap", answer),
    };
    return send(own, `${key}/actions/${action}`, "application/vnd.ibm.kms.key_action+json");
  }

  /** https://cloud.ibm.com/docs/key-protect?topic=key-protect-retrieve-key */
  async function read(
    path: string,
    signal: AbortSignal | undefined,
  ): Promise<{ request: KeyServerRequest; facts: JsonObject }> {
    const own = {
      ...{ method: "GET" as const, signal },
      refusal: (answer: Answer) => refusal(false, answer),
    };
    const { request, answer } = await send(own, path, "application/vnd.ibm.kms.key+json");
    const facts = Array.isArray(answer.resources) ? asObject(answer.resources[0]) : undefined;
    if (facts !== undefined) return { request, facts };
    throw invalidAnswer(request, "it describes no key");
  }

  return {
    server: base.href.replace(/\/$/, ""),
    instance,
    async wrap(key, plaintext, context) {
      const sent = await act("wrap", key, { plaintext: encodeBase64(plaintext) }, context);
      return wdekIn(sent.request, sent.answer, sent.answer.keyVersion);
    },
    async unwrap(key, ciphertext, context) {
      const { request, answer } = await act("unwrap", key, { ciphertext }, context);
      const plaintext = decodeBase64(stringIn(answer, "plaintext") ?? "");
      if (plaintext === null || plaintext.byteLength === 0) {
        throw invalidAnswer(request, "it has no plaintext");
      }
      const isRotated = Object.hasOwn(answer, "ciphertext");
      const renewed = isRotated ? wdekIn(request, answer, answer.rewrappedKeyVersion) : undefined;
      return { plaintext, renewed };
    },
    async rewrap(key, ciphertext, context) {
      const { request, answer } = await act("rewrap", key, { ciphertext }, context);
      return wdekIn(request, answer, answer.rewrappedKeyVersion ?? answer.keyVersion);
    },
    async content(key, signal) {
      // The role Reader may read the metadata, but only Writer the content.
      const { extractable } = (await read(`${key}/metadata`, signal)).facts;
      if (extractable !== true) return undefined;
      const { request, facts } = await read(key, signal);
      const content = decodeBase64(stringIn(facts, "payload") ?? "");
      if (content !== null && content.byteLength > 0) return content;
      throw invalidAnswer(request, "it has no content of the key");
    },
  };
}

function wdekIn(request: KeyServerRequest, answer: JsonObject, version: unknown): Wdek {
  const ciphertext = stringIn(answer, "ciphertext") ?? "";
  if (!isCiphertext(ciphertext)) throw invalidAnswer(request, "it has no ciphertext");
  const keyVersion = stringIn(version, "id");
  return { ciphertext, keyVersion: isVersion(keyVersion ?? "") ? keyVersion : undefined };
}

const REASONS: Readonly<Partial<Record<string, Refusal>>> = {
  BEARER_SUB_EXTRACTION_ERR: { code: "KEY_SERVER_UNAUTHORIZED", why: "it rejects the token" },
  KEY_ROOT_REQ_ERR: { code: "KEY_UNSUPPORTED", why: "this is a standard key, not a root key" },
  KEY_EXPIRED_ERR: { code: "KEY_SERVER_KEY_DISABLED", why: "the key has expired" },
  KEY_ACTION_INVALID_STATE_ERR: {
    code: "KEY_SERVER_KEY_DISABLED",
    why: "the key is disabled or expired",
  },
  KEY_DELETED_ERR: { code: "KEY_SERVER_KEY_NOT_FOUND", why: "the key was deleted" },
};

/**
 * The meaning of an error of the service, which has `resources` and usually reasons:
 * https://cloud.ibm.com/docs/key-protect?topic=key-protect-error-messages
 */
function refusal(hasCiphertext: boolean, answer: Answer): Refusal | undefined {
  const { status } = answer;
  const resources: unknown = objectOf(answer)?.resources;
  if (!Array.isArray(resources)) return undefined;
  const reasons: unknown = asObject(resources[0])?.reasons;
  const codes = Array.isArray(reasons) ? reasons.map((each) => stringIn(each, "code") ?? "") : [];
  const known = codes.map((code) => (Object.hasOwn(REASONS, code) ? REASONS[code] : undefined));
  const first = known.find((each) => each !== undefined);
  if (first !== undefined) return first;
  if (status === 409) return REASONS.KEY_ACTION_INVALID_STATE_ERR;
  if (status === 410) return REASONS.KEY_DELETED_ERR;
  if (!hasCiphertext || (status !== 400 && status !== 422)) return undefined;
  const why = "the root key did not make the ciphertext, or it or its aad was changed";
  return { code: "WRAPPED_KEY_INVALID", why };
}
