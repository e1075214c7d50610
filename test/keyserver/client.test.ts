import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import {
  invalidAnswer,
  jsonAnswer,
  keyServerClient,
  type KeyServerRequest,
} from "../../src/keyserver/client.js";
import { reply, type Script, type TestServer, testServer } from "../registry/server.js";
import { expectCode } from "../support/codes.js";

const quick = { retryDelay: 1 };
const client = keyServerClient(quick);
const at = (server: TestServer, path = "/key"): URL => new URL(path, server.url);
const get = (server: TestServer, more: Partial<KeyServerRequest> = {}): KeyServerRequest => ({
  method: "GET",
  url: at(server),
  ...more,
});

/** A server that answers with these statuses in turn; the last one stays. */
function inTurn(...statuses: number[]): Script {
  return (_, response) => reply(response, statuses.length > 1 ? statuses.shift()! : statuses[0]!);
}

it.each([0, NaN, 2 ** 31])(
  "a timeout of %s ms is rejected: timers cannot measure it",
  (timeout) => {
    expect(() => keyServerClient({ timeout })).toThrow(RangeError);
  },
);

describe("an answer", () => {
  it("with a success is returned whole", async () => {
    const server = await testServer((_, response) => reply(response, 201, { etag: "x" }, "{}"));
    const body = Buffer.from("content");
    const answer = await client.request({ method: "POST", url: at(server), body });
    expect(answer.status).toBe(201);
    expect(answer.headers.get("ETag")).toBe("x");
    expect(server.requests[0]!.body).toEqual(body);
  });

  it.each([
    [301, "KEY_SERVER_ANSWER_INVALID"],
    [307, "KEY_SERVER_ANSWER_INVALID"],
    [400, "KEY_SERVER_ANSWER_INVALID"],
    [401, "KEY_SERVER_UNAUTHORIZED"],
    [403, "KEY_SERVER_UNAUTHORIZED"],
    [404, "KEY_SERVER_KEY_NOT_FOUND"],
    [409, "KEY_SERVER_ANSWER_INVALID"],
    [410, "KEY_SERVER_KEY_NOT_FOUND"],
    [429, "KEY_SERVER_UNREACHABLE"],
    [500, "KEY_SERVER_UNREACHABLE"],
    [501, "KEY_SERVER_ANSWER_INVALID"],
    [503, "KEY_SERVER_UNREACHABLE"],
  ] as const)("with the status %i is %s", async (status, code) => {
    const server = await testServer(inTurn(status));
    await expectCode(client.request(get(server)), code);
  });

  it("means what the caller says", async () => {
    const server = await testServer((_, response) => reply(response, 409, {}, "state"));
    const refusal: KeyServerRequest["refusal"] = ({ status, bytes }) =>
      status === 409 && Buffer.from(bytes).toString() === "state"
        ? { code: "KEY_SERVER_KEY_DISABLED", why: "the key is suspended" }
        : undefined;
    const error = await expectCode(
      client.request(get(server, { refusal })),
      "KEY_SERVER_KEY_DISABLED",
    );
    expect(error.message).toContain("was answered 409: the key is suspended");
  });

  it("that redirects does not move the request to another server", async () => {
    const other = await testServer(inTurn(200));
    const server = await testServer((_, response) =>
      reply(response, 302, { location: `${other.url}/key` }),
    );
    await expectCode(client.request(get(server)), "KEY_SERVER_ANSWER_INVALID");
    expect(other.requests).toEqual([]);
  });

  it("may have as many bytes as the limit, and no more", async () => {
    const server = await testServer((_, response) => reply(response, 200, {}, "x".repeat(100)));
    const answer = await client.request(get(server, { maxAnswer: 100 }));
    expect(answer.bytes.byteLength).toBe(100);
    await expectCode(client.request(get(server, { maxAnswer: 99 })), "KEY_SERVER_ANSWER_INVALID");
  });

  it("that never ends is cut", async () => {
    const server = await testServer(endless);
    await expectCode(client.request(get(server)), "KEY_SERVER_ANSWER_INVALID");
  });

  it("that is not HTTP is invalid", async () => {
    const server = await testServer((_, response) => {
      response.socket?.end("-ERR unknown command\r\n");
      return true;
    });
    await expectCode(client.request(get(server)), "KEY_SERVER_ANSWER_INVALID");
  });
});

function endless(_: unknown, response: ServerResponse): boolean {
  const chunk = Buffer.alloc(64 * 1024);
  const more = (): void => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on("drain", more);
  more();
  return true;
}

