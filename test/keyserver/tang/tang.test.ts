import { describe, expect, it } from "vitest";
import { encryptLayerBytes, listRecipients, unwrapOnly } from "../../../src/index.js";
import { tang } from "../../../src/keyserver/tang/index.js";
import { checkServers } from "../../../src/layer/explain.js";
import { expectCode } from "../../support/codes.js";
import {
  ALL_URLS,
  answersOf,
  CLEVIS,
  tangFetch,
  type TangVector,
  vectorServers,
  wrapped,
} from "../../support/tang.js";

const { one, two, p256 } = CLEVIS.servers;
const pin = ({ url, thp }: TangVector): object => ({ url, thp });
const { fetch } = tangFetch(vectorServers());
const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar" };
const key = tang.key({ servers: ALL_URLS, fetch });

it("the public names", () => {
  expect(Object.keys(tang).sort()).toEqual(["key", "recipient", "sss"]);
});

describe("a layer", () => {
  it("for one server opens with its help", async () => {
    const recipients = [await tang.recipient({ url: one.url, thumbprint: one.thp, fetch })];
    const layer = await encryptLayerBytes(Buffer.from("layer"), { descriptor, recipients });
    expect(await listRecipients(layer.descriptor)).toMatchObject([
      { scheme: "provider.tang", index: 0, algorithm: "tang", server: one.url },
    ]);
    expect(await unwrapOnly(layer.descriptor, { keys: [key] })).toMatchObject({
      scheme: "provider.tang",
    });
  });

  it("for two of three servers opens with one down", async () => {
    const config = { t: 2, pins: { tang: [one, two, p256].map(pin) } };
    const recipients = [await tang.sss(JSON.stringify(config), { fetch })];
    const layer = await encryptLayerBytes(Buffer.from("layer"), { descriptor, recipients });
    const { fetch: two_, requests } = tangFetch(vectorServers(["two"]));
    const keys = [tang.key({ servers: ALL_URLS, fetch: two_, retries: 0 })];
    await unwrapOnly(layer.descriptor, { keys });
    expect(requests).toHaveLength(3);
  });
});

it("checks the servers of a layer through its key", async () => {
  const recipients = [await tang.recipient({ url: one.url, thumbprint: one.thp, fetch })];
  const { descriptor: made } = await encryptLayerBytes(Buffer.from("layer"), {
    descriptor,
    recipients,
  });
  const place = { scheme: "provider.tang", index: 0 };
  expect(await checkServers(made, { keys: [key] })).toEqual([
    { ...place, server: one.url, keyId: expect.any(String) as string, state: "current" },
  ]);
  expect(await checkServers(made, { keys: [] })).toEqual([]);
  const annotations = { "org.opencontainers.image.enc.keys.provider.tang": "AAAA" };
  expect(await checkServers({ ...made, annotations }, { keys: [key] })).toEqual([]);
});

describe("a recipient", () => {
  it("contacts the server once, when it is created", async () => {
    const server = tangFetch(vectorServers());
    const recipient = await tang.recipient({
      url: one.url,
      thumbprint: one.s1,
      fetch: server.fetch,
    });
    await recipient.wrap(Buffer.from("1"));
    await recipient.wrap(Buffer.from("2"));
    expect(server.requests).toEqual([`GET ${one.url}/adv`]);
    expect(recipient).toMatchObject({ scheme: "provider.tang", algorithm: "tang" });
  });

  it("needs either a thumbprint or onFirstUse", async () => {
    await expect(tang.recipient({ url: one.url, fetch })).rejects.toThrow(TypeError);
    const both = { thumbprint: one.thp, onFirstUse: () => undefined };
    await expect(tang.recipient({ url: one.url, ...both, fetch })).rejects.toThrow(TypeError);
    const seen: unknown[] = [];
    const onFirstUse = (...args: unknown[]): unknown => seen.push(args);
    await tang.recipient({ url: `${one.url}/`, onFirstUse, fetch });
    expect(seen).toEqual([[one.url, [one.thp]]]);
  });
});

describe("a key", () => {
  it("opens what clevis wrapped", async () => {
    expect(Buffer.from((await key.unwrap(wrapped("nested")))!).toString()).toBe(CLEVIS.secret);
    expect(key).toMatchObject({ scheme: "provider.tang", label: "tang" });
  });

  it("finds a server that has moved", async () => {
    const moved = { [one.url]: "http://new.example/nbde" };
    const server = tangFetch({
      "http://new.example": (path, init) => answersOf(one)(path.replace("/nbde", ""), init),
    });
    const own = tang.key({ servers: [], moved, fetch: server.fetch, label: "moved" });
    expect(Buffer.from((await own.unwrap(wrapped("one")))!).toString()).toBe(CLEVIS.secret);
    expect(server.requests).toEqual([
      expect.stringMatching(/^POST http:\/\/new.example\/nbde\/rec\//),
    ]);
  });

  it("opens the layers of a server that rotated its keys", async () => {
    const server = tangFetch({ [one.url]: answersOf({ keys: two.keys, hidden: one.keys }) });
    const own = tang.key({ servers: [one.url], fetch: server.fetch });
    expect(await own.unwrap(wrapped("one"))).not.toBeNull();
    const gone = tangFetch({ [one.url]: answersOf({ keys: two.keys }) });
    const late = tang.key({ servers: [one.url], fetch: gone.fetch });
    await expectCode(late.unwrap(wrapped("one")), "KEY_SERVER_KEY_NOT_FOUND");
  });

  it("needs at least one server", async () => {
    await expectCode(() => tang.key({ servers: [] }), "KEY_SERVER_CONFIG_INVALID");
  });
});
