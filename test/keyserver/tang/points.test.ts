import { describe, expect, it } from "vitest";
import { p521 } from "@noble/curves/nist.js";
import {
  blind,
  decodeUrl,
  hasThumbprint,
  isThumbprint,
  jwkOf,
  pointOf,
  type PublicJwk,
  randomPoint,
  readPublicJwk,
  thumbprintOf,
} from "../../../src/keyserver/tang/points.js";
import { CLEVIS, multiply, type PrivateJwk } from "../../support/tang.js";

const refuse = (why: string): Error => new Error(why);
const { one, two, p256, p384 } = CLEVIS.servers;
const zero = (crv: string, length: number): PublicJwk => {
  const x = Buffer.alloc(length).toString("base64url");
  return { kty: "EC", crv, x, y: x };
};
const publicOf = (key: PrivateJwk): PublicJwk => readPublicJwk(key, refuse);
const exchange = (vector: typeof one): PrivateJwk => vector.keys.find(({ alg }) => alg === "ECMR")!;

describe("a public key", () => {
  it.each([one, two, p256, p384])("of tangd is read, without its other members", (vector) => {
    const { crv, x, y } = exchange(vector);
    expect(publicOf(exchange(vector))).toEqual({ kty: "EC", crv, x, y });
  });

  const { crv, x, y } = exchange(one);
  it.each<[string, unknown]>([
    ["text", "EC"],
    ["an RSA key", { kty: "RSA", n: "AQAB", e: "AQAB" }],
    ["another curve", { kty: "EC", crv: "secp256k1", x: exchange(p256).x, y: exchange(p256).y }],
    ["a name of Object", { kty: "EC", crv: "constructor", x, y }],
    ["no coordinate", { kty: "EC", crv, x }],
    ["a short coordinate", { kty: "EC", crv, x: x.slice(0, -4), y }],
    ["a long coordinate", { kty: "EC", crv, x: `AAAA${x}`, y }],
    ["the coordinates of another curve", { kty: "EC", crv: "P-256", x, y }],
    ["padded base64", { kty: "EC", crv, x: `${x}=`, y }],
    ["standard base64", { kty: "EC", crv, x: x.slice(0, -1) + "+", y }],
    ["a number", { kty: "EC", crv, x: 1, y }],
  ])("is not %s", (_, value) => {
    expect(() => readPublicJwk(value, refuse)).toThrow(/it is|its c/);
  });
});

describe("base64url", () => {
  it.each([
    ["AQ", true],
    ["", true],
    ["AR", false],
    ["A", false],
    ["A=", false],
    ["+/", false],
    [1, false],
  ])("%j is valid: %s", (text, isValid) => {
    expect(decodeUrl(text) !== undefined).toBe(isValid);
  });
});

describe("a thumbprint", () => {
  it.each([one, p256, p384])("is the one that jose computes", ({ keys, thp, s1 }) => {
    const key = publicOf(keys.find(({ alg }) => alg !== "ECMR")!);
    expect(thumbprintOf(key)).toBe(thp);
    expect([thp, s1].map((each) => hasThumbprint(key, each))).toEqual([true, true]);
    expect(hasThumbprint(publicOf(exchange(one)), thp)).toBe(false);
  });

  it("is recognised by its form, as in the example of RFC 7638", () => {
    expect(isThumbprint("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")).toBe(true);
    expect(["any", "", "x".repeat(42), "!".repeat(43)].map(isThumbprint)).not.toContain(true);
    expect(hasThumbprint(publicOf(exchange(one)), "any")).toBe(false);
  });
});

describe("a point", () => {
  it.each([
    ["infinity", zero("P-521", 66)],
    ["infinity of P-256", zero("P-256", 32)],
    ["off the curve", { ...publicOf(exchange(one)), y: publicOf(exchange(one)).x }],
    ["beyond the field", { ...zero("P-521", 66), x: Buffer.alloc(66, 255).toString("base64url") }],
  ])("is not %s", async (_, key) => {
    await expect(pointOf(key, refuse)).rejects.toThrow("its point is not on the curve");
  });

  it("is written with all its bytes", () => {
    // The base point of P-521 starts with zeros: SEC 2 section 2.6.1.
    const { x } = jwkOf(p521.Point.BASE, "P-521");
    expect(Buffer.from(x, "base64url").toString("hex")).toBe(
      "00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66",
    );
  });
});

describe("an exchange", () => {
  it.each([
    ["P-521", one],
    ["P-256", p256],
    ["P-384", p384],
  ])("on %s gives what the server's private key gives directly", async (crv, vector) => {
    const server = exchange(vector);
    const client = await randomPoint(crv);
    const blinded = await blind(client, publicOf(server), refuse);
    expect(blinded.request).not.toEqual(client);
    const answer = publicOf(multiply(server, blinded.request) as PrivateJwk);
    const { x } = multiply(server, client) as { x: string };
    expect((await blinded.open(answer, refuse)).toString("base64url")).toBe(x);
  });

  it("sends another point each time", async () => {
    const client = await randomPoint("P-256");
    const server = publicOf(exchange(p256));
    const sent = await Promise.all([1, 2].map(() => blind(client, server, refuse)));
    expect(sent[0]!.request.x).not.toBe(sent[1]!.request.x);
  });

  it("rejects keys and answers on other curves, and answers that are not points", async () => {
    const client = publicOf(exchange(two));
    const server = publicOf(exchange(one));
    await expect(blind(client, publicOf(exchange(p256)), refuse)).rejects.toThrow("curves");
    await expect(blind(zero("P-521", 66), server, refuse)).rejects.toThrow("its point");
    const blinded = await blind(client, server, refuse);
    await expect(blinded.open(publicOf(exchange(p256)), refuse)).rejects.toThrow("another curve");
    await expect(blinded.open(zero("P-521", 66), refuse)).rejects.toThrow("its point");
  });
});
