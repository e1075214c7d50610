import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { reply, type SeenRequest, type TestServer, testServer } from "../registry/server.js";

/**
 * A double of IBM Key Protect and IAM, as IBM documents them: requests, states, errors and codes in
 * docs/key-protect (wrap-keys, unwrap-keys, rewrap-keys, key-states, error-messages), and the error
 * of a deleted key in IBM/keyprotect-go-client. IBM's own SDK drives it in the same test. Root keys
 * are real keys with versions: a wrong key, wrong additional data and changed bytes really fail.
 */
export interface KeyProtectDouble extends TestServer {
  instance: string;
  apiKey: string;
  /** The requests of IAM, which is a server of its own. */
  iam: TestServer;
  makeKey(options?: { alias?: string; isStandard?: boolean; keyRing?: string }): string;
  /** Makes a standard key with this content. */
  keep(content: Uint8Array): string;
  rotate(id: string): void;
  setState(id: string, state: State): void;
  /** Makes the tokens so far invalid. */
  revokeTokens(): void;
  /** The seconds for which tokens are valid. Default: 3600. */
  lifetime: number;
  intercept?: (request: SeenRequest, response: ServerResponse) => boolean;
}

/** https://cloud.ibm.com/docs/key-protect?topic=key-protect-key-states */
type State = "active" | "suspended" | "deactivated" | "destroyed";

interface RootKey {
  id: string;
  alias: string | undefined;
  keyRing: string;
  isStandard: boolean;
  /** Of a standard key. */
  content: Buffer;
  state: State;
  versions: { id: string; key: Buffer }[];
}

type Json = Readonly<Record<string, unknown>>;

const ALLOWED: Readonly<Record<State, readonly string[]>> = {
  active: ["wrap", "unwrap", "rewrap"],
  suspended: [],
  deactivated: ["unwrap", "rewrap"],
  destroyed: [],
};

export async function keyProtectDouble(isLasting?: boolean): Promise<KeyProtectDouble> {
  const instance = randomUUID();
  const apiKey = randomBytes(33).toString("base64url");
  const keys: RootKey[] = [];
  const tokens = new Map<string, number>();

  const iam = await testServer(({ method, target, headers, body }, response) => {
    const form = new URLSearchParams(body.toString());
    const isForm = headers["content-type"]?.startsWith("application/x-www-form-urlencoded");
    const isGrant = form.get("grant_type") === "urn:ibm:params:oauth:grant-type:apikey";
    if (method !== "POST" || target !== "/identity/token" || isForm !== true || !isGrant) {
      return send(response, 400, { errorCode: "BXNIM0109E", errorMessage: "Invalid grant" });
    }
    if (form.get("apikey") !== apiKey) {
      const errorMessage = "Provided API key could not be found";
      return send(response, 400, { errorCode: "BXNIM0415E", errorMessage });
    }
    const { lifetime } = double;
    // The SDK reads the times of issue and expiry from the token.
    const iat = Math.floor(Date.now() / 1000);
    const claims = { iat, exp: iat + lifetime, jti: randomUUID() };
    const access_token = ["{}", JSON.stringify(claims), "signature"]
      .map((part) => Buffer.from(part).toString("base64url"))
      .join(".");
    tokens.set(access_token, Date.now() + lifetime * 1000);
    const expiry = { expires_in: lifetime, expiration: iat + lifetime };
    return send(response, 200, {
      access_token,
      refresh_token: "x",
      token_type: "Bearer",
      ...expiry,
    });
  }, isLasting);

  const server = await testServer((request, response) => {
    if (double.intercept?.(request, response) === true) return true;
    const [status, answer] = handle(request);
    return send(response, status, answer);
  }, isLasting);

  function handle({ method, target, headers, body }: SeenRequest): [number, Json] {
    const [kind, token = ""] = (headers.authorization ?? "").split(" ");
    if (kind !== "Bearer" || token === "") return failure(400, "BEARER_SUB_EXTRACTION_ERR");
    if ((tokens.get(token) ?? 0) < Date.now()) return failure(401);
    if (headers["bluemix-instance"] !== instance) return failure(401);
    const [, name = "", action = ""] =
      /^\/api\/v2\/keys\/([\w-]+)(?:\/actions\/(\w+))?(?:\/metadata)?$/.exec(target) ?? [];
    const key = keys.find(({ id, alias }) => name === id || name === alias);
    const ring = headers["x-kms-key-ring"];
    if (key === undefined) return failure(404, "KEY_NOT_FOUND_ERR");
    if (ring !== undefined && ring !== key.keyRing) return failure(404, "KEY_NOT_FOUND_ERR");
    if (key.state === "destroyed") return failure(410);
    if (method === "GET" && action === "") return [200, described(key, target)];
    if (method !== "POST") return failure(404, "KEY_NOT_FOUND_ERR");
    if (key.isStandard) return failure(400, "KEY_ROOT_REQ_ERR");
    if (!ALLOWED[key.state].includes(action)) return failure(409, "KEY_ACTION_INVALID_STATE_ERR");
    if (body.byteLength === 0 && action !== "wrap") return failure(400, "NO_BODY_ERR");
    return act(key, action, JSON.parse(body.byteLength === 0 ? "{}" : body.toString()) as Json);
  }

  const double: KeyProtectDouble = Object.assign(server, {
    ...{ instance, apiKey, iam, lifetime: 3600 },
    makeKey: ({
      alias,
      isStandard = false,
      keyRing = "default",
    }: Parameters<KeyProtectDouble["makeKey"]>[0] = {}) => {
      const key = { id: randomUUID(), alias, keyRing, isStandard, state: "active" as const };
      keys.push({ ...key, content: randomBytes(32), versions: [newVersion()] });
      return key.id;
    },
    keep(content: Uint8Array) {
      const id = double.makeKey({ isStandard: true });
      keys.at(-1)!.content = Buffer.from(content);
      return id;
    },
    rotate: (id: string) => void keys.find((key) => key.id === id)!.versions.push(newVersion()),
    setState(id: string, state: State) {
      keys.find((key) => key.id === id)!.state = state;
    },
    revokeTokens() {
      tokens.clear();
    },
  });
  return double;
}

