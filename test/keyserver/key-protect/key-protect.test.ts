import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { keyProtect, type KeyProtectKeyOptions } from "../../../src/keyserver/key-protect/index.js";
import { describe as describeWrapped } from "../../../src/keyserver/key-protect/wrapped.js";
import { reply, testServer } from "../../registry/server.js";
import { expectCode } from "../../support/codes.js";
import { type KeyProtectDouble, keyProtectDouble } from "../../support/key-protect-double.js";

/** The parts of IBM's client that are used; its types are not those of an ES module. */
interface IbmClient {
  wrapKey(params: object): Promise<{ result: { plaintext: string; ciphertext: string } }>;
  unwrapKey(params: object): Promise<{ result: { plaintext: string } }>;
  rewrapKey(params: object): Promise<{ result: { ciphertext: string } }>;
  getKey(params: object): Promise<{ result: { resources: { payload?: string }[] } }>;
}

function ibmClient({ apiKey, iam, url }: KeyProtectDouble): IbmClient {
  const require = createRequire(import.meta.url);
  const { IamAuthenticator } = require("@ibm-cloud/ibm-key-protect/auth") as {
    IamAuthenticator: new (options: object) => object;
  };
  const Client = require("@ibm-cloud/ibm-key-protect/ibm-key-protect-api/v2") as new (
    options: object,
  ) => IbmClient;
  const authenticator = new IamAuthenticator({ apikey: apiKey, url: iam.url });
  return new Client({ authenticator, serviceUrl: url });
}

const SECRET = Buffer.alloc(240, "s");
const COPY = (): Uint8Array => Uint8Array.from(SECRET);

interface SetUp {
  server: KeyProtectDouble;
  id: string;
  options: KeyProtectKeyOptions;
}

async function setUp(): Promise<SetUp> {
  const server = await keyProtectDouble();
  const { url, instance, apiKey, iam } = server;
  const id = server.makeKey({ alias: "app-key" });
  return { server, id, options: { url, instance, apiKey, iamUrl: iam.url, retryDelay: 1 } };
}

const changed = (wrapped: Uint8Array, changes: object): Uint8Array =>
  Buffer.from(JSON.stringify({ ...envelopeOf(wrapped), ...changes }));

const envelopeOf = (wrapped: Uint8Array): Record<string, string> =>
  JSON.parse(Buffer.from(wrapped).toString()) as Record<string, string>;

async function opens(options: KeyProtectKeyOptions, wrapped: Uint8Array): Promise<boolean> {
  const secret = await keyProtect.key(options).unwrap(wrapped);
  return secret !== null && Buffer.from(secret).equals(SECRET);
}

