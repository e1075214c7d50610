import { CompactEncrypt } from "jose";
import { describe, expect, it } from "vitest";
import { keyServerClient } from "../../../src/keyserver/client.js";
import { parsePin } from "../../../src/keyserver/tang/clevis.js";
import { allowedServers } from "../../../src/keyserver/tang/servers.js";
import { openPin } from "../../../src/keyserver/tang/unwrap.js";
import { planTang, prepare } from "../../../src/keyserver/tang/wrap.js";
import { expectCode } from "../../support/codes.js";
import {
  ALL_URLS,
  type Answerer,
  answersOf,
  CLEVIS,
  multiply,
  tangFetch,
  vectorServers,
  wrapped,
} from "../../support/tang.js";

const { one, two, p256 } = CLEVIS.servers;
const exchanger = one.keys.find(({ alg }) => alg === "ECMR")!;

interface Opening {
  servers?: Record<string, Answerer>;
  allowed?: readonly string[];
  attempts?: number;
  signal?: AbortSignal;
}

function open(
  bytes: Uint8Array,
  { servers = vectorServers(), allowed = ALL_URLS, attempts = 100, signal }: Opening = {},
): { opened: Promise<string>; requests: string[] } {
  const { fetch, requests } = tangFetch(servers);
  const opened = openPin(parsePin(bytes), {
    client: keyServerClient({ fetch, retries: 0 }),
    allowed: allowedServers({ servers: allowed }),
    attempts: { left: attempts },
    signal,
  });
  return { opened: opened.then((secret) => secret.toString()), requests };
}

describe("what clevis wrapped opens", () => {
  it.each(["one", "two", "p256", "p384", "sss", "nested"] as const)("%s", async (name) => {
    expect(await open(wrapped(name)).opened).toBe(CLEVIS.secret);
  });

  it.each([["one"], ["two"], ["p256"]] as const)("2 of 3 with the server %s down", async (name) => {
    const { opened } = open(wrapped("sss"), { servers: vectorServers([name]) });
    expect(await opened).toBe(CLEVIS.secret);
  });

  it("2 of 3 with a server that sends an invalid answer", async () => {
    const servers = { ...vectorServers(), [two.url]: () => ({ text: "<html>" }) };
    expect(await open(wrapped("sss"), { servers }).opened).toBe(CLEVIS.secret);
  });

  it("2 of 3 with a server that never answers", async () => {
    const never = (): Promise<undefined> => new Promise(() => undefined);
    const servers = { ...vectorServers(), [p256.url]: never };
    expect(await open(wrapped("sss"), { servers }).opened).toBe(CLEVIS.secret);
  });
});

describe("too few servers", () => {
  it("are reported with the reason of each", async () => {
    const servers = { ...vectorServers(["one"]), [two.url]: () => ({ status: 404 }) };
    const { message } = await expectCode(
      open(wrapped("sss"), { servers }).opened,
      "KEY_SERVER_THRESHOLD",
    );
    expect(message).toContain("2 of 3 parts are needed, and 1 opened");
    expect(message).toContain(`${one.url}: POST ${one.url}`);
    expect(message).toContain("no server listens there");
    expect(message).toContain("the server no longer has the exchange key");
    expect(message).not.toContain(p256.url);
  });

  it("in a nested sss count as one failed part", async () => {
    const servers = vectorServers(["two", "p384"]);
    const { opened } = open(wrapped("nested"), { servers });
    const { message } = await expectCode(opened, "KEY_SERVER_THRESHOLD");
    expect(message).toContain("sss: 1 of 2 parts are needed, and 0 opened");
  });
});

describe("only allowed servers are contacted", () => {
  it("for one server", async () => {
    const { opened, requests } = open(wrapped("one"), { allowed: [two.url] });
    const { message } = await expectCode(opened, "KEY_SERVER_NOT_ALLOWED");
    expect(message).toContain(one.url);
    expect(requests).toEqual([]);
  });

  it("for parts", async () => {
    const { opened, requests } = open(wrapped("sss"), { allowed: [two.url, p256.url] });
    expect(await opened).toBe(CLEVIS.secret);
    expect(requests.filter((request) => request.includes(one.url))).toEqual([]);
    const few = open(wrapped("sss"), { allowed: [two.url] });
    const { message } = await expectCode(few.opened, "KEY_SERVER_THRESHOLD");
    expect(message).toContain("which is not allowed");
  });
});

