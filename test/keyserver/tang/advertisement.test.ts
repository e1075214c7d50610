import { describe, expect, it } from "vitest";
import {
  isSignedByOld,
  readAdvertisement,
  requireTrusted,
} from "../../../src/keyserver/tang/advertisement.js";
import { readPublicJwk } from "../../../src/keyserver/tang/points.js";
import { expectCode } from "../../support/codes.js";
import { advertise, CLEVIS, type PrivateJwk, publicHalf, thumbprint } from "../../support/tang.js";

const refuse = (why: string): Error => new Error(why);
const { one, two, p256, p384 } = CLEVIS.servers;
const bytesOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const read = (value: unknown): ReturnType<typeof readAdvertisement> =>
  readAdvertisement(bytesOf(value), refuse);
const signerOf = ({ keys }: typeof one): PrivateJwk => keys.find(({ alg }) => alg !== "ECMR")!;
const exchangerOf = ({ keys }: typeof one): PrivateJwk => keys.find(({ alg }) => alg === "ECMR")!;

describe("an advertisement of tangd", () => {
  it.each([
    ["one signature", one],
    ["two signatures", two],
    ["P-256", p256],
    ["P-384", p384],
  ])("with %s is read", async (_, { advertisement, keys, thp, s1 }) => {
    const read = await readAdvertisement(bytesOf(advertisement), refuse);
    const names = (isSigner: boolean): string[] =>
      keys
        .filter(({ alg }) => (alg !== "ECMR") === isSigner)
        .map(thumbprint)
        .sort();
    expect(read.signers.map((each) => each.thumbprint).sort()).toEqual(names(true));
    expect(read.exchangers.map((each) => each.thumbprint).sort()).toEqual(names(false));
    for (const trusted of [thp, s1]) requireTrusted(read, trusted, "http://tang.example");
  });

  it("is rejected if the trusted key did not sign it", async () => {
    const advertised = await read(one.advertisement);
    for (const thp of [two.thp, two.s1, thumbprint(exchangerOf(one)), "any", ""]) {
      await expectCode(() => {
        requireTrusted(advertised, thp, "http://tang.example");
      }, "KEY_SERVER_UNTRUSTED");
    }
  });

  it("is rejected if it was changed", async () => {
    const { payload, ...rest } = one.advertisement as { payload: string };
    const other = payload.startsWith("eyJ") ? `eyI${payload.slice(3)}` : payload;
    await expect(read({ payload: other, ...rest })).rejects.toThrow();
    const { payload: foreign } = p256.advertisement as { payload: string };
    await expect(read({ ...rest, payload: foreign })).rejects.toThrow("did not sign");
  });
});

describe("an advertisement is refused", () => {
  const signer = signerOf(one);
  const exchanger = exchangerOf(one);
  const both = [exchanger, signer].map(publicHalf);

  it.each<[string, () => unknown, string]>([
    ["if a key for signatures did not sign it", () => advertise([...both, publicHalf(signerOf(two))], [signer]), "did not sign"],
    ["if nobody in it signed it", () => advertise(both, [signerOf(two)]), "did not sign"],
    ["without a key for signatures", () => advertise([publicHalf(exchanger)], [signer]), "no key for signatures"],
    ["without an exchange key", () => advertise([publicHalf(signer)], [signer]), "no exchange key"],
    ["without keys", () => advertise([], [signer]), "no key for signatures"],
    ["if an exchange key may do something else", () => advertise([publicHalf(signer), { ...publicHalf(exchanger), key_ops: ["sign"] }], [signer]), "no exchange key"],
    ["if an exchange key is off the curve", () => advertise([publicHalf(signer), { ...publicHalf(exchanger), y: exchanger.x }], [signer]), "not on the curve"],
    ["if an exchange key is infinity", () => advertise([publicHalf(signer), zeroKey(exchanger)], [signer]), "not on the curve"],
    ["if a key for signatures is off the curve", () => advertise([...both, { ...publicHalf(signer), y: signer.x }], [signer]), "did not sign"],
    ["if a key for signatures is RSA", () => advertise([...both, { kty: "RSA", alg: "RS256", use: "sig", n: "AQAB", e: "AQAB" }], [signer]), "not an EC key"],
    ["with too many keys", () => advertise(Array.from({ length: 33 }, () => both[0]), [signer]), "too many keys"],
    ["with too many signatures", () => advertise(both, Array.from({ length: 17 }, () => signer)), "too many signatures"],
    ["without signatures", async () => ({ ...((await advertise(both, [signer])) as object), signatures: [] }), "did not sign"],
    ["with a number as signature", async () => ({ ...((await advertise(both, [signer])) as object), signatures: [1] }), "no signature"],
    ["if it is a list", () => [], "not a JWS"],
    ["if its payload is no object", () => ({ payload: "W10", protected: "", signature: "" }), "no key for signatures"],
    ["if its payload is not JSON", () => ({ payload: "eA", protected: "", signature: "" }), "no key set"],
  ])("%s", async (_, make, why) => {
    await expect(read(await make())).rejects.toThrow(why);
  }); // prettier-ignore

  it.each(["", "<html>", "{", "null"])("if it is not JSON: %j", async (text) => {
    await expect(readAdvertisement(Buffer.from(text), refuse)).rejects.toThrow(
      /not JSON|not a JWS/,
    );
  });

  it("if its signatures use another algorithm", async () => {
    const [header, signature] = [{ alg: "none" }, ""];
    const { payload } = one.advertisement as { payload: string };
    const text = Buffer.from(JSON.stringify(header)).toString("base64url");
    await expect(read({ payload, protected: text, signature })).rejects.toThrow("did not sign");
  });
});

function zeroKey(key: PrivateJwk): object {
  const x = Buffer.alloc(66).toString("base64url");
  return { ...publicHalf(key), x, y: x };
}

it("accepts the signature of a key that the advertisement no longer lists", async () => {
  const { keys } = two;
  const answer = bytesOf(await advertise(keys.map(publicHalf), [signerOf(one), signerOf(two)]));
  const [old, other] = [one, p384].map((server) => readPublicJwk(signerOf(server), refuse));
  expect(await isSignedByOld(answer, old!, refuse)).toBe(true);
  expect(await isSignedByOld(answer, other!, refuse)).toBe(false);
});