describe("a root key", () => {
  it.each([["its id", false], ["its alias", true]])("wraps and opens by %s", async (_, isAlias) => {
    const { server, id, options } = await setUp();
    const name = isAlias ? "app-key" : id;
    const wrapped = await keyProtect.recipient(name, options).wrap(COPY());
    expect(Buffer.from(wrapped).includes(SECRET)).toBe(false);
    expect(await opens(options, wrapped)).toBe(true);
    const [info] = describeWrapped(wrapped);
    expect(info).toMatchObject({ keyId: `${server.instance}/${name}`, server: server.url });
    expect(info!.algorithm).toMatch(/^root-key-[0-9a-f]{8}$/);
  }); // prettier-ignore

  it("wraps only data keys, and the API key is sent only to IAM", async () => {
    const { server, id, options } = await setUp();
    const wrapped = await keyProtect.recipient(id, options).wrap(COPY());
    await opens(options, wrapped);
    expect(server.log()).toEqual([
      `POST /api/v2/keys/${id}/actions/wrap`,
      `POST /api/v2/keys/${id}/actions/unwrap`,
    ]);
    const [wrap, unwrap] = server.requests.map(({ body }) => JSON.parse(body.toString()) as Record<string, string>);
    expect(Buffer.from(wrap!.plaintext!, "base64")).toHaveLength(32);
    expect(Object.keys(unwrap!)).toEqual(["ciphertext"]);
    const sent = server.requests.map(({ target, headers, body }) => JSON.stringify([target, headers, body.toString()]));
    expect(sent.join()).not.toContain(server.apiKey);
    expect(server.iam.log()).toEqual(["POST /identity/token", "POST /identity/token"]);
  }); // prettier-ignore

  it("still opens after its rotation, and the new wrapped key is reported", async () => {
    const { server, id, options } = await setUp();
    const wrapped = await keyProtect.recipient(id, options).wrap(COPY());
    expect(await keyProtect.rewrap(wrapped, options)).toBeUndefined();
    const check = (): Promise<unknown> => keyProtect.key(options).check!(wrapped);
    expect(await check()).toMatchObject([{ server: server.url, state: "current" }]);
    server.rotate(id);
    expect(await check()).toMatchObject([{ state: "old" }]);
    const reported: Uint8Array[] = [];
    const onRotated = (each: Uint8Array): unknown => reported.push(each);
    expect(await opens({ ...options, onRotated }, wrapped)).toBe(true);
    const rewrapped = (await keyProtect.rewrap(wrapped, options))!;
    for (const renewed of [...reported, rewrapped]) {
      expect(envelopeOf(renewed).keyVersion).not.toBe(envelopeOf(wrapped).keyVersion);
      expect(envelopeOf(renewed).sealed).toBe(envelopeOf(wrapped).sealed);
      expect(await opens({ ...options, onRotated }, renewed)).toBe(true);
    }
    // A renewed key is not reported again.
    expect(reported).toHaveLength(1);
  });

  it("binds additional data, which a key may require", async () => {
    const { id, options } = await setUp();
    const aad = ["team-a", "sha256:0123"];
    const wrapped = await keyProtect.recipient(id, { ...options, aad }).wrap(COPY());
    expect(envelopeOf(wrapped).aad).toEqual(aad);
    expect(await opens(options, wrapped)).toBe(true);
    expect(await opens({ ...options, aad }, wrapped)).toBe(true);
    expect(await opens({ ...options, aad: ["team-b"] }, wrapped)).toBe(false);
    await expectCode(opens(options, changed(wrapped, { aad: ["team-b"] })), "WRAPPED_KEY_INVALID");
    await expectCode(opens(options, changed(wrapped, { aad: undefined })), "WRAPPED_KEY_INVALID");
  });

  it("may be in a key ring", async () => {
    const { server, options } = await setUp();
    const id = server.makeKey({ keyRing: "apps" });
    const own = { ...options, keyRing: "apps" };
    expect(await opens(own, await keyProtect.recipient(id, own).wrap(COPY()))).toBe(true);
    const other = keyProtect.recipient(id, { ...options, keyRing: "other" });
    await expectCode(other.wrap(COPY()), "KEY_SERVER_KEY_NOT_FOUND");
  });

  it.each([
    ["suspended", "KEY_SERVER_KEY_DISABLED", "KEY_SERVER_KEY_DISABLED"],
    ["deactivated", "KEY_SERVER_KEY_DISABLED", undefined],
    ["destroyed", "KEY_SERVER_KEY_NOT_FOUND", "KEY_SERVER_KEY_NOT_FOUND"],
  ] as const)("that is %s", async (state, wrapCode, unwrapCode) => {
    const { server, id, options } = await setUp();
    const recipient = keyProtect.recipient(id, options);
    const wrapped = await recipient.wrap(COPY());
    server.setState(id, state);
    await expectCode(recipient.wrap(COPY()), wrapCode);
    if (unwrapCode === undefined) expect(await opens(options, wrapped)).toBe(true);
    else await expectCode(opens(options, wrapped), unwrapCode);
  });

  it("is not a standard key", async () => {
    const { server, options } = await setUp();
    const id = server.makeKey({ isStandard: true });
    await expectCode(keyProtect.recipient(id, options).wrap(COPY()), "KEY_UNSUPPORTED");
  });

  it("works with IBM's own client too", async () => {
    const { server, id, options } = await setUp();
    const client = ibmClient(server);
    const common = { id, bluemixInstance: server.instance };
    const wrapped = envelopeOf(await keyProtect.recipient(id, options).wrap(COPY()));
    const body = (value: object): Buffer => Buffer.from(JSON.stringify(value));
    const ciphertext = wrapped.ciphertext!;
    const unwrap = async (text: string): Promise<string> => {
      const keyActionUnwrapBody = body({ ciphertext: text });
      const { result } = await client.unwrapKey({ ...common, keyActionUnwrapBody });
      return result.plaintext;
    };
    // IBM's client unwraps the same data key before and after the rotation.
    const dataKey = await unwrap(ciphertext);
    expect(Buffer.from(dataKey, "base64")).toHaveLength(32);
    server.rotate(id);
    const rewrapped = await client.rewrapKey({ ...common, keyActionRewrapBody: body({ ciphertext }) });
    expect(rewrapped.result.ciphertext).not.toBe(ciphertext);
    expect(await unwrap(rewrapped.result.ciphertext)).toBe(dataKey);
    const moved = changed(body(wrapped), { ciphertext: rewrapped.result.ciphertext });
    expect(await opens(options, moved)).toBe(true);
    const made = await client.wrapKey({ ...common, keyActionWrapBody: body({}) });
    expect(Buffer.from(made.result.plaintext, "base64")).toHaveLength(32);
    for (const [state, status] of [["suspended", 409], ["destroyed", 410]] as const) {
      server.setState(id, state);
      await expect(unwrap(ciphertext)).rejects.toMatchObject({ status });
    }
  }); // prettier-ignore
});