describe("the deadline", () => {
  it("covers a server that says nothing", async () => {
    const server = await testServer(() => true);
    const limited = keyServerClient({ timeout: 100 });
    const error = await expectCode(limited.request(get(server)), "KEY_SERVER_UNREACHABLE");
    expect(error.message).toContain("100 ms");
  });

  it("covers an answer that comes byte by byte", async () => {
    const server = await testServer((_, response) => {
      const timer = setInterval(() => response.write("x"), 10);
      response.on("close", () => {
        clearInterval(timer);
      });
      return true;
    });
    const limited = keyServerClient({ timeout: 200 });
    await expectCode(limited.request(get(server)), "KEY_SERVER_UNREACHABLE");
  });

  it("covers all retries", async () => {
    const server = await testServer(inTurn(503));
    const limited = keyServerClient({ timeout: 200, retries: 1000, retryDelay: 50 });
    await expectCode(limited.request(get(server)), "KEY_SERVER_UNREACHABLE");
    expect(server.requests.length).toBeLessThan(20);
  });

  it("is not waited for if the server asks for a longer pause", async () => {
    const server = await testServer((_, response) => reply(response, 429, { "retry-after": "60" }));
    const error = await expectCode(client.request(get(server)), "KEY_SERVER_UNREACHABLE");
    expect(error.message).toContain("429");
    expect(server.requests).toHaveLength(1);
  });
});

describe("a request", () => {
  it.each([429, 500, 502, 503, 504])("is sent again after %i", async (status) => {
    const server = await testServer(inTurn(status, 200));
    expect((await client.request(get(server))).status).toBe(200);
  });

  it("is sent again after a broken connection", async () => {
    let count = 0;
    const server = await testServer((_, response) => {
      if (count++ > 0) return reply(response, 200);
      response.destroy();
      return true;
    });
    expect((await client.request(get(server))).status).toBe(200);
  });

  it("is sent twice more at most", async () => {
    const server = await testServer(inTurn(503));
    await expectCode(client.request(get(server)), "KEY_SERVER_UNREACHABLE");
    expect(server.requests).toHaveLength(3);
  });

  it.each([400, 403, 404, 501])("is not sent again after %i", async (status) => {
    const server = await testServer(inTurn(status, 200));
    await expect(client.request(get(server))).rejects.toThrow(String(status));
    expect(server.requests).toHaveLength(1);
  });

  it("with an effect is sent once, unless it is repeatable", async () => {
    const body = Buffer.from("{}");
    const first = await testServer(inTurn(503, 200));
    const post = { method: "POST", body } as const;
    await expectCode(client.request(get(first, post)), "KEY_SERVER_UNREACHABLE");
    expect(first.requests).toHaveLength(1);
    const second = await testServer(inTurn(503, 200));
    const answer = await client.request(get(second, { ...post, isRepeatable: true }));
    expect(answer.status).toBe(200);
    expect(second.requests.map((each) => each.body.toString())).toEqual(["{}", "{}"]);
  });

  it("to a port that nobody listens on is KEY_SERVER_UNREACHABLE", async () => {
    const url = new URL("http://127.0.0.1:1/adv");
    const error = await expectCode(
      client.request({ method: "GET", url }),
      "KEY_SERVER_UNREACHABLE",
    );
    expect(error.message).toContain("no server listens there");
  });

  it("can be aborted", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const server = await testServer(() => {
      controller.abort(reason);
      return true;
    });
    const request = client.request(get(server, { signal: controller.signal }));
    await expect(request).rejects.toBe(reason);
  });

  it.each(["http://user:secret@127.0.0.1:1/", "http://secret@127.0.0.1:1/", "ftp://127.0.0.1/"])(
    "to %s is not sent",
    async (text) => {
      const error = await expectCode(
        client.request({ method: "GET", url: new URL(text) }),
        "KEY_SERVER_CONFIG_INVALID",
      );
      expect(error.message).not.toContain("secret");
    },
  );
});

it("messages contain no query, credential or content", async () => {
  const server = await testServer((_, response) => reply(response, 400, {}, "secret answer"));
  const error = await expectCode(
    client.request({
      method: "POST",
      url: at(server, "/key?token=secret"),
      headers: { authorization: "Bearer secret" },
      body: Buffer.from("secret"),
    }),
    "KEY_SERVER_ANSWER_INVALID",
  );
  expect(error.message).toBe(`POST ${server.url}/key was answered 400`);
});

describe("JSON of an answer", () => {
  const request = { method: "GET", url: new URL("https://keys.example/x?token=1") } as const;
  const answer = (text: string): Parameters<typeof jsonAnswer>[1] => ({
    status: 200,
    headers: new Headers(),
    bytes: Buffer.from(text),
    isCut: false,
  });

  it("is an object", () => {
    expect(jsonAnswer(request, answer('{"keys":[]}'))).toEqual({ keys: [] });
  });

  it.each(["<html>secret</html>", "", "[]", '"secret"', '{"secret":1,"secret":2}'])(
    "is refused without quoting it: %s",
    async (text) => {
      const error = await expectCode(
        () => jsonAnswer(request, answer(text)),
        "KEY_SERVER_ANSWER_INVALID",
      );
      expect(error.message).toBe(invalidAnswer(request, "it is not a JSON object").message);
    },
  );
});
