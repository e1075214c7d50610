import { createPrivateKey } from "node:crypto";
import { compactDecrypt } from "jose";
import { describe, expect, it } from "vitest";
import { keyServerClient } from "../../../src/keyserver/client.js";
import { planSss, planTang, prepare, type Plan } from "../../../src/keyserver/tang/wrap.js";
import { expectCode } from "../../support/codes.js";
import {
  type Answerer,
  CLEVIS,
  omit,
  type PrivateJwk,
  tangFetch,
  type TangVector,
  thumbprint,
  vectorServers,
} from "../../support/tang.js";

const { one, two, p256 } = CLEVIS.servers;
const SECRET = Buffer.from("a secret");
const exchangers = ({ keys }: TangVector): PrivateJwk[] => keys.filter(({ alg }) => alg === "ECMR");
const pin = ({ url, thp }: TangVector): object => ({ url, thp });
const sssOf = (value: unknown): Plan => planSss(JSON.stringify(value));

interface Wrapped {
  jwe: string;
  requests: string[];
  seen: [string, string[]][];
}

async function wrap(
  plan: Plan,
  servers: Record<string, Answerer> = vectorServers(),
): Promise<Wrapped> {
  const { fetch, requests } = tangFetch(servers);
  const seen: [string, string[]][] = [];
  const prepared = await prepare(plan, {
    client: keyServerClient({ fetch, retries: 0 }),
    signal: undefined,
    onFirstUse: (url, signers) => seen.push([url, signers.map((each) => each.thumbprint)]),
  });
  return { jwe: await prepared(SECRET), requests, seen };
}

/** Opens a wrapped key with the server's private key, by jose's ECDH-ES and without an exchange. */
async function openDirectly(
  jwe: string,
  server: TangVector,
): Promise<{ header: Record<string, unknown>; plaintext: Buffer }> {
  const { kid } = headerOf(jwe);
  const key = exchangers(server).find((each) => thumbprint(each) === kid)!;
  const plain = createPrivateKey({ key: omit(key, "alg", "key_ops"), format: "jwk" });
  const opened = await compactDecrypt(jwe, plain);
  return { header: opened.protectedHeader, plaintext: Buffer.from(opened.plaintext) };
}

function headerOf(jwe: string): Record<string, unknown> {
  const [header = ""] = jwe.split(".");
  return JSON.parse(Buffer.from(header, "base64url").toString()) as Record<string, unknown>;
}

describe("a wrapped key for a Tang server", () => {
  it.each([one, two, p256])("opens with the server's private key", async (server) => {
    const { jwe, requests } = await wrap(planTang(server.url, server.thp));
    const { header, plaintext } = await openDirectly(jwe, server);
    expect(plaintext).toEqual(SECRET);
    expect(requests).toEqual([`GET ${server.url}/adv`]);
    expect(header).toMatchObject({
      alg: "ECDH-ES",
      enc: "A256GCM",
      clevis: { pin: "tang", tang: { url: server.url } },
    });
  });

  it.each(["one", "two", "p256", "p384"] as const)(
    "has the header that clevis writes (%s)",
    async (name) => {
      const { url, thp, advertisement } = CLEVIS.servers[name];
      const { jwe } = await wrap(planTang(url, thp), { [url]: () => ({ json: advertisement }) });
      expect(omit(headerOf(jwe), "epk")).toEqual(omit(headerOf(CLEVIS.wrapped[name]), "epk"));
    },
  );

  it("may trust the thumbprint with SHA-1", async () => {
    await wrap(planTang(one.url, one.s1));
  });

  it.each([one, two])("trusts no other key", async (server) => {
    for (const thp of [p256.thp, thumbprint(exchangers(server)[0]!)]) {
      await expectCode(wrap(planTang(server.url, thp)), "KEY_SERVER_UNTRUSTED");
    }
  });

  it("reports the keys of a server that is trusted on first use", async () => {
    const { seen } = await wrap(planTang(one.url, undefined));
    expect(seen).toEqual([[one.url, [one.thp]]]);
    expect((await wrap(planTang(one.url, one.thp))).seen).toEqual([]);
  });

  it("needs the server", async () => {
    await expectCode(wrap(planTang(one.url, one.thp), {}), "KEY_SERVER_UNREACHABLE");
  });

  it.each(["", "any", "x".repeat(43) + "=", `${one.thp} `])(
    "has no server with the thumbprint %j",
    async (thp) => {
      await expectCode(() => planTang(one.url, thp), "KEY_SERVER_CONFIG_INVALID");
    },
  );
});

