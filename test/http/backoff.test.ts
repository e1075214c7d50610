import { describe, expect, it } from "vitest";
import { backoff, isBusy, pauseBefore, retryAfter } from "../../src/http/backoff.js";

const policy = { retries: 4, retryDelay: 100 };

describe("pauses before a retry", () => {
  it.each([
    [0, 50, 150],
    [1, 100, 300],
    [4, 800, 2400],
    [30, 60_000, 60_000],
  ])("the one before number %s", (count, least, most) => {
    for (let i = 0; i < 100; i++) {
      const pause = pauseBefore(count, policy, 0);
      expect(pause).toBeGreaterThanOrEqual(least);
      expect(pause).toBeLessThanOrEqual(most);
    }
  });

  it("differ from each other", () => {
    const pauses = Array.from({ length: 50 }, () => pauseBefore(3, policy, 0));
    expect(new Set(pauses).size).toBeGreaterThan(40);
  });

  it.each([
    [5000, 5000],
    [3_600_000, 60_000],
    [Infinity, 60_000],
  ])("of %s ms, as requested", (asked, expected) => {
    expect(pauseBefore(0, policy, asked)).toBe(expected);
  });

  it("end after the last retry", async () => {
    const pauses = backoff({ retries: 3, retryDelay: 0 });
    const again = [];
    for (let i = 0; i < 5; i++) again.push(await pauses.again("busy", undefined));
    expect(again).toEqual([true, true, true, false, false]);
  });

  it("end immediately without retries", async () => {
    expect(await backoff({ retries: 0, retryDelay: 60_000 }).again("busy", undefined)).toBe(false);
  });
});

describe("Retry-After", () => {
  it.each<[string | null, number]>([
    [null, 0],
    ["0", 0],
    ["120", 120_000],
    [" 5 ", 5000],
    ["-5", 0],
    ["1.5", 0],
    ["1e9", 0],
    ["soon", 0],
    ["2030", 2_030_000],
    ["2030-01-01", 0],
    ["Thu, 01 Jan 1970 00:00:00 GMT", 0],
    ["Xxx, 99 Yyy 2030 00:00:00 GMT", 0],
  ])("%s", (value, expected) => {
    expect(retryAfter({ get: () => value })).toBe(expected);
  });

  it.each(["UTC", "GMT"])("as a date in %s", (zone) => {
    const value = new Date(Date.now() + 10_000).toUTCString().replace("GMT", zone);
    const milliseconds = retryAfter({ get: (name) => (name === "retry-after" ? value : null) });
    expect(milliseconds).toBeGreaterThan(8000);
    expect(milliseconds).toBeLessThanOrEqual(10_000);
  });
});

describe("temporary statuses", () => {
  it.each([
    [200, false],
    [401, false],
    [404, false],
    [429, true],
    [500, false],
    [501, false],
    [502, true],
    [503, true],
    [504, true],
    [505, false],
  ])("%s: %s", (status, expected) => {
    expect(isBusy(status)).toBe(expected);
  });
});
