import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { keyServerKeys, keyServerRecipients } from "../../../src/keyserver/index.js";
import type { JsonObject } from "../../../src/text/json.js";
import { expectCode } from "../../support/codes.js";
import { CLEVIS, tangServer } from "../../support/tang.js";
import type { TestServer } from "../../registry/server.js";

const { one, two } = CLEVIS.servers;
const SECRET = Buffer.from("a secret");
const folder = mkdtempSync(join(tmpdir(), "ocicrypt-tang-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

let first: TestServer;
let second: TestServer;
beforeEach(async () => {
  [first, second] = await Promise.all([tangServer(one), tangServer(two)]);
});

type Context = Parameters<typeof keyServerKeys>[1];
const contextOf = (tang?: JsonObject, more: Partial<Context> = {}): Context => ({
  settings: tang === undefined ? {} : { tang },
  readFile: () => Buffer.alloc(0),
  ...more,
});

async function wrap(text: string, context: Context): Promise<Uint8Array> {
  const {
    found: [recipient],
  } = await keyServerRecipients(text, context);
  return recipient!.wrap(SECRET);
}

async function open(
  texts: readonly string[],
  wrapped: Uint8Array,
  tang?: JsonObject,
): Promise<string | undefined> {
  const {
    found: [key],
  } = await keyServerKeys(texts, contextOf(tang));
  const secret = await key!.unwrap(wrapped);
  return secret === null ? undefined : Buffer.from(secret).toString();
}

describe("tang:URL?thp=THUMBPRINT", () => {
  it("wraps for a server, and tang:URL opens the layer", async () => {
    const wrapped = await wrap(`tang:${first.url}?thp=${one.thp}`, contextOf());
    expect(await open([`tang:${first.url}`], wrapped)).toBe("a secret");
    expect(await open([`tang:${second.url}`, `tang:${first.url}/`], wrapped)).toBe("a secret");
    await expectCode(open([`tang:${second.url}`], wrapped), "KEY_SERVER_NOT_ALLOWED");
    expect(second.requests).toEqual([]);
  });

  it("trusts a server on first use, with a warning, if the text asks for it", async () => {
    const warnings: string[] = [];
    const onWarning = (message: string): unknown => warnings.push(message);
    await wrap(`tang:${first.url}?trust=first-use`, contextOf({}, { onWarning }));
    expect(warnings).toEqual([expect.stringContaining(one.thp)]);
    expect(warnings[0]).toContain(first.url);
  });

  it("of another program names only the servers that the user has named", async () => {
    const named = `tang:${first.url}?thp=${one.thp}`;
    for (const context of [
      contextOf(undefined, { allowedServers: [] }),
      contextOf({ servers: [second.url] }, { allowedServers: ["http://tang.example"] }),
    ]) {
      await expectCode(keyServerRecipients(named, context), "KEY_SERVER_NOT_ALLOWED");
    }
    expect(first.requests).toEqual([]);
    for (const context of [
      contextOf(undefined, { allowedServers: [`${first.url}/`] }),
      contextOf({ servers: [first.url] }, { allowedServers: [] }),
    ]) {
      expect(await open([`tang:${first.url}`], await wrap(named, context))).toBe("a secret");
    }
  });

  it.each([
    "tang:",
    "tang:URL",
    "tang:URL?",
    "tang:URL?thp=",
    "tang:URL?thp=any",
    "tang:URL?trust=yes",
    "tang:URL?trust=first-use&thp=x",
    "tang:URL?thp=x&url=y",
    "tang:URL?thp=x?y",
  ])("is not %s", async (text) => {
    const named = text.replace("URL", first.url);
    await expectCode(keyServerRecipients(named, contextOf()), "KEY_SERVER_CONFIG_INVALID");
    expect(first.requests).toEqual([]);
  });
});

describe("sss:FILE", () => {
  it("reads Clevis's configuration, and the key tang opens the layer", async () => {
    const pins = { tang: [first, second].map(({ url }, i) => ({ url, thp: [one, two][i]!.thp })) };
    const files: string[] = [];
    const readFile = (file: string): Uint8Array => {
      files.push(file);
      return Buffer.from(JSON.stringify({ t: 1, pins }));
    };
    const wrapped = await wrap("sss:nbde.json", contextOf({}, { readFile }));
    expect(files).toEqual(["nbde.json"]);
    expect(await open([`tang:${second.url}`], wrapped)).toBe("a secret");
  });

  it("is not a key", async () => {
    expect(await keyServerKeys([], contextOf())).toEqual({ found: [], files: [] });
    await expectCode(keyServerRecipients("sss:empty", contextOf()), "KEY_SERVER_CONFIG_INVALID");
  });
});

describe("the settings", () => {
  it("list servers for the key tang only", async () => {
    const wrapped = await wrap(`tang:${first.url}?thp=${one.thp}`, contextOf());
    const settings = { servers: [first.url] };
    expect(await open(["tang"], wrapped, settings)).toBe("a secret");
    expect(await open(["tang"], wrapped, { servers: first.url })).toBe("a secret");
    await expectCode(open([`tang:${second.url}`], wrapped, settings), "KEY_SERVER_NOT_ALLOWED");
  });

  it("map the old URL of a server to its new one", async () => {
    const wrapped = await wrap(`tang:${first.url}?thp=${one.thp}`, contextOf());
    const moved = await tangServer(one);
    expect(await open(["tang"], wrapped, { moved: { [first.url]: moved.url } })).toBe("a secret");
    expect(first.log()).toEqual(["GET /adv"]);
    expect(moved.log()).toEqual([expect.stringMatching(/^POST \/rec\//)]);
  });

  it.each<[string, JsonObject | undefined]>([
    ["are missing", undefined],
    ["name no server", {}],
    ["have a number as server", { servers: [1] }],
    ["have a list of moved servers", { moved: [] }],
    ["move a server to a number", { moved: { "http://a.example": 1 } }],
    ["have an unknown member", { server: "http://a.example" }],
    ["name a file that does not exist", { servers: "http://a.example", "ca-file": "/nowhere" }],
  ])("are refused if they %s", async (_, settings) => {
    await expectCode(keyServerKeys(["tang"], contextOf(settings)), "KEY_SERVER_CONFIG_INVALID");
  });

  it("may name certificates", async () => {
    const file = join(folder, "ca.pem");
    writeFileSync(file, "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n");
    const context = contextOf({ servers: "https://a.example", "ca-file": file });
    await expectCode(keyServerKeys(["tang"], context), "KEY_SERVER_CONFIG_INVALID");
  });
});
