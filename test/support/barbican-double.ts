import { randomBytes, randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { reply, type SeenRequest, type TestServer, testServer } from "../registry/server.js";
import type { BarbicanUnderTest } from "./barbican-suite.js";

/**
 * A double of Barbican 15 and Keystone 22 for the unit tests. Paths, members and error texts are those
 * of barbican/api/controllers/secrets.py, of Barbican's default policies and of keystone/api/auth.py.
 * The same tests run against both themselves in test/interop/barbican.test.ts.
 */
export interface BarbicanDouble extends TestServer, BarbicanUnderTest {
  /** The seconds for which new tokens are valid. */
  tokenSeconds: number;
  /** Answers a request instead of the double. */
  intercept?: (request: SeenRequest, response: ServerResponse) => boolean | Promise<boolean>;
}

interface User {
  project: string;
  role: "creator" | "observer" | "admin";
}

interface Secret {
  project: string;
  payload: Buffer;
  facts: Body;
  /** Whether the roles of the project count; else only the users of the ACL may read. */
  isShared: boolean;
  readers: readonly string[];
}

type Body = Readonly<Record<string, unknown>>;
interface Result {
  status?: number;
  headers?: Record<string, string>;
  body?: Body | Buffer;
}

const USERS: Readonly<Record<string, User>> = {
  alice: { project: "app", role: "creator" },
  olga: { project: "app", role: "observer" },
  stan: { project: "other", role: "admin" },
};

const failed = (code: number, title: string, description: string): Result => ({
  status: code,
  body: { code, title, description },
});
/** Keystone's errors have another shape. */
const UNAUTHORIZED: Result = {
  status: 401,
  body: { error: { code: 401, message: "The request you have made requires authentication.", title: "Unauthorized" } }, // prettier-ignore
};
const FORBIDDEN = failed(403, "Forbidden", "Secret retrieval attempt not allowed - please review your user/project privileges"); // prettier-ignore
const NOT_FOUND = failed(404, "Not Found", "Secret not found.");

export async function barbicanDouble(isLasting?: boolean): Promise<BarbicanDouble> {
  const tokens = new Map<string, User & { name: string; expires: number }>();
  const secrets = new Map<string, Secret>();
  const orders = new Map<string, string>();
  const projects = { app: randomUUID().replaceAll("-", ""), other: randomUUID().replaceAll("-", "") }; // prettier-ignore

  const server = await testServer(async (request, response) => {
    if ((await double.intercept?.(request, response)) === true) return true;
    const { status = 200, headers = {}, body = {} } = handle(request);
    if (Buffer.isBuffer(body)) {
      return reply(response, status, { "content-type": "application/octet-stream" }, body);
    }
    const text = status === 204 ? "" : JSON.stringify(body);
    return reply(response, status, { "content-type": "application/json", ...headers }, text);
  }, isLasting);
  const double: BarbicanDouble = Object.assign(server, {
    ...{ authUrl: server.url, endpoint: server.url, tokenSeconds: 3600 },
    password: randomBytes(12).toString("hex"),
    credential: { id: randomUUID().replaceAll("-", ""), secret: randomBytes(12).toString("hex") },
    projectId: projects.app,
  });

  function handle({ method, target, headers, body }: SeenRequest): Result {
    const [path = ""] = target.split("?");
    if (path === "/v3/auth/tokens" && method === "POST") {
      return login(JSON.parse(body.toString()) as Body, target.endsWith("?nocatalog"));
    }
    const user = tokens.get(String(headers["x-auth-token"]));
    if (user === undefined || user.expires < Date.now()) return UNAUTHORIZED;
    if (path === "/v3/auth/tokens" && method === "DELETE") {
      tokens.delete(String(headers["x-subject-token"]));
      return { status: 204 };
    }
    if (path === "/v1/orders" && method === "POST") {
      const { meta } = JSON.parse(body.toString()) as { meta: Body };
      const payload = randomBytes(32).toString("base64");
      const types = { payload_content_type: "application/octet-stream", payload_content_encoding: "base64" }; // prettier-ignore
      const made = store(user, { ...meta, secret_type: "symmetric", payload, ...types });
      if (made.status !== 201) return made;
      const id = randomUUID();
      orders.set(id, String((made.body as Body).secret_ref));
      return { status: 202, body: { order_ref: `${double.url}/v1/orders/${id}` } };
    }
    const secret_ref = orders.get(path.replace("/v1/orders/", ""));
    if (secret_ref !== undefined) return { body: { type: "key", status: "ACTIVE", secret_ref } };
    if (path === "/v1/secrets" && method === "POST") {
      return store(user, JSON.parse(body.toString()) as Body);
    }
    const [, ofAcl = ""] = /^\/v1\/secrets\/([0-9a-f-]{36})\/acl$/.exec(path) ?? [];
    const shared = secrets.get(ofAcl);
    if (shared !== undefined && method === "PUT") {
      const { read } = JSON.parse(body.toString()) as { read: Record<string, unknown> };
      shared.isShared = read["project-access"] === true;
      shared.readers = (read.users ?? []) as string[];
      return { body: { acl_ref: `${double.url}${path}` } };
    }
    const [, id = "", payload] = /^\/v1\/secrets\/([0-9a-f-]{36})(\/payload)?$/.exec(path) ?? [];
    return id === ""
      ? NOT_FOUND
      : secret(user, user.name, method, id, payload !== undefined, headers.accept);
  }

  function login({ auth }: Body, isShort: boolean): Result {
    const { identity = {}, scope } = auth as Record<string, Body | undefined>;
    const name = nameOf(identity);
    // Keystone does not recognize the text of a token.
    const isUnknown = "token" in identity && name === undefined;
    if (isUnknown) return { status: 404, body: { error: { code: 404, message: "Could not recognize Fernet token", title: "Not Found" } } }; // prettier-ignore
    const user = USERS[name ?? ""];
    if (name === undefined || user === undefined) return UNAUTHORIZED;
    const { id, name: project } = (scope?.project ?? {}) as { id?: string; name?: string };
    const isScoped = scope !== undefined || "application_credential" in identity;
    const isOwn = id === undefined ? project === user.project : id === projects[user.project as "app"]; // prettier-ignore
    if (scope !== undefined && !isOwn) return UNAUTHORIZED;
    const token = `gAAAAA${randomBytes(60).toString("base64url")}`;
    const issued = Date.now();
    const expires = issued + double.tokenSeconds * 1000;
    tokens.set(token, { ...user, name, expires });
    const times = { issued_at: new Date(issued).toISOString(), expires_at: new Date(expires).toISOString() }; // prettier-ignore
    const endpoint = { interface: "public", region: "RegionOne", region_id: "RegionOne" };
    const catalog = [
      { type: "identity", endpoints: [{ ...endpoint, url: `${double.url}/v3` }] },
      { type: "key-manager", endpoints: [{ ...endpoint, url: double.url }] },
    ];
    return {
      status: 201,
      headers: { "x-subject-token": token },
      body: {
        token: { ...times, user: { id: `${name}-id` }, ...(isScoped && !isShort && { catalog }) },
      },
    };
  }

  /** The user that a login proves to be. */
  function nameOf(identity: Record<string, unknown>): string | undefined {
    const {
      password,
      token,
      application_credential: credential,
    } = identity as {
      password?: { user: { name: string; password: string } };
      token?: { id: string };
      application_credential?: { id?: string; name?: string; user?: { name: string }; secret: string }; // prettier-ignore
    };
    if (password !== undefined) {
      return password.user.password === double.password ? password.user.name : undefined;
    }
    if (token !== undefined) return tokens.get(token.id)?.name;
    if (credential === undefined) return undefined;
    const isNamed = credential.name === "ci" && credential.user?.name === "alice";
    const isKnown = isNamed || credential.id === double.credential.id;
    return isKnown && credential.secret === double.credential.secret ? "alice" : undefined;
  }

  function store({ project, role }: User, body: Body): Result {
    if (role === "observer") {
      return failed(403, "Forbidden", "Secret creation attempt not allowed - please review your user/project privileges"); // prettier-ignore
    }
    const { payload, payload_content_type, payload_content_encoding, ...facts } = body;
    if (
      payload_content_type !== "application/octet-stream" ||
      payload_content_encoding !== "base64"
    ) {
      // prettier-ignore
      return failed(400, "Bad Request", "Provided object does not match schema 'Secret'");
    }
    const id = randomUUID();
    // Barbican decodes base64 leniently, too.
    secrets.set(id, {
      project,
      payload: Buffer.from(String(payload), "base64"),
      facts,
      isShared: true,
      readers: [],
    });
    return { status: 201, body: { secret_ref: `${double.url}/v1/secrets/${id}` } };
  }

  function secret(
    { project, role }: User,
    name: string,
    method: string,
    id: string,
    isPayload: boolean,
    accept: string | undefined,
  ): Result {
    const found = secrets.get(id);
    if (found === undefined) return NOT_FOUND;
    const isReader = found.readers.includes(`${name}-id`);
    if (!isReader && (!found.isShared || found.project !== project)) return FORBIDDEN;
    if (method === "DELETE") {
      if (role === "observer") return FORBIDDEN;
      secrets.delete(id);
      return { status: 204 };
    }
    if (isPayload) {
      if (accept === "application/octet-stream") return { body: found.payload };
      return failed(406, "Not Acceptable", "Secret payload retrieval issue seen - Not Acceptable.");
    }
    const content_types = { default: "application/octet-stream" };
    return { body: { status: "ACTIVE", content_types, expiration: null, ...found.facts } };
  }
  return double;
}
