import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/errors.js";
import {
  registryDestination,
  registrySource,
  type Credentials,
  type RegistryOptions,
} from "../../src/registry/index.js";
import { collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import {
  at,
  MANIFEST,
  numbered,
  QUICK,
  refuse,
  reply,
  testRegistry,
  testServer,
  type Script,
  type TestRegistry,
  type TestServer,
} from "./server.js";

const USER: Credentials = { username: "user", password: "pass:word" };
const BASIC = `Basic ${Buffer.from("user:pass:word").toString("base64")}`;
const TEXT = "{}";

async function withImage(): Promise<TestRegistry> {
  const registry = await testRegistry();
  registry.putManifest("app", "latest", MANIFEST, TEXT);
  return registry;
}

function resolve(registry: TestServer, options: RegistryOptions = {}): Promise<unknown> {
  return registrySource(at(registry, "app", "latest"), {
    ...QUICK,
    credentials: USER,
    ...options,
  }).resolve();
}

const authorizations = ({ requests }: TestServer): (string | undefined)[] =>
  requests.map(({ headers }) => headers.authorization);

/** A token service; the registry takes its last token only. */
async function withTokens(
  service: Script,
  challenge = (realm: string): string => `Bearer realm="${realm}",service="reg",scope="other"`,
): Promise<{ registry: TestRegistry; tokens: TestServer; accept: (token: string) => void }> {
  const registry = await withImage();
  const tokens = await testServer(service);
  let accepted = "none";
  registry.script = ({ headers }, response) => {
    if (headers.authorization === `Bearer ${accepted}`) return false;
    response.setHeader("www-authenticate", challenge(`${tokens.url}/token?x=1`));
    return refuse(response, 401, "UNAUTHORIZED", "authentication required");
  };
  return { registry, tokens, accept: (token) => (accepted = token) };
}

const token = (value: unknown): string => JSON.stringify(value);

describe("basic", () => {
  it("is sent once it has been requested", async () => {
    const registry = await withImage();
    const blob = { mediaType: "a/b", ...registry.putBlob("app", numbered(10)) };
    registry.script = ({ headers }, response) =>
      headers.authorization !== BASIC &&
      reply(response, 401, { "www-authenticate": 'Basic realm="r"' });
    const source = registrySource(at(registry, "app", "latest"), { ...QUICK, credentials: USER });
    await source.resolve();
    await collect(source.read(blob));
    expect(authorizations(registry)).toEqual([undefined, BASIC, BASIC]);
  });

  it("is not tried repeatedly if it is wrong", async () => {
    const registry = await withImage();
    const challenge = { "www-authenticate": 'Basic realm="r"' };
    registry.script = (_, response) => reply(response, 401, challenge);
    const options = { ...QUICK, credentials: USER };
    const source = registrySource(at(registry, "app", "latest"), options);
    await expectCode(source.resolve(), "REGISTRY_DENIED");
    await expectCode(source.resolve(), "REGISTRY_DENIED");
    expect(authorizations(registry)).toEqual([undefined, BASIC, BASIC]);
  });

  it("is looked up for the host and the repository, only when it is requested", async () => {
    const registry = await withImage();
    const asked: unknown[] = [];
    const credentials = (request: unknown): Promise<Credentials> => {
      asked.push(request);
      return Promise.resolve(USER);
    };
    await resolve(registry, { credentials });
    expect(asked).toEqual([]);
    registry.script = ({ headers }, response) =>
      headers.authorization === undefined &&
      reply(response, 401, { "www-authenticate": 'Basic realm="r"' });
    await resolve(registry, { credentials });
    expect(asked).toEqual([{ host: registry.host, repository: "app" }]);
  });

  it.each<[string, ErrorCode, string, RegistryOptions]>([
    ["refused for ever", "REGISTRY_DENIED", 'Basic realm="r"', {}],
    ["without credentials", "REGISTRY_DENIED", "Basic", { credentials: QUICK.credentials }],
    ["with a token only", "REGISTRY_DENIED", "Basic", { credentials: { identityToken: "t" } }],
    [
      "with a colon in the name",
      "CREDENTIALS_INVALID",
      "Basic",
      { credentials: { username: "a:b", password: "hunter2" } },
    ],
    ["as an unknown scheme", "REGISTRY_DENIED", "Negotiate", {}],
    ["not well-formed", "REGISTRY_INVALID_RESPONSE", 'Basic realm="', {}],
    ["without a scheme", "REGISTRY_DENIED", "", {}],
  ])("%s", async (_, code, challenge, options) => {
    const registry = await withImage();
    registry.script = (_request, response) =>
      reply(response, 401, { "www-authenticate": challenge });
    const error = await expectCode(resolve(registry, options), code);
    expect(registry.requests.length).toBeLessThanOrEqual(2);
    expect(error.message).not.toMatch(/pass:word|hunter2/);
  });
});

describe("tokens", () => {
  it("are requested with the password, for the needed actions", async () => {
    const { registry, tokens, accept } = await withTokens((_, response) => {
      accept("t1");
      return reply(response, 200, {}, token({ token: "t1", expires_in: 300 }));
    });
    await resolve(registry);
    expect(authorizations(registry)).toEqual([undefined, "Bearer t1"]);
    expect(tokens.requests).toHaveLength(1);
    const [{ method, target, headers }] = tokens.requests as [TestServer["requests"][0]];
    expect(method).toBe("GET");
    expect(Object.fromEntries(new URL(target, tokens.url).searchParams)).toEqual({
      x: "1",
      service: "reg",
      scope: "repository:app:pull",
      account: "user",
    });
    expect(headers.authorization).toBe(BASIC);
  });

  it("are requested anonymously if there are no credentials", async () => {
    const { registry, tokens, accept } = await withTokens((_, response) => {
      accept("t1");
      return reply(response, 200, {}, token({ access_token: "t1" }));
    });
    await resolve(registry, { credentials: QUICK.credentials });
    expect(authorizations(tokens)).toEqual([undefined]);
    expect(tokens.requests[0]!.target).not.toContain("account");
  });

  it("are requested for an identity token with OAuth 2", async () => {
    const { registry, tokens, accept } = await withTokens((_, response) => {
      accept("t1");
      return reply(response, 200, {}, token({ access_token: "t1", refresh_token: "t2" }));
    });
    await resolve(registry, { credentials: { identityToken: "a&b" } });
    const [{ method, body, headers }] = tokens.requests as [TestServer["requests"][0]];
    expect([method, headers.authorization]).toEqual(["POST", undefined]);
    expect(Object.fromEntries(new URLSearchParams(body.toString()))).toEqual({
      grant_type: "refresh_token",
      client_id: "ocicrypt",
      refresh_token: "a&b",
      service: "reg",
      scope: "repository:app:pull",
    });
  });

  it("are reused for the same actions, and requested again for more", async () => {
    const scopes: string[] = [];
    const { registry, tokens, accept } = await withTokens(({ target }, response) => {
      scopes.push(new URL(target, "http://t").searchParams.getAll("scope").join(" "));
      accept("t");
      return reply(response, 200, {}, token({ token: "t" }));
    });
    const mountFrom = at(registry, "base");
    const options = { ...QUICK, credentials: USER };
    const destination = await registryDestination(at(registry, "app"), { ...options, mountFrom });
    const blob = { mediaType: "a/b", ...registry.putBlob("base", numbered(5)) };
    expect(await destination.contains(blob)).toBe(false);
    expect(await destination.contains(blob)).toBe(false);
    expect(await destination.mount(blob)).toBe(true);
    expect(scopes).toEqual([
      "repository:app:pull,push",
      "repository:app:pull,push repository:base:pull",
    ]);
    expect(tokens.requests).toHaveLength(2);
  });

  it("are requested once for simultaneous requests", async () => {
    let count = 0;
    const { registry, tokens, accept } = await withTokens((_, response) => {
      count++;
      setTimeout(() => {
        accept("t");
        reply(response, 200, {}, token({ token: "t" }));
      }, 50);
      return true;
    });
    const source = registrySource(at(registry, "app", "latest"), { ...QUICK, credentials: USER });
    await Promise.all([source.resolve(), source.resolve(), source.resolve()]);
    expect(count).toBe(1);
    expect(tokens.requests).toHaveLength(1);
  });

  it("are renewed once when they are rejected", async () => {
    let count = 0;
    const { registry, tokens, accept } = await withTokens((_, response) => {
      const value = `t${String(++count)}`;
      accept(value);
      return reply(response, 200, {}, token({ token: value, expires_in: 3600 }));
    });
    const source = registrySource(at(registry, "app", "latest"), { ...QUICK, credentials: USER });
    await source.resolve();
    accept("t2");
    await source.resolve();
    expect(tokens.requests).toHaveLength(2);
    expect(authorizations(registry)).toEqual([undefined, "Bearer t1", "Bearer t1", "Bearer t2"]);
  });

  // https://github.com/docker/hub-feedback/issues/2530
  // https://github.com/oras-project/oras-go/issues/1227
  it.each([
    [401, "UNAUTHORIZED"],
    [400, "DENIED"],
  ])(
    "are renewed once when they are rejected with %s without a challenge",
    async (status, code) => {
      const issued: string[] = [];
      const { registry, accept } = await withTokens((_, response) => {
        issued.push(`t${String(issued.length)}`);
        accept(issued.at(-1)!);
        return reply(response, 200, {}, token({ token: issued.at(-1) }));
      });
      const source = registrySource(at(registry, "app", "latest"), { ...QUICK, credentials: USER });
      await source.resolve();
      accept("none");
      const { script } = registry;
      registry.script = (request, response) =>
        request.headers.authorization === "Bearer t0"
          ? refuse(response, status, code)
          : script(request, response);
      await source.resolve();
      expect(issued).toEqual(["t0", "t1"]);
    },
  );

  it.each([
    ["REGISTRY_DENIED", "DENIED", 3],
    ["REGISTRY_FAILED", "MANIFEST_INVALID", 2],
  ] as const)("end with %s if the answer stays 400 %s", async (expected, code, count) => {
    let issued = 0;
    const { registry, accept } = await withTokens((_, response) => {
      accept(`t${String(++issued)}`);
      return reply(response, 200, {}, token({ token: `t${String(issued)}` }));
    });
    const { script } = registry;
    registry.script = (request, response) =>
      request.headers.authorization === undefined
        ? script(request, response)
        : refuse(response, 400, code, "the words of the registry");
    const { message } = await expectCode(resolve(registry, { credentials: USER }), expected);
    expect(message).toContain(`400: ${code} the words of the registry`);
    expect(registry.requests).toHaveLength(2);
    const source = registrySource(at(registry, "app", "latest"), { ...QUICK, credentials: USER });
    await expectCode(source.resolve(), expected);
    await expectCode(source.resolve(), expected);
    expect(registry.requests).toHaveLength(2 + count + 1);
  });

  it("are not waited for after an abort", async () => {
    const { registry } = await withTokens(() => true);
    const controller = new AbortController();
    const reason = new Error("enough");
    setTimeout(() => {
      controller.abort(reason);
    }, 100);
    const source = registrySource(at(registry, "app", "latest"), { ...QUICK, credentials: USER });
    await expect(source.resolve({ signal: controller.signal })).rejects.toBe(reason);
  });

  it("that are always rejected end the request", async () => {
    let count = 0;
    const { registry, tokens } = await withTokens((_, response) =>
      reply(response, 200, {}, token({ token: `t${String(++count)}` })),
    );
    const source = registrySource(at(registry, "app", "latest"), { ...QUICK, credentials: USER });
    const error = await expectCode(source.resolve(), "REGISTRY_DENIED");
    expect(error.message).toContain("UNAUTHORIZED authentication required");
    expect([registry.requests.length, tokens.requests.length]).toEqual([2, 1]);
    await expectCode(source.resolve(), "REGISTRY_DENIED");
    expect([registry.requests.length, tokens.requests.length]).toEqual([4, 2]);
  });

  it("are requested again when the service is busy", async () => {
    let count = 0;
    const { registry, accept } = await withTokens((_, response) => {
      accept("t");
      return count++ === 0 ? reply(response, 503) : reply(response, 200, {}, token({ token: "t" }));
    });
    await resolve(registry);
    expect(count).toBe(2);
  });

  it.each<[string, ErrorCode, Script]>([
    ["refuses", "REGISTRY_DENIED", (_, r) => refuse(r, 401, "UNAUTHORIZED", "wrong password")],
    [
      "refuses by OAuth 2",
      "REGISTRY_DENIED",
      (_, r) => reply(r, 400, {}, '{"error":"invalid_grant"}'),
    ],
    ["fails", "REGISTRY_FAILED", (_, r) => reply(r, 500)],
    ["is not there", "REGISTRY_FAILED", (_, r) => reply(r, 404)],
    ["is a page", "REGISTRY_INVALID_RESPONSE", (_, r) => reply(r, 200, {}, "<html>hunter2</html>")],
    ["answers null", "REGISTRY_INVALID_RESPONSE", (_, r) => reply(r, 200, {}, "null")],
    ["gives none", "REGISTRY_INVALID_RESPONSE", (_, r) => reply(r, 200, {}, token({ token: "" }))],
    [
      "gives a number",
      "REGISTRY_INVALID_RESPONSE",
      (_, r) => reply(r, 200, {}, token({ token: 1 })),
    ],
    [
      "uses a name that only Go reads",
      "REGISTRY_INVALID_RESPONSE",
      (_, r) => reply(r, 200, {}, token({ toKen: "hunter2" })),
    ],
    [
      "gives a header too",
      "REGISTRY_INVALID_RESPONSE",
      (_, r) => reply(r, 200, {}, token({ token: "hunter2\r\nx: y" })),
    ],
    [
      "answers without end",
      "REGISTRY_INVALID_RESPONSE",
      (_, r) => reply(r, 200, {}, token({ token: "x".repeat(1_100_000) })),
    ],
    [
      "redirects forever",
      "REGISTRY_INVALID_RESPONSE",
      (_, r) => reply(r, 307, { location: "/other" }),
    ],
    [
      "redirects to another port",
      "REGISTRY_INVALID_RESPONSE",
      (_, r) => reply(r, 307, { location: "http://127.0.0.1:1/token" }),
    ],
    ["closes", "REGISTRY_UNREACHABLE", (_, r) => (r.destroy(), true)],
  ])("of a service that %s", async (_, code, script) => {
    const { registry } = await withTokens(script);
    const error = await expectCode(resolve(registry), code);
    expect(error.message).not.toMatch(/hunter2|pass:word/);
    expect(registry.requests).toHaveLength(1);
  });

  it.each<[string, (realm: string) => string]>([
    ["none", () => "Bearer"],
    ["a path", () => 'Bearer realm="/token"'],
    ["one without TLS on another host", () => 'Bearer realm="http://192.0.2.1/token"'],
    ["one with a password", (realm) => `Bearer realm="${realm.replace("//", "//a:b@")}"`],
    ["a file", () => 'Bearer realm="file:///token"'],
  ])("are not requested if the registry names %s", async (_, challenge) => {
    const { registry, tokens } = await withTokens(
      (_request, r) => reply(r, 200, {}, "{}"),
      challenge,
    );
    await expectCode(resolve(registry), "REGISTRY_INVALID_RESPONSE");
    expect(tokens.requests).toEqual([]);
  });
});

it("looks up no password if Basic is not offered", async () => {
  const registry = await withImage();
  registry.script = (_, response) => reply(response, 401, { "www-authenticate": "Negotiate" });
  let asked = 0;
  const credentials = (): Promise<Credentials> => {
    asked++;
    return Promise.resolve(USER);
  };
  await expectCode(resolve(registry, { credentials }), "REGISTRY_DENIED");
  expect(asked).toBe(0);
  expect(authorizations(registry)).toEqual([undefined]);
});

describe("a registry that repeats what it was sent", () => {
  it("does not get the password or its header into a message", async () => {
    const registry = await withImage();
    registry.script = ({ headers: { authorization = "" } }, response) => {
      if (authorization === "") return reply(response, 401, { "www-authenticate": "Basic" });
      const password = Buffer.from(authorization.slice(6), "base64").toString();
      return refuse(response, 403, "DENIED", `${authorization} is ${password}`);
    };
    const { message } = await expectCode(resolve(registry), "REGISTRY_DENIED");
    expect(message).toContain("DENIED");
    expect(message).not.toContain("pass:word");
    expect(message).not.toContain(BASIC.slice(6));
  });

  it("does not get a token of its token service into a message", async () => {
    const secret = "c2VjcmV0LXRva2VuLW9mLXRoZS10ZXN0";
    const { registry } = await withTokens((_, response) =>
      reply(response, 200, {}, token({ token: secret })),
    );
    const { script } = registry;
    registry.script = (request, response) =>
      request.headers.authorization === undefined
        ? script(request, response)
        : refuse(response, 403, "DENIED", `not ${request.headers.authorization}`);
    const { message } = await expectCode(resolve(registry), "REGISTRY_DENIED");
    expect(message).toContain("DENIED");
    expect(message).not.toContain(secret);
  });

  it("does not get an identity token into a message", async () => {
    const identityToken = "cmVmcmVzaC10b2tlbi1vZi10aGUtdGVzdA";
    const { registry } = await withTokens(({ body }, response) =>
      refuse(response, 401, "UNAUTHORIZED", `not ${body.toString()}`),
    );
    const options = { credentials: { identityToken } };
    const { message } = await expectCode(resolve(registry, options), "REGISTRY_DENIED");
    expect(message).toContain("UNAUTHORIZED");
    expect(message).not.toContain(identityToken);
  });
});
