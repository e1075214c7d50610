import { encodeBase64, decodeBase64 } from "../../spec/base64.js";
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
import { cachedTokens, fixedToken, isHeader, type Token, type Tokens } from "../tokens.js";
import { isCiphertext, isPath } from "./wrapped.js";

/** The options of a Vault or OpenBao server and its transit engine. */
export interface VaultOptions extends KeyServerOptions {
  /** The URL of the server, as in `VAULT_ADDR`. */
  address: string;
  auth: VaultAuth;
  /** The namespace, as in `VAULT_NAMESPACE`. Default: none. */
  namespace?: string | undefined;
  /** The path of the transit engine. Default: `transit`. */
  mount?: string | undefined;
  /** Allows HTTP to another machine, where others can read the token. Default: false. */
  plainHttp?: boolean | undefined;
}

/** How to get a token. `mount` is the path of the authentication method. */
export type VaultAuth =
  | { method: "token"; token: string }
  | {
      method: "approle";
      roleId: string;
      secretId?: string | undefined;
      /** Default: `approle`. */
      mount?: string | undefined;
    }
  | {
      method: "kubernetes";
      role: string;
      /** Returns the service account's token, which Kubernetes renews. */
      jwt: () => string | Promise<string>;
      /** Default: `kubernetes`. */
      mount?: string | undefined;
    };

/** A transit engine, with a token for it. */
export interface Transit {
  readonly server: string;
  readonly namespace: string | undefined;
  readonly mount: string;
  encrypt(key: string, plaintext: Uint8Array, signal: AbortSignal | undefined): Promise<string>;
  decrypt(key: string, ciphertext: string, signal: AbortSignal | undefined): Promise<Uint8Array>;
  /** Encrypts a ciphertext again, with the latest version of the key. */
  rewrap(key: string, ciphertext: string, signal: AbortSignal | undefined): Promise<string>;
}

/** @throws {@link OcicryptError} `KEY_SERVER_CONFIG_INVALID` */
export function transit(options: VaultOptions): Transit {
  const base = serverUrl(options.address, "the address of Vault", options.plainHttp);
  const mount = requirePath(options.mount ?? "transit", "the mount of the transit engine");
  const namespace = readNamespace(options.namespace);
  const client = keyServerClient(options);

  async function post(
    path: string,
    body: JsonObject,
    more: Partial<KeyServerRequest>,
  ): Promise<{ request: KeyServerRequest; answer: JsonObject }> {
    const request: KeyServerRequest = {
      method: "POST",
      url: new URL(`v1/${path}`, base),
      isRepeatable: true,
      ...more,
      headers: {
        "content-type": "application/json",
        // Vault's agent and proxy can require this header, which requests that others forge lack.
        "x-vault-request": "true",
        ...(namespace !== undefined && { "x-vault-namespace": namespace }),
        ...more.headers,
      },
      body: Buffer.from(JSON.stringify(body), "utf8"),
    };
    return { request, answer: jsonAnswer(request, await client.request(request)) };
  }

  async function login(mounted: string, body: JsonObject, isRepeatable: boolean): Promise<Token> {
    const path = `auth/${requirePath(mounted, "the mount of the authentication method")}/login`;
    const { request, answer } = await post(path, body, { isRepeatable, refusal: loginRefusal });
    const value = stringIn(answer.auth, "client_token") ?? "";
    const seconds = asObject(answer.auth)?.lease_duration;
    if (!isHeader(value) || !Number.isSafeInteger(seconds)) {
      throw invalidAnswer(request, "it has no token");
    }
    // Zero is a token that does not expire.
    return { value, lifetime: seconds === 0 ? Infinity : Number(seconds) * 1000 };
  }

  const tokens = tokensFor(options.auth, login);

  function operate(
    operation: "encrypt" | "decrypt" | "rewrap",
    key: string,
    body: JsonObject,
    signal: AbortSignal | undefined,
  ): ReturnType<typeof post> {
    return tokens.use((token) => {
      const headers = { "x-vault-token": token };
      return post(`${mount}/${operation}/${key}`, body, { headers, signal, refusal });
    }, signal);
  }

  async function made(sent: ReturnType<typeof operate>): Promise<string> {
    const { request, answer } = await sent;
    const ciphertext = stringIn(answer.data, "ciphertext") ?? "";
    if (isCiphertext(ciphertext)) return ciphertext;
    throw invalidAnswer(request, "it has no ciphertext");
  }

  return {
    server: base.href.replace(/\/$/, ""),
    namespace,
    mount,
    encrypt: (key, plaintext, signal) =>
      made(operate("encrypt", key, { plaintext: encodeBase64(plaintext) }, signal)),
    rewrap: (key, ciphertext, signal) => made(operate("rewrap", key, { ciphertext }, signal)),
    async decrypt(key, ciphertext, signal) {
      const { request, answer } = await operate("decrypt", key, { ciphertext }, signal);
      const plaintext = decodeBase64(stringIn(answer.data, "plaintext") ?? "");
      if (plaintext !== null && plaintext.byteLength > 0) return plaintext;
      throw invalidAnswer(request, "it has no plaintext");
    },
  };
}