describe("a private key", () => {
  const content = Buffer.from("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");

  it("that is a standard key is read, and a root key is not", async () => {
    const { server, id, options } = await setUp();
    const kept = server.keep(content);
    const getKey = async (): Promise<string | undefined> => {
      const params = { id: kept, bluemixInstance: server.instance };
      return (await ibmClient(server).getKey(params)).result.resources[0]!.payload;
    };
    expect(await getKey()).toBe(content.toString("base64"));
    server.requests.length = 0;
    expect(await keyProtect.keyFile(kept, options)).toEqual(content);
    expect(server.log()).toEqual([`GET /api/v2/keys/${kept}/metadata`, `GET /api/v2/keys/${kept}`]);
    server.requests.length = 0;
    expect(await keyProtect.keyFile(id, options)).toBeUndefined();
    expect(server.log()).toEqual([`GET /api/v2/keys/${id}/metadata`]);
  });

  it("that a root key wrapped is unwrapped", async () => {
    const { server, id, options } = await setUp();
    const keyActionWrapBody = Buffer.from(JSON.stringify({ plaintext: content.toString("base64"), aad: ["a"] })); // prettier-ignore
    const params = { id, bluemixInstance: server.instance, keyActionWrapBody };
    const { ciphertext } = (await ibmClient(server).wrapKey(params)).result;
    const given = { ...options, ciphertext };
    expect(await keyProtect.keyFile(id, { ...given, aad: ["a"] })).toEqual(content);
    await expectCode(keyProtect.keyFile(id, given), "WRAPPED_KEY_INVALID");
    for (const wrong of ["", "***", "A".repeat(20_001)]) {
      const opening = keyProtect.keyFile(id, { ...options, ciphertext: wrong });
      await expectCode(opening, "KEY_SERVER_CONFIG_INVALID");
    }
    await expectCode(keyProtect.keyFile("../x", options), "KEY_SERVER_CONFIG_INVALID");
  });

  it.each([
    ["a web page", "<html>", "KEY_SERVER_ANSWER_INVALID"],
    ["no key", '{"resources":[]}', "KEY_SERVER_ANSWER_INVALID"],
    ["no content", '{"resources":[{"extractable":true}]}', "KEY_SERVER_ANSWER_INVALID"],
    ["base64url", '{"resources":[{"extractable":true,"payload":"_-__"}]}', "KEY_SERVER_ANSWER_INVALID"],
  ] as const)("answered with %s is an error", async (_, body, code) => {
    const { server, id, options } = await setUp();
    server.intercept = (_request, response) => reply(response, 200, {}, body);
    await expectCode(keyProtect.keyFile(id, options), code);
  }); // prettier-ignore
});

