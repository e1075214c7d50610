import { describe, expect, it } from "vitest";
import { proxyFor } from "../../src/http/transport.js";

const PROXY = "http://proxy.example:3128";
const find = (url: string, env: Record<string, string>): string | undefined =>
  proxyFor(new URL(url), env);

describe("the proxy for a URL is that of", () => {
  it.each<[string, string, Record<string, string>, string | undefined]>([
    ["nobody", "https://r.example/v2/", {}, undefined],
    ["HTTPS_PROXY", "https://r.example/v2/", { HTTPS_PROXY: PROXY, HTTP_PROXY: "http://x" }, PROXY],
    ["HTTP_PROXY", "http://r.example/v2/", { HTTP_PROXY: PROXY, HTTPS_PROXY: "http://x" }, PROXY],
    ["HTTPS_PROXY first", "https://r.example", { https_proxy: "http://x", HTTPS_PROXY: PROXY }, PROXY],
    ["https_proxy, if HTTPS_PROXY is empty", "https://r.example", { https_proxy: PROXY, HTTPS_PROXY: "" }, PROXY],
    ["a host alone", "https://r.example", { HTTPS_PROXY: "proxy.example:3128" }, PROXY],
    ["nobody, for HTTPS", "https://r.example", { HTTP_PROXY: PROXY }, undefined],
  ])("%s", (_, url, env, expected) => {
    expect(find(url, env)).toBe(expected);
  }); // prettier-ignore
});

describe("this machine is never behind a proxy:", () => {
  it.each(["localhost:5000", "127.0.0.1:5000", "127.0.0.2", "127.255.255.254", "[::1]:5000"])(
    "%s",
    (host) => {
      expect(find(`http://${host}/v2/`, { HTTP_PROXY: PROXY })).toBeUndefined();
    },
  );
});

// As golang.org/x/net/http/httpproxy says of its NoProxy.
describe("NO_PROXY", () => {
  it.each<[string, string, boolean]>([
    ["*", "r.example", true],
    ["", "r.example", false],
    [",, ", "r.example", false],
    ["r.example", "r.example", true],
    ["R.Example", "r.example", true],
    ["example", "r.example", true],
    ["ample", "r.example", false],
    [".example", "r.example", true],
    ["*.example", "r.example", true],
    [".r.example", "r.example", false],
    ["a.example, r.example", "r.example", true],
    ["r.example:443", "r.example", true],
    ["r.example:5000", "r.example", false],
    ["r.example:5000", "r.example:5000", true],
    ["10.1.2.3", "10.1.2.3", true],
    ["10.1.2.3", "10.1.2.30", false],
    ["10.0.0.0/8", "10.1.2.3", true],
    ["10.0.0.0/8", "11.1.2.3", false],
    ["10.0.0.0/8", "r.example", false],
    ["10.0.0.0/33", "10.1.2.3", false],
    ["10.0.0.0/x", "10.1.2.3", false],
    ["fd00::/8", "[fd12::1]", true],
    ["fd00::/8", "[fe12::1]", false],
    ["[fd12::1]:443", "[fd12::1]", true],
    ["fd12::1", "[fd12::1]", true],
    ["fd12:0:0:0:0:0:0:1", "[fd12::1]", true],
    ["fd12::2", "[fd12::1]", false],
  ])("%j for %s: %s", (NO_PROXY, host, isExcluded) => {
    const found = find(`https://${host}/v2/`, { HTTPS_PROXY: PROXY, NO_PROXY });
    expect(found).toBe(isExcluded ? undefined : PROXY);
  });

  it("is no_proxy if it is empty", () => {
    const env = { HTTPS_PROXY: PROXY, no_proxy: "r.example", NO_PROXY: "" };
    expect(find("https://r.example", env)).toBeUndefined();
  });
});
