import { describe, expect, it } from "vitest";
import { barbican, type BarbicanKeyOptions } from "../../../src/keyserver/barbican/index.js";
import { reply } from "../../registry/server.js";
import { type BarbicanDouble, barbicanDouble } from "../../support/barbican-double.js";
import { barbicanSuite, loginOf, secretOf, storeSecret } from "../../support/barbican-suite.js";
import { expectCode } from "../../support/codes.js";

const SECRET = Buffer.alloc(200, "s");

async function setUp(): Promise<{
  server: BarbicanDouble;
  options: BarbicanKeyOptions;
  wrapped: Uint8Array;
}> {
  const server = await barbicanDouble();
  const { url } = server;
  const options = { authUrl: url, endpoint: url, auth: loginOf(server, "alice"), retryDelay: 1 };
  const wrapped = await barbican.recipient(options).wrap(Uint8Array.from(SECRET));
  server.requests.length = 0;
  return { server, options, wrapped };
}

const changed = (wrapped: Uint8Array, changes: object): Uint8Array => {
  const envelope = JSON.parse(Buffer.from(wrapped).toString()) as object;
  return Buffer.from(JSON.stringify({ ...envelope, ...changes }));
};

describe("the double", () => {
  barbicanSuite(() => barbicanDouble(true));
});

describe("a request", () => {
  it("contains a new 32-byte key, but neither the private options nor the password", async () => {
    const { server, options } = await setUp();
    await barbican.recipient({ ...options, name: "app" }).wrap(Uint8Array.from(SECRET));
    expect(server.log()).toEqual(["POST /v3/auth/tokens", "POST /v1/secrets"]);
    expect(server.requests[0]!.target).toBe("/v3/auth/tokens?nocatalog");
    const sent = JSON.parse(server.requests[1]!.body.toString()) as Record<string, string>;
    expect(sent).toMatchObject({ name: "app", secret_type: "symmetric", bit_length: 256 });
    expect(Buffer.from(sent.payload!, "base64")).toHaveLength(32);
    expect(JSON.stringify(server.requests)).not.toContain(SECRET.toString("base64").slice(0, 20));
    expect(server.requests[1]!.body.toString()).not.toContain(server.password);
  });

  it("goes to the configured server, with only the id of the secret", async () => {
    const { server, options, wrapped } = await setUp();
    const other = await barbicanDouble();
    const moved = changed(wrapped, { secretRef: `${other.url}/v1/secrets/${secretOf(wrapped)}` });
    expect(Buffer.from((await barbican.key(options).unwrap(moved))!)).toEqual(SECRET);
    expect(other.requests).toEqual([]);
    expect(server.log()).toEqual([
      "POST /v3/auth/tokens",
      `GET /v1/secrets/${secretOf(wrapped)}/payload`,
    ]);
  });

  it("is not retried if it stores a secret, because a second copy would survive a deletion", async () => {
    const { server, options } = await setUp();
    server.intercept = ({ target }, response) => target === "/v1/secrets" && reply(response, 503);
    const wrapping = barbican.recipient(options).wrap(Uint8Array.from(SECRET));
    await expectCode(wrapping, "KEY_SERVER_UNREACHABLE");
    expect(server.log()).toEqual(["POST /v3/auth/tokens", "POST /v1/secrets"]);
  });

  it("names the project to a server without Keystone", async () => {
    const { server, options, wrapped } = await setUp();
    server.intercept = (request, response) => {
      expect(request.headers["x-project-id"]).toBe("p1");
      return reply(response, 200, {}, Buffer.alloc(32));
    };
    const auth = { method: "none", projectId: "p1" } as const;
    const key = barbican.key({ ...options, auth });
    await expectCode(key.unwrap(wrapped), "WRAPPED_KEY_INVALID");
    expect(server.log()).toEqual([`GET /v1/secrets/${secretOf(wrapped)}/payload`]);
  });

  it("is sent only for the secrets that the key names", async () => {
    const { server, options, wrapped } = await setUp();
    const id = "00000000-0000-0000-0000-000000000000";
    const key = barbican.key({ ...options, secrets: [id] });
    expect(await key.unwrap(wrapped)).toBeNull();
    expect(key.explain!(wrapped)).toBe(`it is for the secret ${secretOf(wrapped)} of Barbican, not ${id}`); // prettier-ignore
    expect(server.requests).toEqual([]);
    const own = barbican.key({ ...options, secrets: [id, secretOf(wrapped)] });
    expect(Buffer.from((await own.unwrap(wrapped))!)).toEqual(SECRET);
  });
});