describe("a token", () => {
  it("is requested once, and again after it was revoked", async () => {
    const { server, id, options } = await setUp();
    const wrapped = await keyProtect.recipient(id, options).wrap(COPY());
    const key = keyProtect.key(options);
    server.iam.requests.length = 0;
    for (let i = 0; i < 3; i++) await key.unwrap(wrapped);
    expect(server.iam.requests).toHaveLength(1);
    server.revokeTokens();
    expect(Buffer.from((await key.unwrap(wrapped))!)).toEqual(SECRET);
    expect(server.iam.requests).toHaveLength(2);
  });

  it("is refused for a wrong API key", async () => {
    const { server, id, options } = await setUp();
    const recipient = keyProtect.recipient(id, { ...options, apiKey: "wrong-api-key" });
    const error = await expectCode(recipient.wrap(COPY()), "KEY_SERVER_UNAUTHORIZED");
    expect(error.message).not.toContain("wrong-api-key");
    expect(server.requests).toEqual([]);
  });

  it.each([
    "<html>",
    "{}",
    '{"access_token":"a b","expires_in":1}',
    '{"access_token":"a","expires_in":0}',
  ])("that IAM answers as %s is invalid", async (body) => {
    const { server, id, options } = await setUp();
    const fetch: KeyProtectKeyOptions["fetch"] = (url, init) =>
      url.startsWith(server.iam.url)
        ? Promise.resolve(new Response(body))
        : globalThis.fetch(url, init);
    const recipient = keyProtect.recipient(id, { ...options, fetch });
    await expectCode(recipient.wrap(COPY()), "KEY_SERVER_ANSWER_INVALID");
  });

  it.each([
    ["a redirect", 307, ""],
    ["1 MiB", 200, " ".repeat(2 ** 20)],
  ])("that IAM answers with %s is invalid, and the API key goes nowhere else", async (_, status, body) => {
    const { server, id, options } = await setUp();
    const other = await keyProtectDouble();
    const location = `${other.iam.url}/identity/token`;
    const iam = await testServer((_request, response) => reply(response, status, { location }, body));
    const recipient = keyProtect.recipient(id, { ...options, iamUrl: iam.url });
    await expectCode(recipient.wrap(COPY()), "KEY_SERVER_ANSWER_INVALID");
    expect(iam.log()).toEqual(["POST /identity/token"]);
    expect([...server.requests, ...other.iam.requests]).toEqual([]);
  }); // prettier-ignore
});

const error = (code: string | undefined): string => {
  const reasons = code === undefined ? {} : { reasons: [{ code, status: 400 }] };
  return JSON.stringify({ resources: [{ errorMsg: "no", ...reasons }] });
};

describe("an answer", () => {
  it.each([
    ["that is a web page", 200, "<html>", "KEY_SERVER_ANSWER_INVALID"],
    ["without a plaintext", 200, "{}", "KEY_SERVER_ANSWER_INVALID"],
    ["with a plaintext that is not base64", 200, '{"plaintext":"_-__"}', "KEY_SERVER_ANSWER_INVALID"],
    ["with a key of 31 bytes", 200, JSON.stringify({ plaintext: Buffer.alloc(31).toString("base64") }), "KEY_SERVER_ANSWER_INVALID"],
    ["with another key", 200, JSON.stringify({ plaintext: Buffer.alloc(32).toString("base64") }), "WRAPPED_KEY_INVALID"],
    ["of 1 MiB", 200, " ".repeat(2 ** 20), "KEY_SERVER_ANSWER_INVALID"],
    ["that redirects", 302, "", "KEY_SERVER_ANSWER_INVALID"],
    ["400 of a proxy", 400, "<html>", "KEY_SERVER_ANSWER_INVALID"],
    ["400 about the token", 400, error("BEARER_SUB_EXTRACTION_ERR"), "KEY_SERVER_UNAUTHORIZED"],
    ["400 about the ciphertext", 400, error("INVALID_FIELD_ERR"), "WRAPPED_KEY_INVALID"],
    ["400 about an expired key", 400, error("KEY_EXPIRED_ERR"), "KEY_SERVER_KEY_DISABLED"],
    ["400 without reasons", 400, error(undefined), "WRAPPED_KEY_INVALID"],
    ["401 with an unknown reason", 401, error("UNKNOWN_ERR"), "KEY_SERVER_UNAUTHORIZED"],
    ["401 without reasons", 401, error(undefined), "KEY_SERVER_UNAUTHORIZED"],
    ["403", 403, error("RESOURCE_OWNER_ERR"), "KEY_SERVER_UNAUTHORIZED"],
    ["404 with reasons", 404, error("KEY_NOT_FOUND_ERR"), "KEY_SERVER_KEY_NOT_FOUND"],
    ["404 without reasons", 404, error(undefined), "KEY_SERVER_KEY_NOT_FOUND"],
    ["409 with reasons", 409, error("KEY_ACTION_INVALID_STATE_ERR"), "KEY_SERVER_KEY_DISABLED"],
    ["409 without reasons", 409, error(undefined), "KEY_SERVER_KEY_DISABLED"],
    ["410 with reasons", 410, error("KEY_DELETED_ERR"), "KEY_SERVER_KEY_NOT_FOUND"],
    ["410 without reasons", 410, error(undefined), "KEY_SERVER_KEY_NOT_FOUND"],
    ["422 with reasons", 422, error("UNPROCESSABLE_CIPHERTEXT_ERR"), "WRAPPED_KEY_INVALID"],
    ["422 without reasons", 422, error(undefined), "WRAPPED_KEY_INVALID"],
    ["422 of a proxy", 422, "", "KEY_SERVER_ANSWER_INVALID"],
    ["429 with an unknown reason", 429, error("UNKNOWN_ERR"), "KEY_SERVER_UNREACHABLE"],
    ["429 without reasons", 429, error(undefined), "KEY_SERVER_UNREACHABLE"],
    ["503", 503, error(undefined), "KEY_SERVER_UNREACHABLE"],
  ] as const)("%s is an error", async (_, status, body, code) => {
    const { server, id, options } = await setUp();
    const other = await keyProtectDouble();
    const wrapped = await keyProtect.recipient(id, options).wrap(COPY());
    server.intercept = (_request, response) => reply(response, status, { location: other.url }, body);
    await expectCode(opens(options, wrapped), code);
    expect(other.requests).toEqual([]);
  }); // prettier-ignore

  it("with status 429 is followed by another request", async () => {
    const { server, id, options } = await setUp();
    const wrapped = await keyProtect.recipient(id, options).wrap(COPY());
    let calls = 0;
    server.intercept = (_, response) => calls++ === 0 && reply(response, 429);
    expect(await opens(options, wrapped)).toBe(true);
  });

  it("that comes byte by byte ends at the deadline", async () => {
    const { server, id, options } = await setUp();
    const wrapped = await keyProtect.recipient(id, options).wrap(COPY());
    server.intercept = (_, response) => {
      const timer = setInterval(() => response.write(" "), 10);
      response.on("close", () => {
        clearInterval(timer);
      });
      return true;
    };
    await expectCode(opens({ ...options, timeout: 300 }, wrapped), "KEY_SERVER_UNREACHABLE");
  });
});

