import { describe, expect, it } from "vitest";
import { describe as describeKey, parsePin } from "../../../src/keyserver/tang/clevis.js";
import { expectCode } from "../../support/codes.js";
import { CLEVIS, wrapped } from "../../support/tang.js";

const { one, two, p256, p384 } = CLEVIS.servers;

type Header = Record<string, unknown>;

/** A wrapped key with another header; its tag no longer fits, which parsing does not check. */
function withHeader(text: string, change: (header: Header) => unknown): Buffer {
  const [header = "", ...rest] = text.split(".");
  const parsed = JSON.parse(Buffer.from(header, "base64url").toString()) as Header;
  const changed = Buffer.from(JSON.stringify(change(parsed))).toString("base64url");
  return Buffer.from([changed, ...rest].join("."));
}

/** Changes the settings of the pin in the header. */
function withPin(text: string, change: Header): Buffer {
  return withHeader(text, (header) => {
    const clevis = header.clevis as { pin: string } & Record<string, Header>;
    return { ...header, clevis: { ...clevis, [clevis.pin]: { ...clevis[clevis.pin], ...change } } };
  });
}

describe("a wrapped key of clevis", () => {
  it.each(["one", "two", "p256", "p384"] as const)("for the server %s is read", (name) => {
    const { url, thp } = CLEVIS.servers[name];
    const pin = parsePin(wrapped(name));
    if (pin.pin !== "tang") throw new Error("should be tang");
    expect(pin.url).toBe(url);
    expect(pin.signers.map(({ thumbprint }) => thumbprint)).toContain(thp);
  });

  it("may be followed by a line break", () => {
    expect(parsePin(Buffer.from(`${CLEVIS.wrapped.one}\n`))).toEqual(parsePin(wrapped("one")));
  });

  it("is described by its server and key", () => {
    const tang = (server: typeof one): unknown =>
      expect.objectContaining({
        algorithm: "tang",
        server: server.url,
        keyId: expect.stringMatching(/^[\w-]{43}$/) as string,
      });
    expect(describeKey(wrapped("one"))).toEqual([tang(one)]);
    expect(describeKey(wrapped("sss"))).toEqual([
      { algorithm: "sss", threshold: 2, parts: [tang(one), tang(two), tang(p256)] },
    ]);
    expect(describeKey(wrapped("nested"))).toEqual([
      {
        algorithm: "sss",
        threshold: 2,
        // Clevis sorts the pins by their names.
        parts: expect.arrayContaining([
          tang(one),
          { algorithm: "sss", threshold: 1, parts: [tang(two), tang(p384)] },
        ]) as unknown,
      },
    ]);
  });

  it.each(["", "a tool's own form", "{}", "a.b.c.d.e"])("is not %j", (text) => {
    expect(describeKey(Buffer.from(text))).toEqual([]);
  });

  it.each(["null", "nullInSss"] as const)("with the pin null is refused (%s)", async (name) => {
    await expectCode(() => parsePin(wrapped(name)), "WRAPPED_KEY_UNSUPPORTED");
    await expectCode(() => describeKey(wrapped(name)), "WRAPPED_KEY_UNSUPPORTED");
  });

  it.each(["tpm2", "pkcs11", "", "constructor", 1, undefined])(
    "with the pin %j is refused",
    async (pin) => {
      const text = withHeader(CLEVIS.wrapped.one, (header) => ({ ...header, clevis: { pin } }));
      await expectCode(() => parsePin(text), "WRAPPED_KEY_UNSUPPORTED");
    },
  );
});

describe("a damaged wrapped key", () => {
  const { one: tang, sss } = CLEVIS.wrapped;
  const [header = "", , iv = "", ciphertext = "", tag = ""] = tang.split(".");
  const tangHeader = (change: Header): Buffer => withHeader(tang, (old) => ({ ...old, ...change }));
  const x = Buffer.alloc(66).toString("base64url");
  const keys = (value: unknown): Header => ({ adv: { keys: value } });
  const deep = (text: string, depth: number): string =>
    depth === 0 ? text : withPin(sss, { jwe: [deep(text, depth - 1)], t: 1 }).toString();

  it.each<[string, string | Uint8Array]>([
    ["with four parts", [header, "", iv, ciphertext].join(".")],
    ["with six parts", `${tang}.`],
    ["with an encrypted key", [header, "AQ", iv, ciphertext, tag].join(".")],
    ["with a short nonce", [header, "", iv.slice(0, 12), ciphertext, tag].join(".")],
    ["with a short tag", [header, "", iv, ciphertext, tag.slice(0, 12)].join(".")],
    ["with another alphabet", [header, "", iv, `${ciphertext}+/`, tag].join(".")],
    ["with a huge content", [header, "", iv, "A".repeat(40_000), tag].join(".")],
    ["with a header that is not JSON", ["AAAA", "", iv, ciphertext, tag].join(".")],
    ["with a header that is not base64url", ["!", "", iv, ciphertext, tag].join(".")],
    ["that is too large", Buffer.alloc(1024 * 1024 + 1, "A")],
    ["with another algorithm", tangHeader({ alg: "dir" })],
    ["with another cipher", tangHeader({ enc: "A128GCM" })],
    ["with compression", tangHeader({ zip: "DEF" })],
    ["with critical members", tangHeader({ crit: ["b64"], b64: false })],
    ["with a party", tangHeader({ apu: "AQ" })],
    ["without a kid", tangHeader({ kid: undefined })],
    ["with the kid of a key for signatures", tangHeader({ kid: one.thp })],
    ["without an ephemeral key", tangHeader({ epk: undefined })],
    ["with an ephemeral key of another curve", tangHeader({ epk: p256.keys[0] })],
    ["without a URL", withPin(tang, { url: 1 })],
    ["without an advertisement", withPin(tang, { adv: undefined })],
    ["with an advertisement of another server", withPin(tang, keys(p256.keys))],
    ["with too many keys", withPin(tang, keys(Array.from({ length: 33 }, () => one.keys[0])))],
    ["with a short ephemeral key", tangHeader({ epk: { kty: "EC", crv: "P-521", x: "AQ", y: x } })],
    [
      "with a modulus of 248 bits",
      withPin(sss, { p: Buffer.alloc(31, 255).toString("base64url") }),
    ],
    ["without a modulus", withPin(sss, { p: undefined })],
    ["with the threshold 0", withPin(sss, { t: 0 })],
    ["with a threshold above the number of parts", withPin(sss, { t: 4 })],
    ["with half a threshold", withPin(sss, { t: 1.5 })],
    ["with a threshold in text", withPin(sss, { t: "2" })],
    ["without parts", withPin(sss, { jwe: [] })],
    ["with a part that is no text", withPin(sss, { jwe: [{}], t: 1 })],
    ["with 65 parts", withPin(sss, { jwe: Array.from({ length: 65 }, () => tang) })],
    ["with six levels of sss", deep(tang, 6)],
  ])("%s is refused", async (_, value) => {
    const bytes = typeof value === "string" ? Buffer.from(value) : value;
    await expectCode(() => parsePin(bytes), "WRAPPED_KEY_INVALID");
  });

  it("may have 64 parts on five levels", () => {
    const many = withPin(sss, { jwe: Array.from({ length: 60 }, () => tang) }).toString();
    expect(() => parsePin(Buffer.from(deep(many, 3)))).not.toThrow();
  });
});