describe("a wrapped key", () => {
  const ID = "f865bd68-1111-2222-3333-444455556666";
  it.each([
    ["without a reference", { secretRef: undefined }],
    ["with a reference to another path", { secretRef: `https://b.example/v1/secrets/../orders/${ID}` }],
    ["with a query", { secretRef: `https://b.example/v1/secrets/${ID}?x` }],
    ["with a reference to a container", { secretRef: `https://b.example/v1/containers/${ID}` }],
    ["with a number", { secretRef: 1 }],
    ["with a short sealed part", { sealed: "AAAA" }],
    ["with a changed sealed part", { sealed: Buffer.alloc(99).toString("base64") }],
  ])("%s is refused", async (_, changes) => {
    const { options, wrapped } = await setUp();
    const opening = barbican.key(options).unwrap(changed(wrapped, changes));
    await expectCode(opening, "WRAPPED_KEY_INVALID");
  }); // prettier-ignore

  it.each(["AGE", '{"kid":"x"}', '{"system":"vault"}'])(
    "of another key provider is skipped: %s",
    async (text) => {
      const { server, options } = await setUp();
      const key = barbican.key(options);
      expect(await key.unwrap(Buffer.from(text))).toBeNull();
      expect(key.explain!(Buffer.from(text))).toBe("it is from another key provider of this name");
      expect(server.requests).toEqual([]);
    },
  );
});

const error = (code: number, description = ""): string =>
  JSON.stringify({ code, title: "Title", description });

describe("an answer", () => {
  it.each([
    ["that is a web page", 200, "<html>sign in</html>", "KEY_SERVER_ANSWER_INVALID"],
    ["with a key of 16 bytes", 200, Buffer.alloc(16), "KEY_SERVER_ANSWER_INVALID"],
    ["with a key of 33 bytes", 200, Buffer.alloc(33), "KEY_SERVER_ANSWER_INVALID"],
    ["without content", 200, "", "KEY_SERVER_ANSWER_INVALID"],
    ["with another key", 200, Buffer.alloc(32), "WRAPPED_KEY_INVALID"],
    ["of 1 MiB", 200, Buffer.alloc(2 ** 20), "KEY_SERVER_ANSWER_INVALID"],
    ["300", 300, "", "KEY_SERVER_ANSWER_INVALID"],
    ["that redirects", 302, "", "KEY_SERVER_ANSWER_INVALID"],
    ["400", 400, error(400), "KEY_SERVER_ANSWER_INVALID"],
    ["401", 401, '{"error":{"code":401}}', "KEY_SERVER_UNAUTHORIZED"],
    ["403", 403, error(403), "KEY_SERVER_UNAUTHORIZED"],
    ["404", 404, error(404, "Secret not found."), "KEY_SERVER_KEY_NOT_FOUND"],
    ["404 of another server", 404, "<html>", "KEY_SERVER_ANSWER_INVALID"],
    ["406", 406, error(406), "KEY_UNSUPPORTED"],
    ["409", 409, error(409, "Secret already has data"), "KEY_SERVER_ANSWER_INVALID"],
    ["503", 503, "", "KEY_SERVER_UNREACHABLE"],
  ] as const)("%s is an error", async (_, status, body, code) => {
    const { server, options, wrapped } = await setUp();
    const other = await barbicanDouble();
    server.intercept = ({ target }, response) =>
      target.startsWith("/v1/") && reply(response, status, { location: other.url }, body);
    const { message } = await expectCode(barbican.key(options).unwrap(wrapped), code);
    expect(message).not.toContain("gAAAAA");
    expect(message).not.toContain(server.password);
    expect(other.requests).toEqual([]);
  });

  it("that arrives byte by byte times out", async () => {
    const { server, options, wrapped } = await setUp();
    let dripping: NodeJS.Timeout | undefined;
    server.intercept = ({ target }, response) => {
      if (!target.startsWith("/v1/")) return false;
      dripping = setInterval(() => response.write("x"), 20);
      return true;
    };
    const key = barbican.key({ ...options, timeout: 300, retries: 0 });
    await expectCode(key.unwrap(wrapped), "KEY_SERVER_UNREACHABLE");
    clearInterval(dripping);
  });

  it.each([
    ["<html>", "KEY_SERVER_ANSWER_INVALID"],
    ["{}", "KEY_SERVER_ANSWER_INVALID"],
    ['{"secret_ref":"https://b.example/v1/secrets/../x"}', "KEY_SERVER_ANSWER_INVALID"],
  ] as const)("without a reference fails the encryption: %s", async (body, code) => {
    const { server, options } = await setUp();
    server.intercept = ({ target }, response) =>
      target === "/v1/secrets" && reply(response, 201, {}, body);
    await expectCode(barbican.recipient(options).wrap(Uint8Array.from(SECRET)), code);
  });

  it("says that a quota is used up", async () => {
    const { server, options } = await setUp();
    const text = error(403, "Quota reached for project p1. Only 10 secrets are allowed.");
    server.intercept = ({ target }, response) =>
      target === "/v1/secrets" && reply(response, 403, {}, text);
    const wrapping = barbican.recipient(options).wrap(Uint8Array.from(SECRET));
    const { message } = await expectCode(wrapping, "KEY_SERVER_UNAUTHORIZED");
    expect(message).toContain("quota");
  });
});

