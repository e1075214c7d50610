import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import type { ErrorCode } from "../../../src/errors.js";
import { key, recipient } from "../../../src/keywrap/provider/provider.js";
import { configure, temporaryFolder, writeScript } from "./script.js";

const folder = temporaryFolder();
const SECRET: Uint8Array = Buffer.from('{"symkey":"not to be seen"}', "utf8");

const READ = 'const request = JSON.parse(require("fs").readFileSync(0, "utf8"));';

interface Case {
  what: string;
  body: string;
  timeout?: number;
}

/** A recipient whose provider is a script. */
function recipientOf({ what, body, timeout }: Case): ReturnType<typeof recipient> {
  const path = writeScript(folder, what.replace(/\W/g, "-"), body);
  return recipient("p", { config: configure("p", { cmd: { path } }), timeout });
}

describe("a command", () => {
  it.each<Case>([
    {
      what: "answers",
      body: `${READ} console.log(JSON.stringify({ keywrapresults: { annotation: "b2s=" } }));`,
    },
    {
      what: "answers with numbers",
      body: `${READ} console.log('{"keywrapresults":{"annotation":[111,107]}}');`,
    },
    {
      what: "answers without reading its standard input",
      body: `process.stdin.destroy(); console.log('{"keywrapresults":{"annotation":"b2s="}}');`,
    },
    {
      what: "answers slowly and in parts",
      body: `${READ} const parts = ['{"keywrapresults":', '{"annotation":', '"b2s="}}'];
        setInterval(() => parts.length > 0 ? process.stdout.write(parts.shift()) : process.exit(), 50);`,
    },
    {
      what: "answers and says much on stderr",
      body: `${READ} for (let i = 0; i < 20; i++) require("fs").writeSync(2, "x".repeat(65536));
        console.log('{"keywrapresults":{"annotation":"b2s="}}');`,
    },
  ])("that $what", async (script) => {
    const wrapped = await recipientOf(script).wrap(SECRET);
    expect(Buffer.from(wrapped).toString()).toBe("ok");
  });

  it.each<Case & { code: ErrorCode; message: RegExp }>([
    {
      what: "exits with 3",
      body: `${READ} console.error("no route to\\n the \\u001b[31mserver"); process.exitCode = 3;`,
      code: "PROVIDER_FAILED",
      message: /^key provider "p" ended with exit status 3: no route to the \[31mserver$/,
    },
    {
      what: "exits with 3 without a word",
      body: "process.exit(3);",
      code: "PROVIDER_FAILED",
      message: /exit status 3: nothing was written to stderr$/,
    },
    {
      what: "exits with 1 after a good answer",
      body: `console.log('{"keywrapresults":{"annotation":"b2s="}}'); process.exitCode = 1;`,
      code: "PROVIDER_FAILED",
      message: /exit status 1/,
    },
    {
      what: "says much on stderr and fails",
      body: `for (let i = 0; i < 20; i++) require("fs").writeSync(2, "x".repeat(65536));
        require("fs").writeSync(2, "the end"); process.exitCode = 1;`,
      code: "PROVIDER_FAILED",
      message: /^.{0,60}x{900,1000}the end$/,
    },
    {
      what: "is killed",
      body: 'process.kill(process.pid, "SIGKILL"); setInterval(() => {}, 1000);',
      code: "PROVIDER_FAILED",
      message: /ended with SIGKILL: /,
    },
    {
      what: "is silent",
      body: `${READ} setInterval(() => {}, 1000);`,
      timeout: 300,
      code: "PROVIDER_TIMEOUT",
      message: /did not answer within 300 ms$/,
    },
    {
      what: "does not listen to SIGTERM",
      body: 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000);',
      timeout: 300,
      code: "PROVIDER_TIMEOUT",
      message: /did not answer within 300 ms$/,
    },
    {
      what: "says nothing",
      body: READ,
      code: "PROVIDER_INVALID_RESPONSE",
      message: /it is empty$/,
    },
    {
      what: "says garbage",
      body: 'console.log("Segmentation fault");',
      code: "PROVIDER_INVALID_RESPONSE",
      message: /not a JSON object$/,
    },
    {
      what: "has another shape",
      body: `console.log('{"annotation":"b2s="}');`,
      code: "PROVIDER_INVALID_RESPONSE",
      message: /has no keywrapresults\.annotation$/,
    },
    {
      what: "answers 100 MB",
      body: `const chunk = "A".repeat(1024 * 1024);
        for (let i = 0; i < 100; i++) require("fs").writeSync(1, chunk);`,
      code: "PROVIDER_INVALID_RESPONSE",
      message: /it is too large$/,
    },
  ])("that $what fails", async ({ code, message, ...script }) => {
    const error: unknown = await recipientOf(script)
      .wrap(SECRET)
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) as string });
    expect((error as Error).message).not.toMatch(/symkey|not to be seen/);
  });

  it.each([
    ["path", "/no/such/provider"],
    ["name", "no-such-provider-on-the-path"],
  ])("that is absent, by %s", async (_what, path) => {
    const absent = recipient("p", { config: configure("p", { cmd: { path } }) });
    await expect(absent.wrap(SECRET)).rejects.toMatchObject({
      code: "PROVIDER_NOT_FOUND",
      message: expect.stringContaining(path) as string,
    });
  });

  it("that cannot be run", async () => {
    const config = configure("p", { cmd: { path: folder } });
    await expect(recipient("p", { config }).wrap(SECRET)).rejects.toMatchObject({
      code: "PROVIDER_FAILED",
      message: expect.stringContaining("EACCES") as string,
    });
  });

  it.each([
    ["as it is", "request"],
    ["in base64", 'request.toString("base64")'],
    ["in hexadecimal", 'request.toString("hex")'],
    ["as numbers", "[...request].join()"],
    ["without the request around it", "JSON.parse(request).keywrapparams.optsdata"],
    ["decoded", 'Buffer.from(JSON.parse(request).keywrapparams.optsdata, "base64")'],
  ])("does not return the secret that it quotes %s", async (what, quote) => {
    const body = `const request = require("fs").readFileSync(0);
      console.error("cannot parse " + ${quote}); process.exitCode = 1;`;
    const error: unknown = await recipientOf({ what: `quotes ${what}`, body })
      .wrap(SECRET)
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ message: /exit status 1: (?:cannot parse )?.*\[redacted\]/ });
    const shown = inspect(error, { depth: 10 });
    const secret = Buffer.from(SECRET);
    for (const text of [secret.toString(), secret.toString("base64"), secret.toString("hex")]) {
      expect(shown).not.toContain(text.slice(12, 24));
    }
  });

  it("does not return the secret that it has unwrapped before it fails", async () => {
    const symkey = Buffer.from("0123456789abcdefFEDCBA9876543210").toString("base64");
    const body = `console.error("cannot use ${symkey}"); process.exitCode = 1;`;
    const path = writeScript(folder, "unwraps-and-fails", body);
    const unwrap = key("p", { config: configure("p", { cmd: { path } }) });
    const error: unknown = await unwrap
      .unwrap(Buffer.from("wrapped"))
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "PROVIDER_FAILED", message: /cannot use \[redacted\]/ });
    expect(inspect(error, { depth: 10 })).not.toContain(symkey.slice(0, 12));
  });

  it("gets its arguments unchanged, without a shell", async () => {
    const path = writeScript(
      folder,
      "arguments",
      `console.log(JSON.stringify({ keywrapresults: {
        annotation: Buffer.from(JSON.stringify(process.argv.slice(2))).toString("base64") } }));`,
    );
    const args = ["$HOME; exit 1", "", "a b"];
    const wrapped = await recipient("p", { config: configure("p", { cmd: { path, args } }) }).wrap(
      SECRET,
    );
    expect(JSON.parse(Buffer.from(wrapped).toString())).toEqual(args);
  });

  it("gets Go's request with only its own parameters", async () => {
    const seen = join(folder, "seen");
    const path = writeScript(
      folder,
      "seen",
      `const text = require("fs").readFileSync(0); require("fs").writeFileSync(${JSON.stringify(seen)}, text);
       console.log('{"keyunwrapresults":{"optsdata":"b2s="}}');`,
    );
    const config = configure("other", { cmd: { path } });
    const unwrap = key("p", { config, configName: "other", params: "a:b" });
    expect(Buffer.from((await unwrap.unwrap(Buffer.from("wrapped")))!).toString()).toBe("ok");
    expect(readFileSync(seen, "utf8")).toBe(
      '{"op":"keyunwrap","keywrapparams":{"ec":null,"optsdata":null},' +
        '"keyunwrapparams":{"dc":{"Parameters":{"p":["YTpi"]}},"annotation":"d3JhcHBlZA=="}}',
    );
  });

  it.skipIf(process.platform === "win32")("is killed with all its children", async () => {
    const alive = join(folder, "alive");
    const grandchild = `setTimeout(() => require("fs").writeFileSync(${JSON.stringify(alive)}, ""), 900)`;
    const script = {
      what: "starts another",
      body: `require("child_process").spawn(process.execPath, ["-e", ${JSON.stringify(grandchild)}],
        { stdio: "inherit" }); setInterval(() => {}, 1000);`,
      timeout: 400,
    };
    await expect(recipientOf(script).wrap(SECRET)).rejects.toMatchObject({
      code: "PROVIDER_TIMEOUT",
    });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(existsSync(alive)).toBe(false);
  });

  it("ends when its caller aborts", async () => {
    const script = { what: "waits", body: "setInterval(() => {}, 1000);" };
    const controller = new AbortController();
    const wrapping = recipientOf(script).wrap(SECRET, { signal: controller.signal });
    setTimeout(() => {
      controller.abort(new Error("changed my mind"));
    }, 100);
    await expect(wrapping).rejects.toThrow("changed my mind");
    await expect(recipientOf(script).wrap(SECRET, { signal: controller.signal })).rejects.toThrow(
      "changed my mind",
    );
  });

  it("may read a request larger than a pipe, or ignore it", async () => {
    const script = { what: "leaves", body: "process.stdin.destroy(); process.exitCode = 4;" };
    await expect(recipientOf(script).wrap(Buffer.alloc(3_000_000, 1))).rejects.toMatchObject({
      code: "PROVIDER_FAILED",
      message: expect.stringContaining("exit status 4") as string,
    });
  });
});
