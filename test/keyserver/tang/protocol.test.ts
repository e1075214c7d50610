import { describe, expect, it } from "vitest";
import { keyServerClient } from "../../../src/keyserver/client.js";
import {
  type Contact,
  fetchAdvertisement,
  fetchSignedBy,
  recover,
} from "../../../src/keyserver/tang/protocol.js";
import { type PublicJwk, randomPoint, readPublicJwk } from "../../../src/keyserver/tang/points.js";
import { expectCode } from "../../support/codes.js";
import {
  type Answerer,
  answersOf,
  CLEVIS,
  type PrivateJwk,
  tangFetch,
  thumbprint,
} from "../../support/tang.js";

const URL_ = "http://tang.example";
const { one, two } = CLEVIS.servers;
const signer = one.keys.find(({ alg }) => alg !== "ECMR")!;
const exchanger = one.keys.find(({ alg }) => alg === "ECMR")!;
const kid = thumbprint(exchanger);
const read = (key: PrivateJwk): PublicJwk => readPublicJwk(key, (why) => new Error(why));
const trusted = { key: read(signer), thumbprint: thumbprint(signer) };

function contact(answerer: Answerer): Contact & { requests: string[] } {
  const { fetch, requests } = tangFetch({ [URL_]: answerer });
  return { client: keyServerClient({ fetch, retries: 0 }), address: URL_, requests };
}

describe("the advertisement", () => {
  it("is fetched from /adv", async () => {
    const here = contact(() => ({ json: one.advertisement }));
    const { signers } = await fetchAdvertisement(here);
    expect(signers.map((each) => each.thumbprint)).toEqual([one.thp]);
    expect(here.requests).toEqual([`GET ${URL_}/adv`]);
  });

  it.each<[string, Answerer]>([
    ["HTML", () => ({ text: "<html>" })],
    ["empty", () => ({})],
    ["huge", () => ({ text: "x".repeat(300_000) })],
    ["unsigned", () => ({ json: { ...(one.advertisement as object), signature: "" } })],
    ["a redirect", () => ({ status: 302 })],
  ])("is refused if it is %s", async (_, answerer) => {
    await expectCode(fetchAdvertisement(contact(answerer)), "KEY_SERVER_ANSWER_INVALID");
  });
});

describe("the advertisement that an old key signed", () => {
  it("lists the new keys of a server that rotated them", async () => {
    const here = contact(answersOf({ keys: two.keys, hidden: one.keys }));
    const advertised = await fetchSignedBy(here, trusted);
    expect(advertised?.signers.map((each) => each.thumbprint)).not.toContain(one.thp);
    expect(here.requests).toEqual([`GET ${URL_}/adv/${one.thp}`]);
  });

  it("does not exist once the old key is deleted", async () => {
    expect(await fetchSignedBy(contact(answersOf({ keys: two.keys })), trusted)).toBeUndefined();
  });

  it("is rejected if the old key did not sign it", async () => {
    const here = contact(() => ({ json: two.advertisement }));
    await expectCode(fetchSignedBy(here, trusted), "KEY_SERVER_UNTRUSTED");
  });

  it("reports other failures", async () => {
    await expectCode(
      fetchSignedBy(
        contact(() => undefined),
        trusted,
      ),
      "KEY_SERVER_UNREACHABLE",
    );
  });
});

describe("a recovery", () => {
  it("returns a point for a point", async () => {
    const here = contact(answersOf(one));
    const { point } = await recover(here, kid, await randomPoint("P-521"));
    expect(point.crv).toBe("P-521");
    expect(here.requests).toEqual([`POST ${URL_}/rec/${kid}`]);
  });

  it("does not leave the path of the server", async () => {
    const here = contact(() => ({ status: 404 }));
    const request = recover(here, "../../x?y#z", await randomPoint("P-256"));
    await expectCode(request, "KEY_SERVER_KEY_NOT_FOUND");
    expect(here.requests).toEqual([`POST ${URL_}/rec/..%2F..%2Fx%3Fy%23z`]);
  });

  it.each([
    ["without the key", 404, "KEY_SERVER_KEY_NOT_FOUND"],
    ["that knows the key for signatures", 403, "WRAPPED_KEY_INVALID"],
    ["that rejects the point", 400, "WRAPPED_KEY_INVALID"],
    ["that is down", 503, "KEY_SERVER_UNREACHABLE"],
    ["that asks for a password", 401, "KEY_SERVER_UNAUTHORIZED"],
  ] as const)("from a server %s", async (_, status, code) => {
    await expectCode(
      recover(
        contact(() => ({ status })),
        kid,
        read(exchanger),
      ),
      code,
    );
  });

  it.each([{ text: "<html>" }, { json: {} }, { json: [] }, { json: { ...one.keys[0], x: "AQ" } }])(
    "is refused if it is %j",
    async (reply) => {
      const request = recover(
        contact(() => reply),
        kid,
        read(exchanger),
      );
      await expectCode(request, "KEY_SERVER_ANSWER_INVALID");
    },
  );
});