describe("a key that wraps", () => {
  const wrapWith = async (payload: Uint8Array): Promise<{ options: BarbicanKeyOptions; wrapped: Uint8Array }> => {
    const { server, options } = await setUp();
    const id = await storeSecret(server, payload, { secret_type: "symmetric" });
    return { options, wrapped: await barbican.kekRecipient(id, options).wrap(Uint8Array.from(SECRET)) };
  };

  it("must have 32 bytes", async () => {
    for (const size of [0, 16, 31, 33]) {
      await expectCode(wrapWith(Buffer.alloc(size)), "KEY_UNSUPPORTED");
    }
  });

  it.each(["AAAA", "A".repeat(54) + "==", 1])("rejects the wrapped data key %j", async (wrong) => {
    const { options, wrapped } = await wrapWith(Buffer.alloc(32, 7));
    const opening = barbican.key(options).unwrap(changed(wrapped, { wrapped: wrong }));
    await expectCode(opening, "WRAPPED_KEY_INVALID");
  });

  it("must have a valid id", async () => {
    const { options } = await setUp();
    for (const id of ["", "../orders", "F865BD68-1111-2222-3333-444455556666"]) {
      await expectCode(() => barbican.kekRecipient(id, options), "KEY_SERVER_CONFIG_INVALID");
      await expectCode(barbican.keyFile(id, options), "KEY_SERVER_CONFIG_INVALID");
    }
  });
}); // prettier-ignore

describe("an order", () => {
  const order = async (answers: object[], first?: object): Promise<string> => {
    const { server, options } = await setUp();
    const id = "f865bd68-1111-2222-3333-444455556666";
    server.intercept = ({ target, method }, response) => {
      if (!target.startsWith("/v1/")) return false;
      const made = first ?? { order_ref: `${server.url}/v1/orders/${id}` };
      const answer = method === "POST" ? made : (answers.length > 1 ? answers.shift() : answers[0]);
      return reply(response, method === "POST" ? 202 : 200, {}, JSON.stringify(answer));
    };
    return barbican.createKek({ ...options, timeout: 1200 });
  };
  const secret_ref = "https://barbican.internal/v1/secrets/00000000-1111-2222-3333-444455556666";

  it("is polled until it is active", async () => {
    const active = { status: "ACTIVE", secret_ref };
    expect(await order([{ status: "PENDING" }, active])).toBe(secret_ref.split("/").at(-1));
  });

  it.each([
    ["fails", [{ status: "ERROR", error_reason: "x" }], undefined, "KEY_SERVER_ANSWER_INVALID"],
    ["never ends", [{ status: "PENDING" }], undefined, "KEY_SERVER_UNREACHABLE"],
    ["has no status", [{}], undefined, "KEY_SERVER_ANSWER_INVALID"],
    ["has no secret", [{ status: "ACTIVE" }], undefined, "KEY_SERVER_ANSWER_INVALID"],
    ["has no reference", [], { order_ref: "https://b.example/v1/orders/../secrets" }, "KEY_SERVER_ANSWER_INVALID"],
  ] as const)("that %s is an error", async (_, answers, first, code) => {
    await expectCode(order([...answers], first), code);
  });
}); // prettier-ignore

it.each([
  [{ endpoint: "barbican.example" }],
  [{ endpoint: "ftp://barbican.example" }],
  [{ endpoint: "http://barbican.example" }],
  [{ endpoint: "https://user:pass@barbican.example" }],
  [{ authUrl: "http://keystone.example" }],
  [{ authUrl: "https://keystone.example/v2.0" }],
  [{ authUrl: undefined }],
  [{ auth: { method: "none", projectId: "" } }],
  [{ auth: { method: "none", projectId: "p" }, endpoint: undefined }],
  [{ auth: { method: "token", token: "a\nb" } }],
  [{ auth: { method: "password", user: { name: "" }, password: "x" } }],
  [{ auth: { method: "password", user: { id: "u" }, password: "" } }],
  [{ auth: { method: "password", user: { name: "u".repeat(256) }, password: "x" } }],
] as const)("the options %j are refused", async (options) => {
  const all = {
    ...{ authUrl: "https://keystone.example", endpoint: "https://barbican.example" },
    auth: { method: "token", token: "x" } as const,
    ...options,
  };
  await expectCode(() => barbican.key(all), "KEY_SERVER_CONFIG_INVALID");
});
