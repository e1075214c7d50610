import { describe, expect, it } from "vitest";
import { allowedServers, serverUrl } from "../../../src/keyserver/tang/servers.js";
import { expectCode } from "../../support/codes.js";

describe("the URL of a server", () => {
  it.each([
    ["http://tang.example", "http://tang.example"],
    ["http://tang.example/", "http://tang.example"],
    ["http://TANG.example:80/", "http://tang.example"],
    ["https://tang.example:7500/nbde//", "https://tang.example:7500/nbde"],
    ["tang.example:7500", "http://tang.example:7500"],
    ["http://[2001:db8::1]:7500", "http://[2001:db8::1]:7500"],
    ["http://tang.example/a/../b", "http://tang.example/b"],
  ])("%s is %s", (text, url) => {
    expect(serverUrl(text)).toBe(url);
  });

  it.each([
    "",
    "http://",
    "file:///etc/passwd",
    "ftp://tang.example",
    "http://user:secret@tang.example",
    "http://secret@tang.example",
    "http://tang.example?x=secret",
    "http://tang.example/?",
    "http://tang.example/#secret",
  ])("is not %j", async (text) => {
    const { message } = await expectCode(() => serverUrl(text), "KEY_SERVER_CONFIG_INVALID");
    expect(message).not.toContain("secret");
  });
});

describe("allowed servers", () => {
  const allowed = allowedServers({
    servers: ["http://a.example:7500/", "b.example"],
    moved: { "http://old.example": "https://new.example/tang/" },
  });

  it.each([
    ["http://a.example:7500", "http://a.example:7500"],
    ["http://a.example:7500//", "http://a.example:7500"],
    ["http://b.example:80", "http://b.example"],
    ["old.example", "https://new.example/tang"],
  ])("%s is contacted at %s", (stated, address) => {
    expect(allowed.resolve(stated)).toBe(address);
  });

  it.each([
    "http://a.example",
    "https://a.example:7500",
    "http://a.example:7500/x",
    "http://a.example:7500?x",
    "http://a.example:7500@evil.example",
    "http://evil.example/http://a.example:7500",
    "http://xa.example:7500",
    "https://new.example/tang",
    "http://169.254.169.254",
    "",
    "\u0000",
  ])("%j is not contacted", async (stated) => {
    await expectCode(() => allowed.resolve(stated), "KEY_SERVER_NOT_ALLOWED");
  });

  it("must be named", async () => {
    await expectCode(() => allowedServers({ servers: [] }), "KEY_SERVER_CONFIG_INVALID");
    await expectCode(() => allowedServers({ servers: ["ftp://x"] }), "KEY_SERVER_CONFIG_INVALID");
    const moved = { "http://a.example": "secret://" };
    await expectCode(() => allowedServers({ servers: [], moved }), "KEY_SERVER_CONFIG_INVALID");
  });
});
