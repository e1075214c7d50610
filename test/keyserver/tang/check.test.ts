import { describe, expect, it } from "vitest";
import { keyServerClient } from "../../../src/keyserver/client.js";
import { checkPin } from "../../../src/keyserver/tang/check.js";
import { parsePin } from "../../../src/keyserver/tang/clevis.js";
import { allowedServers } from "../../../src/keyserver/tang/servers.js";
import type { ServerReport } from "../../../src/keywrap/types.js";
import {
  ALL_URLS,
  type Answerer,
  answersOf,
  CLEVIS,
  tangFetch,
  vectorServers,
  wrapped,
} from "../../support/tang.js";

const { one, two, p256 } = CLEVIS.servers;

async function check(
  bytes: Uint8Array,
  servers: Record<string, Answerer>,
  allowed: readonly string[] = ALL_URLS,
): Promise<{ reports: ServerReport[]; requests: string[] }> {
  const { fetch, requests } = tangFetch(servers);
  const client = keyServerClient({ fetch, retries: 0 });
  const options = { client, allowed: allowedServers({ servers: allowed }) };
  return { reports: await checkPin(parsePin(bytes), options), requests };
}

const stateOf = async (answerer: Answerer): Promise<ServerReport> =>
  (await check(wrapped("one"), { [one.url]: answerer })).reports[0]!;

describe("a server", () => {
  it("with the same keys is current", async () => {
    expect(await stateOf(answersOf(one))).toMatchObject({ server: one.url, state: "current" });
  });

  it("is reported as rotated while it still has the old keys", async () => {
    const state = { keys: two.keys, hidden: one.keys };
    expect(await stateOf(answersOf(state))).toMatchObject({ state: "old" });
  });

  it("is reported as rotated if it deleted only the old signing key", async () => {
    const hidden = one.keys.filter(({ alg }) => alg === "ECMR");
    expect(await stateOf(answersOf({ keys: two.keys, hidden }))).toMatchObject({ state: "old" });
  });

  it("is reported as lost without the exchange key", async () => {
    expect(await stateOf(answersOf(two))).toMatchObject({ state: "gone" });
  });

  it.each<[string, Answerer, string]>([
    ["is down", () => undefined, "no server listens there"],
    ["answers nonsense", () => ({ text: "<html>" }), "not a JSON object"],
    [
      "advertises keys that the old key did not sign",
      (path, init) =>
        path.startsWith("/adv") ? { json: two.advertisement } : answersOf(one)(path, init),
      "does not have the signing key",
    ],
  ])("that %s is unknown", async (_, answerer, reason) => {
    const report = await stateOf(answerer);
    expect(report).toMatchObject({ server: one.url, state: "unknown" });
    expect(report.reason).toContain(reason);
  });
});

it("each server of sss is reported, and only allowed ones are contacted", async () => {
  const allowed = [one.url, p256.url];
  const { reports, requests } = await check(wrapped("sss"), vectorServers(), allowed);
  expect(reports.map(({ server, state }) => [server, state])).toEqual([
    [one.url, "current"],
    [two.url, "unknown"],
    [p256.url, "current"],
  ]);
  expect(reports[1]!.reason).toContain("not allowed");
  expect(requests.filter((request) => request.includes(two.url))).toEqual([]);
});
