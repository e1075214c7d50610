import { describe, expect, it } from "vitest";
import { combine, isModulus, isShare, share } from "../../../src/keyserver/tang/shamir.js";

const bytes = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, "0"), "hex");
const point = (x: bigint, y: bigint): Buffer => Buffer.concat([bytes(x), bytes(y)]);
/** 2^256 - 189, the largest prime of 256 bits: https://primes.utm.edu/lists/2small/200bit.html */
const PRIME = bytes(2n ** 256n - 189n);

describe("shares", () => {
  it("of the line y = 7 + 3x give 7, worked by hand", () => {
    const line = [1n, 2n, 5n].map((x) => point(x, 7n + 3n * x));
    for (const [a, b] of [
      [0, 1],
      [1, 2],
      [2, 0],
    ] as const) {
      expect(combine([line[a]!, line[b]!], PRIME)).toEqual(bytes(7n));
    }
  });

  it.each([
    [1, 1],
    [1, 3],
    [2, 3],
    [3, 3],
    [5, 8],
  ])("%i of %i give the secret", async (t, n) => {
    const { prime, secret, shares } = await share(t, n);
    expect(secret.byteLength).toBe(32);
    expect(await isModulus(prime)).toBe(true);
    expect(shares.every((each, i) => isShare(each, prime, shares.slice(0, i)))).toBe(true);
    expect(combine(shares.slice(n - t), prime)).toEqual(secret);
  });

  it("below the threshold give another value", async () => {
    const { prime, secret, shares } = await share(3, 3);
    expect(combine(shares.slice(1), prime)).not.toEqual(secret);
  });
});

describe("a share", () => {
  const good = point(5n, 0n);
  it.each<[string, Uint8Array, boolean]>([
    ["with another x", point(6n, 0n), true],
    ["with the x of another", point(5n, 1n), false],
    ["with x = 0, the secret itself", point(0n, 1n), false],
    ["with x = p, which is 0", Buffer.concat([PRIME, bytes(1n)]), false],
    ["with y = p", Buffer.concat([bytes(6n), PRIME]), false],
    ["that is short", point(6n, 0n).subarray(1), false],
    ["that is long", Buffer.concat([point(6n, 0n), bytes(0n)]), false],
    ["that is empty", new Uint8Array(), false],
  ])("%s", (_, bytesOfShare, isGood) => {
    expect(isShare(bytesOfShare, PRIME, [good])).toBe(isGood);
  });
});

describe("a modulus", () => {
  it.each<[string, Buffer, boolean]>([
    ["a prime of 256 bits", PRIME, true],
    ["a composite number", bytes(2n ** 256n - 187n), false],
    ["a smaller prime", bytes(2n ** 255n - 19n), false],
    ["a longer one", Buffer.concat([Buffer.alloc(1), PRIME]), false],
    ["zero", bytes(0n), false],
    ["nothing", Buffer.alloc(0), false],
  ])("%s: %s", async (_, prime, isGood) => {
    expect(await isModulus(prime)).toBe(isGood);
  });
});