/** https://cloud.ibm.com/docs/key-protect?topic=key-protect-retrieve-key, and -retrieve-key-metadata */
function described({ id, keyRing, isStandard, content }: RootKey, target: string): Json {
  const type = "application/vnd.ibm.kms.key+json";
  const hasPayload = isStandard && !target.endsWith("/metadata");
  const facts = { type, id, name: "app", state: 1, extractable: isStandard, keyRingID: keyRing };
  const payload = content.toString("base64");
  const metadata = { collectionType: type, collectionTotal: 1 };
  return { metadata, resources: [{ ...facts, ...(hasPayload && { payload }) }] };
}

const newVersion = (): RootKey["versions"][number] => ({ id: randomUUID(), key: randomBytes(32) });

function act(key: RootKey, action: string, body: Json): [number, Json] {
  const aad = body.aad ?? [];
  const isAad = (text: unknown): boolean => typeof text === "string" && text.length <= 255;
  if (!Array.isArray(aad) || !aad.every(isAad)) return invalidField("aad");
  const latest = key.versions.at(-1)!;
  const keyVersion = { id: latest.id };
  if (action === "wrap") {
    const given = body.plaintext;
    const plaintext = given === undefined ? randomBytes(32) : strictBase64(given);
    if (plaintext === undefined) return invalidField("plaintext");
    const ciphertext = encrypt(key, plaintext, aad);
    const made = given === undefined ? { plaintext: plaintext.toString("base64") } : {};
    return [200, { ...made, ciphertext, keyVersion }];
  }
  const bytes = strictBase64(body.ciphertext);
  if (bytes === undefined) return invalidField("ciphertext");
  const opened = decrypt(key, bytes, aad);
  if (opened === undefined) return failure(422, "UNPROCESSABLE_CIPHERTEXT_ERR");
  const old = { id: opened.version };
  const renewed = (): Json => ({
    ciphertext: encrypt(key, opened.plaintext, aad),
    rewrappedKeyVersion: keyVersion,
  });
  if (action === "rewrap") return [200, { keyVersion: old, ...renewed() }];
  const plaintext = opened.plaintext.toString("base64");
  return [200, { plaintext, keyVersion: old, ...(old.id === latest.id ? {} : renewed()) }];
}

/** The form of IBM's ciphertexts, with the id of the version as their handle. */
function encrypt({ id, versions }: RootKey, plaintext: Buffer, aad: readonly string[]): string {
  const { id: handle, key } = versions.at(-1)!;
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(aadBytes(id, handle, aad));
  const parts = [cipher.update(plaintext), cipher.final(), cipher.getAuthTag()];
  const ciphertext = Buffer.concat(parts).toString("base64");
  const text = JSON.stringify({ ciphertext, iv: iv.toString("base64"), version: "4.0.0", handle });
  return Buffer.from(text).toString("base64");
}

function decrypt(
  { id, versions }: RootKey,
  bytes: Buffer,
  aad: readonly string[],
): { plaintext: Buffer; version: string } | undefined {
  try {
    const { ciphertext, iv, handle } = JSON.parse(bytes.toString()) as Record<string, string>;
    const { key } = versions.find((version) => version.id === handle)!;
    const sealed = Buffer.from(ciphertext!, "base64");
    const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(iv!, "base64"));
    decipher.setAAD(aadBytes(id, handle!, aad)).setAuthTag(sealed.subarray(-16));
    const parts = [decipher.update(sealed.subarray(0, -16)), decipher.final()];
    return { plaintext: Buffer.concat(parts), version: handle! };
  } catch {
    return undefined;
  }
}

const aadBytes = (...parts: readonly unknown[]): Buffer => Buffer.from(JSON.stringify(parts));

function strictBase64(value: unknown): Buffer | undefined {
  if (typeof value !== "string" || value === "") return undefined;
  const bytes = Buffer.from(value, "base64");
  return bytes.toString("base64") === value ? bytes : undefined;
}

function invalidField(name: string): [number, Json] {
  return failure(400, "INVALID_FIELD_ERR", { target: { type: "field", name } });
}

/** Some errors of the service have no reasons. */
function failure(status: number, code?: string, more: Json = {}): [number, Json] {
  const metadata = { collectionType: "application/vnd.ibm.kms.error+json", collectionTotal: 1 };
  const moreInfo = "https://cloud.ibm.com/apidocs/key-protect";
  const reasons = [{ code, message: "see the documentation", status, moreInfo, ...more }];
  const errorMsg = `${String(status)}: Action could not be performed`;
  return [status, { metadata, resources: [{ errorMsg, ...(code !== undefined && { reasons }) }] }];
}

function send(response: ServerResponse, status: number, value: Json): true {
  return reply(response, status, { "content-type": "application/json" }, JSON.stringify(value));
}
