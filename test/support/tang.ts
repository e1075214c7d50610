import { createHash, createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { p256, p384, p521 } from "@noble/curves/nist.js";
import { GeneralSign } from "jose";
import { reply, type TestServer, testServer } from "../registry/server.js";
import type { Fetch, FetchInit, FetchResponse } from "../../src/http/transport.js";

export interface PrivateJwk {
  kty: string;
  alg: string;
  crv: "P-256" | "P-384" | "P-521";
  key_ops: string[];
  x: string;
  y: string;
  d: string;
}

export interface TangVector {
  url: string;
  /** The thumbprints of the first signing key, with SHA-256 and SHA-1, by jose. */
  thp: string;
  s1: string;
  keys: PrivateJwk[];
  /** As tangd answered. */
  advertisement: unknown;
}

type ServerName = "one" | "two" | "p256" | "p384";

/** Keys and answers of tangd, and what clevis wrapped for them: test/keyserver/tang/make-vectors.js */
export const CLEVIS = JSON.parse(
  readFileSync(new URL("../keyserver/tang/clevis-19.json", import.meta.url), "utf8"),
) as {
  secret: string;
  servers: Record<ServerName, TangVector>;
  wrapped: Record<ServerName | "sss" | "nested" | "null" | "nullInSss", string>;
};

export const wrapped = (name: keyof typeof CLEVIS.wrapped): Buffer =>
  Buffer.from(CLEVIS.wrapped[name]);

export const thumbprint = ({ crv, kty, x, y }: PrivateJwk): string =>
  createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url");

/** The public half of a key, as tangd advertises it. */
export const publicHalf = (key: PrivateJwk): object => ({
  ...omit(key, "d"),
  key_ops: key.key_ops.filter((name) => name !== "sign"),
});

/** An object without some of its members. */
export function omit(object: object, ...names: string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

/** s·X, in the form that tangd answers with. */
export function multiply(key: PrivateJwk, { x, y }: { x: string; y: string }): object {
  const { Point } = { "P-256": p256, "P-384": p384, "P-521": p521 }[key.crv];
  const number = (text: string): bigint =>
    BigInt(`0x${Buffer.from(text, "base64url").toString("hex")}`);
  const point = Point.fromAffine({ x: number(x), y: number(y) });
  point.assertValidity();
  const product = point.multiply(number(key.d)).toAffine();
  const text = (value: bigint): string =>
    Buffer.from(value.toString(16).padStart(2 * Point.Fp.BYTES, "0"), "hex").toString("base64url");
  return {
    alg: "ECMR",
    crv: key.crv,
    key_ops: ["deriveKey"],
    kty: "EC",
    x: text(product.x),
    y: text(product.y),
  };
}

/** An advertisement of keys that some keys have signed. */
export async function advertise(
  keys: readonly unknown[],
  signers: readonly PrivateJwk[],
): Promise<unknown> {
  const sign = new GeneralSign(Buffer.from(JSON.stringify({ keys })));
  for (const key of signers) {
    sign
      .addSignature(createPrivateKey({ key: { ...key }, format: "jwk" }))
      .setProtectedHeader({ alg: key.alg, cty: "jwk-set+json" });
  }
  return sign.sign();
}

/** The keys of a server in a test; hidden ones are served and not advertised. */
export interface TangState {
  keys: PrivateJwk[];
  hidden?: PrivateJwk[];
}

/** Answers as tangd 11 does, if the state has changed since the vector was made. */
async function tangd(
  { keys, hidden = [] }: TangState,
  path: string,
  init: FetchInit,
): Promise<Reply> {
  const [, what, id] = /^\/(adv|rec)\/?(.*)$/.exec(path) ?? [];
  const key = [...keys, ...hidden].find((each) => thumbprint(each) === id);
  const signers = keys.filter(({ alg }) => alg !== "ECMR");
  if (what === "adv" && init.method === "GET") {
    if (id !== "" && (key === undefined || key.alg === "ECMR")) return { status: 404 };
    const all = key === undefined ? signers : [...signers, key];
    return { json: await advertise(keys.map(publicHalf), all) };
  }
  if (what !== "rec" || init.method !== "POST") return { status: 404 };
  if (key === undefined) return { status: 404 };
  if (key.alg !== "ECMR") return { status: 403 };
  return {
    json: multiply(
      key,
      JSON.parse(Buffer.from(init.body as Uint8Array).toString()) as { x: string; y: string },
    ),
  };
}

interface Reply {
  status?: number;
  json?: unknown;
  text?: string;
}

/** Answers for a server of a test; `undefined` is a server that is down. */
export type Answerer = (
  path: string,
  init: FetchInit,
) => Reply | undefined | Promise<Reply | undefined>;

/** The answers of a server with these keys. */
export const answersOf =
  (state: TangState): Answerer =>
  (path, init) =>
    tangd(state, path, init);

/** A `fetch` function with servers at these URLs, and the requests that it got. */
export function tangFetch(servers: Readonly<Record<string, Answerer>>): {
  fetch: Fetch;
  requests: string[];
} {
  const requests: string[] = [];
  const fetch: Fetch = async (text, init) => {
    const { origin, pathname } = new URL(text);
    requests.push(`${init.method} ${text}`);
    const reply = await servers[origin]?.(pathname, init);
    if (reply === undefined) throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
    const body = reply.text ?? (reply.json === undefined ? "" : JSON.stringify(reply.json));
    return answer(reply.status ?? 200, body);
  };
  return { fetch, requests };
}

function answer(status: number, body: string): FetchResponse {
  // eslint-disable-next-line @typescript-eslint/require-await -- an iterable
  async function* content(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(body);
  }
  return { status, headers: { get: () => null }, body: content() };
}

/** The servers of the vectors, all up. */
export function vectorServers(down: readonly ServerName[] = []): Record<string, Answerer> {
  const up = Object.entries(CLEVIS.servers).filter(([name]) => !down.includes(name as ServerName));
  return Object.fromEntries(up.map(([, { url, keys }]) => [url, answersOf({ keys })]));
}

export const ALL_URLS: readonly string[] = Object.values(CLEVIS.servers).map(({ url }) => url);

/** A server with these keys that goes with the test, or lives until `stopServers`. */
export function tangServer(state: TangState, isLasting?: boolean): Promise<TestServer> {
  const answers = answersOf(state);
  return testServer(async ({ method, target, body }, response) => {
    const signal = new AbortController().signal;
    const init: FetchInit = {
      method,
      headers: {},
      body: Uint8Array.from(body),
      redirect: "manual",
      signal,
    };
    const { status = 200, json } = (await answers(target, init))!;
    return reply(response, status, {}, json === undefined ? "" : JSON.stringify(json));
  }, isLasting);
}

/** A proxy behind which servers of the vectors have these hosts, until `stopServers`. */
export function tangProxy(hosts: Readonly<Record<string, ServerName>>): Promise<TestServer> {
  return testServer(async ({ method, target, body }, response) => {
    const { hostname, pathname } = new URL(target);
    const name = hosts[hostname];
    if (name === undefined) return reply(response, 502);
    const signal = new AbortController().signal;
    const content = Uint8Array.from(body);
    const init: FetchInit = { method, headers: {}, body: content, redirect: "manual", signal };
    const { status = 200, json } = (await answersOf(CLEVIS.servers[name])(pathname, init))!;
    return reply(response, status, {}, json === undefined ? "" : JSON.stringify(json));
  }, true);
}