function tokensFor(
  auth: VaultAuth,
  login: (mount: string, body: JsonObject, isRepeatable: boolean) => Promise<Token>,
): Tokens {
  switch (auth.method) {
    case "token":
      if (isHeader(auth.token)) return fixedToken(auth.token);
      throw invalidSettings("the token for Vault is empty or has white space");
    case "approle": {
      const { roleId: role_id, secretId: secret_id, mount = "approle" } = auth;
      const body = { role_id, ...(secret_id !== undefined && { secret_id }) };
      // A secret id may be valid for only one login.
      return cachedTokens(() => login(mount, body, false));
    }
    case "kubernetes": {
      const { role, jwt, mount = "kubernetes" } = auth;
      return cachedTokens(async () => login(mount, { role, jwt: await jwt() }, true));
    }
  }
}

function readNamespace(text: string | undefined): string | undefined {
  const name = text?.replace(/^\/+|\/+$/g, "") ?? "";
  return name === "" || name === "root" ? undefined : requirePath(name, "the namespace");
}

function requirePath(text: string, what: string): string {
  const path = text.replace(/\/$/, "");
  if (isPath(path)) return path;
  throw invalidSettings(`${what} of Vault is not a path`);
}

/** The texts of Vault's errors, by their meaning: builtin/logical/transit, sdk/helper/keysutil. */
const MEANINGS: readonly (readonly [RegExp, Refusal])[] = [
  [
    /encryption key not found|policy not found/,
    { code: "KEY_SERVER_KEY_NOT_FOUND", why: "there is no key of this name" },
  ],
  [
    /no handler for route/,
    { code: "KEY_SERVER_KEY_NOT_FOUND", why: "no transit engine is mounted there" },
  ],
  [
    /too old/,
    {
      code: "KEY_SERVER_KEY_DISABLED",
      why: "the key's min_decryption_version excludes the version of the wrapped key",
    },
  ],
  [/soft.?deleted/, { code: "KEY_SERVER_KEY_DISABLED", why: "the key is soft-deleted" }],
  [
    /invalid ciphertext|message authentication failed|unable to decrypt|decryption error/,
    { code: "WRAPPED_KEY_INVALID", why: "this key did not make the ciphertext, or it was changed" },
  ],
  [
    /key derivation|not supported for key type|key type .* not supported/,
    { code: "KEY_UNSUPPORTED", why: "the key is derived, or its type does not encrypt" },
  ],
  [/Vault is sealed/i, { code: "KEY_SERVER_UNREACHABLE", why: "it is sealed" }],
];

function refusal(answer: Answer): Refusal | undefined {
  const { status } = answer;
  const text = errorsIn(answer);
  return text === undefined || status === 403 || status === 429
    ? undefined
    : MEANINGS.find(([pattern]) => pattern.test(text))?.[1];
}

/** Vault answers 400 to a login with wrong credentials, and 500 to a wrong secret id. */
function loginRefusal(answer: Answer): Refusal | undefined {
  const text = errorsIn(answer);
  const isRejected = text !== undefined && (answer.status === 400 || /^invalid (?:role|secret)/i.test(text)); // prettier-ignore
  if (!isRejected) return refusal(answer);
  return { code: "KEY_SERVER_UNAUTHORIZED", why: "it does not accept the login" };
}

/** The errors in an answer, which may quote the request; `undefined` if it is not Vault's. */
function errorsIn(answer: Answer): string | undefined {
  const errors: unknown = objectOf(answer)?.errors;
  if (!Array.isArray(errors)) return undefined;
  return errors.filter((each) => typeof each === "string").join("\n");
}
