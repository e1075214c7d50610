import { describe, expect, it } from "vitest";
import { readSettings, settingsOf } from "../../src/keyserver/settings.js";
import { expectCode } from "../support/codes.js";

const NAMES = ["one", "two"];
const read = (text: string): ReturnType<typeof readSettings> =>
  readSettings(Buffer.from(text), NAMES);

describe("readSettings", () => {
  it.for(["one:\n  url: a\n", '{"one": {"url": "a"}}'])("reads %j", async (text) => {
    expect(settingsOf(await read(text), "one", ["url"])).toEqual({ url: "a" });
  });

  it.for(["", "# nothing\n", "one:\n"])("reads no settings from %j", async (text) => {
    expect(settingsOf(await read(text), "one", ["url"])).toEqual({});
  });

  it.for([
    ["a member that no system has", "three: {}"],
    ["a list", "- one"],
    ["damaged YAML", "one: ["],
    ["an alias", "one: &a {}\ntwo: *a"],
    ["bytes that are not UTF-8", Buffer.from([0x6f, 0xff])],
    ["a file that is too large", Buffer.alloc(2 ** 21, "#")],
  ] as const)("rejects %s", async ([, content]) => {
    await expectCode(readSettings(Buffer.from(content), NAMES), "KEY_SERVER_CONFIG_INVALID");
  });

  it("does not quote a damaged file", async () => {
    const error = await expectCode(read('one: {"password": "s3cret"'), "KEY_SERVER_CONFIG_INVALID");
    expect(error.message).not.toContain("s3cret");
  });
});

it.for([{ one: [] }, { one: "a" }, { one: { urll: "a" } }])(
  "settingsOf rejects %j",
  async (settings) => {
    const attempt = Promise.resolve().then(() => settingsOf(settings, "one", ["url"]));
    await expectCode(attempt, "KEY_SERVER_CONFIG_INVALID");
  },
);
