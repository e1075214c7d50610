import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { healthLine, watchKeys } from "../../src/runtime/key-watch.js";
import { outcome, run, start } from "../support/command.js";
import { temporaryDirectories } from "../support/image.js";

const newDirectory = temporaryDirectories();

function places(): { from: string; to: string } {
  const base = newDirectory();
  const from = join(base, "from");
  mkdirSync(from);
  writeFileSync(join(from, "a.pem"), "A");
  return { from, to: join(base, "keys") };
}

describe("watching", () => {
  it("reports the first pass, changes, failures and their end", async () => {
    const { from, to } = places();
    const abort = new AbortController();
    const steps = [
      () => {
        writeFileSync(join(from, "b.pem"), "B");
      },
      () => {
        rmSync(from, { recursive: true });
      },
      () => {
        mkdirSync(from);
        writeFileSync(join(from, "b.pem"), "B");
      },
      () => {
        abort.abort();
      },
    ];
    const seen: unknown[] = [];
    const reports = watchKeys({ from, to, signal: abort.signal, interval: 20 });
    for await (const { status, code, added, removed } of reports) {
      seen.push({ status, code, added, removed });
      steps.shift()?.();
    }
    expect(seen.slice(0, 3)).toEqual([
      { status: "ok", code: undefined, added: ["a.pem"], removed: [] },
      { status: "ok", code: undefined, added: ["b.pem"], removed: [] },
      { status: "failed", code: "KEY_UNREADABLE", added: undefined, removed: undefined },
    ]);
    expect(seen[3]).toMatchObject({ status: "ok" });
  });

  it("reports at least once in each interval", async () => {
    const { from, to } = places();
    const abort = new AbortController();
    let count = 0;
    for await (const { status, files } of watchKeys({
      ...{ from, to, signal: abort.signal, interval: 1, reportInterval: 1 },
    })) {
      expect([status, files]).toEqual(["ok", 1]);
      if (++count === 3) abort.abort();
    }
    expect(count).toBe(3);
  });
});

it("escapes the names of files, so that they cannot forge a line", () => {
  const line = healthLine({ time: "T", status: "ok", files: 1, added: ["a\nT ok files=9"] });
  expect(line).toBe("T ok files=1 added=a T ok files=9");
});

describe("the command", () => {
  it("copies once", async () => {
    const { from, to } = places();
    const { status, stdout } = await run(["keys", "sync", "--from", from, "--to", to]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^\S+Z ok files=1 added=a\.pem\n$/);
    const again = await run(["keys", "sync", "--from", from, "--to", to, "--json"]);
    expect(JSON.parse(again.stdout)).toMatchObject({ status: "ok", files: 1, added: [] });
  });

  it("fails with the code", async () => {
    const { from, to } = places();
    const { status, stderr } = await run(["keys", "sync", "--from", `${from}x`, "--to", to]);
    expect([status, stderr]).toEqual([1, expect.stringContaining("KEY_UNREADABLE")]);
  });

  it.each([[["--from", "x"]], [["--to", "x"]]])("needs both directories: %j", async (options) => {
    const { status, stderr } = await run(["keys", "sync", ...options]);
    expect([status, stderr]).toEqual([2, expect.stringContaining("keys sync needs a")]);
  });

  it("watches until it is stopped, with one line for each change", async () => {
    const { from, to } = places();
    const child = start(["keys", "sync", "--from", from, "--to", to, "--watch", "--json"]);
    const ended = outcome(child);
    let lines = "";
    child.stdout?.on("data", (text: string) => {
      lines += text;
      if (lines.includes('"a.pem"') && !lines.includes('"b.pem"')) {
        writeFileSync(join(from, "b.pem"), "B");
      } else if (lines.includes('"b.pem"')) child.kill("SIGTERM");
    });
    const { stdout, stderr } = await ended;
    expect(stderr).toBe("");
    const reports = stdout.trim().split("\n").map((line) => JSON.parse(line) as unknown); // prettier-ignore
    expect(reports[0]).toMatchObject({ status: "ok", files: 1, added: ["a.pem"] });
    expect(reports.at(-1)).toMatchObject({ status: "ok", files: 2, added: ["b.pem"] });
    expect(readdirSync(to)).toEqual(["a.pem", "b.pem"]);
  });
});