describe("a wrapped key", () => {
  it("of another instance is not sent, and its server is not contacted", async () => {
    const { server, id, options } = await setUp();
    const other = await setUp();
    const wrapped = await keyProtect.recipient(id, options).wrap(COPY());
    const key = keyProtect.key(other.options);
    expect(await key.unwrap(wrapped)).toBeNull();
    expect(key.explain!(wrapped)).toContain(`for the instance ${server.instance}`);
    await expectCode(keyProtect.rewrap(wrapped, other.options), "NO_MATCHING_KEY");
    expect(other.server.requests).toEqual([]);
    expect(await opens(options, changed(wrapped, { server: other.server.url }))).toBe(true);
    expect(other.server.requests).toEqual([]);
    expect(await opens({ ...options, keys: ["web"] }, wrapped)).toBe(false);
  });

  it.each([
    ["a path as key", { key: "../metadata" }],
    ["a path as instance", { instance: "a/b" }],
    ["no ciphertext", { ciphertext: undefined }],
    ["a ciphertext that is not base64", { ciphertext: "***" }],
    ["a server that is not a URL", { server: "x" }],
    ["a text as aad", { aad: "team" }],
    ["seventeen strings as aad", { aad: Array.from({ length: 17 }, String) }],
    ["a string of 256 characters as aad", { aad: ["x".repeat(256)] }],
  ])("with %s is refused", async (_, changes) => {
    const { server, id, options } = await setUp();
    const wrapped = changed(await keyProtect.recipient(id, options).wrap(COPY()), changes);
    server.requests.length = 0;
    await expectCode(opens(options, wrapped), "WRAPPED_KEY_INVALID");
    await expectCode(() => describeWrapped(wrapped), "WRAPPED_KEY_INVALID");
    expect(server.requests).toEqual([]);
  });

  it("of another key provider is skipped", async () => {
    const { options } = await setUp();
    const other = Buffer.from('{"ciphertext":"x"}');
    expect(await opens(options, other)).toBe(false);
    expect(describeWrapped(other)).toEqual([]);
  });
});

it.each([
  { url: "http://us-south.kms.cloud.ibm.com" },
  { iamUrl: "http://iam.cloud.ibm.com" },
  { instance: "../x" },
  { apiKey: "" },
  { keyRing: "a b" },
  { aad: ["x".repeat(256)] },
])("the options %j are refused", async (options) => {
  const all = {
    url: "https://us-south.kms.cloud.ibm.com",
    instance: "3f7a6c1e-0000-4000-8000-000000000000",
    apiKey: "x",
    ...options,
  };
  await expectCode(() => keyProtect.recipient("app-key", all), "KEY_SERVER_CONFIG_INVALID");
});
