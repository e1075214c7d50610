import { expect, it } from "vitest";
import { OcicryptError } from "../../src/errors.js";
import { cachedTokens, fixedToken, type Token } from "../../src/keyserver/tokens.js";
import { expectCode } from "../support/codes.js";

const denied = (): Promise<never> =>
  Promise.reject(new OcicryptError("KEY_SERVER_UNAUTHORIZED", "denied"));

/** Tokens by number, and a clock in milliseconds. */
function numbered(
  lifetime: number,
): ReturnType<typeof cachedTokens> & { clock: number; logins: number } {
  const state = { clock: 0, logins: 0 };
  const login = (): Promise<Token> => Promise.resolve({ value: String(++state.logins), lifetime });
  return Object.assign(
    state,
    cachedTokens(login, () => state.clock),
  );
}

const echo = (token: string): Promise<string> => Promise.resolve(token);

it("a token is used until shortly before it expires", async () => {
  const tokens = numbered(3_600_000);
  for (const [clock, token] of [[0, "1"], [3_539_999, "1"], [3_540_000, "2"], [7_079_999, "2"]] as const) {
    tokens.clock = clock;
    expect(await tokens.use(echo, undefined)).toBe(token);
  } // prettier-ignore
});

it("a token that lives for seconds is used for half of them", async () => {
  const tokens = numbered(10_000);
  for (const [clock, token] of [
    [0, "1"],
    [4999, "1"],
    [5000, "2"],
  ] as const) {
    tokens.clock = clock;
    expect(await tokens.use(echo, undefined)).toBe(token);
  }
});

it("requests at the same time share one login", async () => {
  const tokens = numbered(Infinity);
  const all = await Promise.all([1, 2, 3].map(() => tokens.use(echo, undefined)));
  expect(all).toEqual(["1", "1", "1"]);
});

it("a rejected token is replaced once, and a new one is not", async () => {
  const tokens = numbered(Infinity);
  await expectCode(tokens.use(denied, undefined), "KEY_SERVER_UNAUTHORIZED");
  expect(tokens.logins).toBe(1);
  const sent: string[] = [];
  const revoked = (token: string): Promise<string> => {
    sent.push(token);
    return token === "1" ? denied() : Promise.resolve(token);
  };
  expect(await tokens.use(revoked, undefined)).toBe("2");
  await expectCode(tokens.use(denied, undefined), "KEY_SERVER_UNAUTHORIZED");
  expect(sent).toEqual(["1", "2"]);
  expect(tokens.logins).toBe(3);
});

it("a token survives other failures, and a failed login is tried again", async () => {
  const tokens = numbered(Infinity);
  await tokens.use(echo, undefined);
  await expect(tokens.use(() => Promise.reject(new Error("down")), undefined)).rejects.toThrow(
    "down",
  );
  expect(await tokens.use(echo, undefined)).toBe("1");
  let calls = 0;
  const flaky = cachedTokens(() =>
    ++calls === 1
      ? Promise.reject(new Error("down"))
      : Promise.resolve({ value: "x", lifetime: 1 }),
  );
  await expect(flaky.use(echo, undefined)).rejects.toThrow("down");
  expect(await flaky.use(echo, undefined)).toBe("x");
});

it("an aborted request does not wait for the login", async () => {
  const tokens = cachedTokens(() => new Promise(() => undefined));
  await expect(tokens.use(echo, AbortSignal.abort(new Error("stop")))).rejects.toThrow("stop");
});

it("a token of the caller is not renewed", async () => {
  expect(await fixedToken("own").use(echo, undefined)).toBe("own");
  await expectCode(fixedToken("own").use(denied, undefined), "KEY_SERVER_UNAUTHORIZED");
});