describe("a hostile server", () => {
  const zero = Buffer.alloc(66).toString("base64url");
  const answer = (
    json: (point: { x: string; y: string }) => unknown,
  ): Record<string, Answerer> => ({
    [one.url]: (_, { body }) => ({
      json: json(
        JSON.parse(Buffer.from(body as Uint8Array).toString()) as { x: string; y: string },
      ),
    }),
  });

  it.each([
    ["echoes the point", answer((point) => point), "WRAPPED_KEY_INVALID"],
    ["uses another key", answer((point) => multiply(two.keys.find(({ alg }) => alg === "ECMR")!, point)), "WRAPPED_KEY_INVALID"],
    ["answers with infinity", answer((point) => ({ ...point, x: zero, y: zero })), "KEY_SERVER_ANSWER_INVALID"],
    ["answers off the curve", answer((point) => ({ ...point, y: point.x })), "KEY_SERVER_ANSWER_INVALID"],
    ["answers on another curve", answer(() => p256.keys[0]), "KEY_SERVER_ANSWER_INVALID"],
    ["answers with short coordinates", answer((point) => ({ ...point, x: "AQ" })), "KEY_SERVER_ANSWER_INVALID"],
    ["answers with its own key", answer(() => exchanger), "WRAPPED_KEY_INVALID"],
    ["redirects", { [one.url]: () => ({ status: 307 }) }, "KEY_SERVER_ANSWER_INVALID"],
  ] as const)("that %s opens nothing", async (_, servers, code) => {
    await expectCode(open(wrapped("one"), { servers }).opened, code);
  }); // prettier-ignore
});

describe("a changed wrapped key", () => {
  const [header = "", , ...rest] = CLEVIS.wrapped.one.split(".");
  const text = Buffer.from(header, "base64url").toString();
  const withText = (changed: string): Buffer =>
    Buffer.from([Buffer.from(changed).toString("base64url"), "", ...rest].join("."));

  it("with the URL of another allowed server does not open, even by the right keys", async () => {
    const moved = "http://moved.example";
    const bytes = withText(text.replace(one.url, moved));
    const servers = { [moved]: answersOf(one) };
    await expectCode(open(bytes, { servers, allowed: [moved] }).opened, "WRAPPED_KEY_INVALID");
  });

  it("with an ephemeral key off the curve is rejected before the server is contacted", async () => {
    const { epk } = JSON.parse(text) as { epk: { x: string; y: string } };
    const { opened, requests } = open(withText(text.replaceAll(epk.y, epk.x)));
    await expectCode(opened, "WRAPPED_KEY_INVALID");
    expect(requests).toEqual([]);
  });

  it("with another modulus is rejected before a server is contacted", async () => {
    const [first = "", ...others] = CLEVIS.wrapped.sss.split(".");
    const old = Buffer.from(first, "base64url").toString();
    const { p } = (JSON.parse(old) as { clevis: { sss: { p: string } } }).clevis.sss;
    const even = Buffer.alloc(32, 0xfe).toString("base64url");
    const changed = Buffer.from(old.replace(p, even)).toString("base64url");
    const { opened, requests } = open(Buffer.from([changed, ...others].join(".")));
    await expectCode(opened, "WRAPPED_KEY_INVALID");
    expect(requests).toEqual([]);
  });
});

describe("shares of the line y = 7 + 3x", () => {
  const bytes = (value: bigint): Buffer =>
    Buffer.from(value.toString(16).padStart(64, "0"), "hex");
  const point = (x: bigint, y: bigint): Buffer => Buffer.concat([bytes(x), bytes(y)]);
  /** 2^256 - 189, the largest prime of 256 bits: https://primes.utm.edu/lists/2small/200bit.html */
  const p = bytes(2n ** 256n - 189n).toString("base64url");

  /** A wrapped key whose content opens with the key 7. */
  async function sealed(t: number, shares: readonly Uint8Array[]): Promise<Buffer> {
    const { fetch } = tangFetch(vectorServers());
    const client = keyServerClient({ fetch });
    const wrap = await prepare(planTang(one.url, one.thp), { client, signal: undefined });
    const jwe = await Promise.all(shares.map(wrap));
    const header = { alg: "dir", enc: "A256GCM", clevis: { pin: "sss", sss: { jwe, p, t } } };
    const content = new CompactEncrypt(Buffer.from(CLEVIS.secret)).setProtectedHeader(header);
    return Buffer.from(await content.encrypt(bytes(7n)));
  }

  it("open the content", async () => {
    const shares = [point(1n, 10n), point(2n, 13n)];
    expect(await open(await sealed(2, shares)).opened).toBe(CLEVIS.secret);
  });

  it.each([
    ["x = 0", 1, [point(0n, 7n)]],
    ["the same x", 2, [point(1n, 10n), point(1n, 10n)]],
    ["a byte too few", 2, [point(1n, 10n), point(2n, 13n).subarray(1)]],
    ["a byte too many", 2, [point(1n, 10n), Buffer.concat([point(2n, 13n), Buffer.alloc(1)])]],
  ])("with %s do not", async (_, t, shares) => {
    const { message } = await expectCode(open(await sealed(t, shares)).opened, "KEY_SERVER_THRESHOLD");
    expect(message).toContain(`${one.url}: its share is damaged`);
  });
}); // prettier-ignore

it("the requests for one layer are counted", async () => {
  const { opened, requests } = open(wrapped("sss"), { attempts: 1 });
  await expectCode(opened, "KEY_SERVER_THRESHOLD");
  expect(requests).toHaveLength(1);
});

it("can be aborted, and rejects with the reason", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const abort = (): Promise<undefined> => {
    controller.abort(reason);
    return new Promise(() => undefined);
  };
  const servers = Object.fromEntries(ALL_URLS.map((url) => [url, abort]));
  const { opened } = open(wrapped("nested"), { servers, signal: controller.signal });
  await expect(opened).rejects.toBe(reason);
});