describe("a wrapped key of sss", () => {
  it("with the threshold 1 has the content's key in each share", async () => {
    const config = { t: 1, pins: { tang: [pin(one), pin(two)] } };
    const { jwe } = await wrap(sssOf(config));
    const { sss } = headerOf(jwe).clevis as { sss: { jwe: string[]; t: number; p: string } };
    expect([sss.t, sss.jwe.length, Buffer.from(sss.p, "base64url").length]).toEqual([1, 2, 32]);
    for (const [i, server] of [one, two].entries()) {
      const { plaintext: share } = await openDirectly(sss.jwe[i]!, server);
      expect(share.byteLength).toBe(64);
      const opened = await compactDecrypt(jwe, share.subarray(32));
      expect(Buffer.from(opened.plaintext)).toEqual(SECRET);
      expect(opened.protectedHeader.alg).toBe("dir");
    }
  });

  it("has the threshold 1 by default, and may have a single pin", async () => {
    const { jwe } = await wrap(sssOf({ pins: { tang: pin(one) } }));
    expect(headerOf(jwe)).toMatchObject({ clevis: { pin: "sss", sss: { t: 1 } } });
  });

  it("may be nested", async () => {
    const inner = { t: 2, pins: { tang: [pin(two), pin(p256)] } };
    const { jwe } = await wrap(sssOf({ t: 2, pins: { tang: [pin(one)], sss: inner } }));
    const { sss } = headerOf(jwe).clevis as { sss: { jwe: string[] } };
    expect(sss.jwe.map((each) => (headerOf(each).clevis as { pin: string }).pin)).toEqual([
      "tang",
      "sss",
    ]);
  });

  it("needs every server", async () => {
    const config = { t: 1, pins: { tang: [pin(one), pin(two)] } };
    const one_ = wrap(sssOf(config), vectorServers(["two"]));
    await expectCode(one_, "KEY_SERVER_UNREACHABLE");
  });
});

describe("a configuration for sss", () => {
  const deep = (depth: number): object =>
    depth === 0 ? { pins: { tang: pin(one) } } : { pins: { sss: deep(depth - 1) } };
  const many = (count: number): object => ({
    pins: { tang: Array.from({ length: count }, () => pin(one)) },
  });

  it.each<[string, unknown]>([
    ["with the pin null", { t: 1, pins: { null: {}, tang: pin(one) } }],
    ["with the pin tpm2", { t: 1, pins: { tpm2: {} } }],
    ["without pins", { t: 1 }],
    ["with no pins", { pins: {} }],
    ["with an empty list", { pins: { tang: [] } }],
    ["with the threshold 0", { t: 0, pins: { tang: pin(one) } }],
    ["with the threshold 2 of 1", { t: 2, pins: { tang: pin(one) } }],
    ["with a threshold in text", { t: "1", pins: { tang: pin(one) } }],
    ["without a thumbprint", { pins: { tang: { url: one.url } } }],
    ["without a URL", { pins: { tang: { thp: one.thp } } }],
    ["with Clevis' word for any thumbprint", { pins: { tang: { url: one.url, thp: "any" } } }],
    ["with a stored advertisement", { pins: { tang: { ...pin(one), adv: one.advertisement } } }],
    ["with an unknown member", { t: 1, pin: { tang: pin(one) } }],
    ["that is a list", []],
    ["with a pin that is text", { pins: { tang: one.url } }],
    ["with another kind of URL", { pins: { tang: { url: "file:///x", thp: one.thp } } }],
    ["with 65 pins", many(65)],
    ["with six levels", deep(5)],
  ])("%s is refused", async (_, value) => {
    await expectCode(() => sssOf(value), "KEY_SERVER_CONFIG_INVALID");
  });

  it.each(["", "{", '{"t":1,"t":1}'])("is not %j", async (text) => {
    await expectCode(() => planSss(text), "KEY_SERVER_CONFIG_INVALID");
  });

  it("may have 64 pins, or five levels", () => {
    expect(() => [sssOf(many(64)), sssOf(deep(4))]).not.toThrow();
  });
});
