import { describe, expect, it, vi } from "vitest";
import { keyServerClient } from "../../../src/keyserver/client.js";
import { keystone, type KeystoneAuth } from "../../../src/keyserver/barbican/keystone.js";
import { barbican } from "../../../src/keyserver/barbican/index.js";
import { reply, testServer } from "../../registry/server.js";
import { barbicanDouble } from "../../support/barbican-double.js";
import { loginOf } from "../../support/barbican-suite.js";
import { expectCode } from "../../support/codes.js";

const times = {
  issued_at: "2026-01-01T00:00:00.000000Z",
  expires_at: "2026-01-01T01:00:00.000000Z",
};
const HEADERS = { "x-subject-token": "gAAAAA" };
const json = (value: unknown): string => JSON.stringify(value);
const ANSWER = json({ token: { ...times, catalog: [] } });

/** The bodies of https://docs.openstack.org/api-ref/identity/v3/ for each method and scope. */
const BODIES: [string, KeystoneAuth, object][] = [
  [
    "a password and a project",
    { method: "password", user: { name: "u" }, password: "p", scope: { project: { name: "app", domain: { name: "D" } } } },
    {
      identity: { methods: ["password"], password: { user: { name: "u", domain: { id: "default" }, password: "p" } } },
      scope: { project: { name: "app", domain: { name: "D" } } },
    },
  ],
  [
    "ids",
    { method: "password", user: { id: "u" }, password: "p", scope: { project: { id: "a" } } },
    { identity: { methods: ["password"], password: { user: { id: "u", password: "p" } } }, scope: { project: { id: "a" } } },
  ],
  [
    "a token and a domain",
    { method: "token", token: "t", scope: { domain: { id: "d" } } },
    { identity: { methods: ["token"], token: { id: "t" } }, scope: { domain: { id: "d" } } },
  ],
  [
    "an application credential",
    { method: "application-credential", credential: { id: "c" }, secret: "s" },
    { identity: { methods: ["application_credential"], application_credential: { id: "c", secret: "s" } } },
  ],
  [
    "an application credential by name",
    { method: "application-credential", credential: { name: "ci", user: { name: "u", domain: { id: "d" } } }, secret: "s" },
    {
      identity: {
        methods: ["application_credential"],
        application_credential: { name: "ci", user: { name: "u", domain: { id: "d" } }, secret: "s" },
      },
    },
  ],
]; // prettier-ignore

it.each(BODIES)("a login with %s matches Keystone's API reference", async (_, auth, expected) => {
  const server = await testServer((_request, response) => reply(response, 201, HEADERS, ANSWER));
  for (const path of ["", "/", "/v3", "/v3/", "/identity"]) {
    const login = keystone({ authUrl: server.url + path, auth }, keyServerClient(), true);
    expect(await login()).toEqual({ value: "gAAAAA", lifetime: 3_600_000, catalog: [] });
    const { target, body } = server.requests.at(-1)!;
    expect(target).toBe(`${path === "/identity" ? path : ""}/v3/auth/tokens`);
    expect(JSON.parse(body.toString())).toEqual({ auth: expected });
  }
});

describe("an answer of Keystone", () => {
  it.each([
    ["without a token", 201, {}, ANSWER, "KEY_SERVER_ANSWER_INVALID"],
    ["with a token that is not a valid header", 201, { "x-subject-token": "a b" }, ANSWER, "KEY_SERVER_ANSWER_INVALID"],
    ["without times", 201, HEADERS, json({ token: {} }), "KEY_SERVER_ANSWER_INVALID"],
    ["with a token that has already expired", 201, HEADERS, json({ token: { issued_at: times.expires_at, expires_at: times.issued_at } }), "KEY_SERVER_ANSWER_INVALID"],
    ["that is a web page", 201, HEADERS, "<html>", "KEY_SERVER_ANSWER_INVALID"],
    ["of 1 MiB", 201, HEADERS, " ".repeat(2 ** 20), "KEY_SERVER_ANSWER_INVALID"],
    ["300", 300, {}, "{}", "KEY_SERVER_ANSWER_INVALID"],
    ["that redirects", 302, { location: "http://127.0.0.1:9" }, "", "KEY_SERVER_ANSWER_INVALID"],
    ["400", 400, {}, "{}", "KEY_SERVER_ANSWER_INVALID"],
    ["401", 401, {}, "{}", "KEY_SERVER_UNAUTHORIZED"],
    ["401 for a second factor", 401, { "openstack-auth-receipt": "x" }, "{}", "KEY_SERVER_UNAUTHORIZED"],
    ["403", 403, {}, "{}", "KEY_SERVER_UNAUTHORIZED"],
    ["404 of another server", 404, {}, "<html>", "KEY_SERVER_ANSWER_INVALID"],
    ["404 of an unknown credential", 404, {}, json({ error: { code: 404, title: "Not Found" } }), "KEY_SERVER_UNAUTHORIZED"],
    ["503", 503, {}, "", "KEY_SERVER_UNREACHABLE"],
  ] as const)("%s is an error", async (_, status, headers, body, code) => {
    const server = await testServer((_request, response) => reply(response, status, headers, body));
    const auth = { method: "token", token: "s3cret-token" } as const;
    const client = keyServerClient({ retryDelay: 1 });
    const { message } = await expectCode(keystone({ authUrl: server.url, auth }, client, true)(), code);
    expect(message).not.toContain("s3cret");
  }); // prettier-ignore
});

it("a token is renewed before it expires", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const server = await barbicanDouble();
  const recipient = barbican.recipient({ authUrl: server.url, auth: loginOf(server, "alice") });
  const logins = async (): Promise<number> => {
    await recipient.wrap(Uint8Array.from([1]));
    return server.log().filter((each) => each.endsWith("tokens")).length;
  };
  try {
    expect(await logins()).toBe(1);
    vi.advanceTimersByTime(3_500_000);
    expect(await logins()).toBe(1);
    vi.advanceTimersByTime(60_000);
    expect(await logins()).toBe(2);
  } finally {
    vi.useRealTimers();
  }
});

it.each([
  ["https://barbican.example/v1/../x?y", "more than a host"],
  ["http://barbican.example", "not HTTPS"],
  ["file:///etc/passwd", "not an HTTP URL"],
])("the endpoint %s of a catalogue is refused", async (url, why) => {
  const endpoints = [{ interface: "public", url }];
  const catalog = [{ type: "identity" }, 1, { type: "key-manager", endpoints }];
  const body = json({ token: { ...times, catalog } });
  const server = await testServer((_request, response) => reply(response, 201, HEADERS, body));
  const auth = { method: "token", token: "t" } as const;
  const wrapping = barbican.recipient({ authUrl: server.url, auth }).wrap(Uint8Array.from([1]));
  const { message } = await expectCode(wrapping, "KEY_SERVER_CONFIG_INVALID");
  expect(message).toContain(why);
});
