import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { serveCommand } from "../../../src/keywrap/provider/serve.js";
import type { ServeOptions } from "../../../src/keywrap/provider/serve.js";
import type { KeyProvider } from "../../../src/keywrap/provider/index.js";

/** Shows its question in its answer; opens what it wrapped. */
const echo: KeyProvider = {
  wrapKey: ({ bytes, params }) =>
    Promise.resolve(Buffer.from(`${params.join("|")}>${Buffer.from(bytes).toString()}`)),
  unwrapKey: ({ bytes }) => {
    const wrapped = Buffer.from(bytes).toString();
    if (wrapped === "empty") return Promise.resolve(Buffer.alloc(0));
    if (wrapped === "damaged") return Promise.reject(new Error("the seal\nis \u0007broken"));
    return Promise.resolve(wrapped.includes(">") ? Buffer.from(wrapped.split(">")[1]!) : null);
  },
};

interface Result {
  stdout: string;
  stderr: string;
  exitCode: unknown;
}

async function serve(request: string | Buffer, options: ServeOptions = {}): Promise<Result> {
  const stdio = {
    stdin: new PassThrough().end(request),
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    exitCode: undefined as number | undefined,
  };
  await serveCommand(echo, options, stdio);
  const stdout = text(stdio.stdout.end());
  const stderr = text(stdio.stderr.end());
  return { stdout: await stdout, stderr: await stderr, exitCode: stdio.exitCode };
}

const base64 = (value: string): string => Buffer.from(value).toString("base64");

function wrapRequest(parameters: unknown, optsdata: string): string {
  const keywrapparams = { ec: { Parameters: parameters, DecryptConfig: {} }, optsdata };
  return JSON.stringify({ op: "keywrap", keywrapparams, keyunwrapparams: {} });
}

function unwrapRequest(annotation: string): string {
  return JSON.stringify({ op: "keyunwrap", keyunwrapparams: { dc: null, annotation } });
}

describe("serving a command", () => {
  const parameters = { mine: [base64("a:b")], other: [base64("c")], pubkeys: [base64("d")] };

  it.each<[string, ServeOptions, string]>([
    ["without a name", {}, "a:b|c>secret"],
    ["by its name", { name: "mine" }, "a:b>secret"],
    ["by a name that is not asked", { name: "third" }, ">secret"],
  ])("wraps, %s", async (_what, options, wrapped) => {
    const annotation = [...Buffer.from(wrapped)];
    expect(await serve(wrapRequest(parameters, base64("secret")), options)).toEqual({
      stdout: JSON.stringify({ keywrapresults: { annotation } }),
      stderr: "",
      exitCode: undefined,
    });
  });

  it("unwraps", async () => {
    expect(await serve(unwrapRequest(base64("x>ok")))).toEqual({
      stdout: '{"keyunwrapresults":{"optsdata":[111,107]}}',
      stderr: "",
      exitCode: undefined,
    });
  });

  it("answers in base64 on request", async () => {
    const { stdout } = await serve(unwrapRequest(base64("x>ok")), { encoding: "base64" });
    expect(stdout).toBe('{"keyunwrapresults":{"optsdata":"b2s="}}');
  });

  it.each<[string, string | Buffer, string]>([
    [
      "what it did not wrap",
      unwrapRequest(base64("w")),
      "the wrapped key belongs to another provider\n",
    ],
    ["what is damaged", unwrapRequest(base64("damaged")), "the seal is broken\n"],
    ["what opens to nothing", unwrapRequest(base64("empty")), "the provider returned no bytes\n"],
    ["garbage", "hello", "not a key provider request: not a JSON object\n"],
    ["nothing", "", "not a key provider request: not a JSON object\n"],
    ["5 MiB", Buffer.alloc(5 * 1024 * 1024, 0x20), "the request is too large\n"],
  ])("fails for %s", async (_what, request, stderr) => {
    expect(await serve(request)).toEqual({ stdout: "", stderr, exitCode: 1 });
  });
});
