import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { randomBytes } from "node:crypto";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it, type TestContext } from "vitest";
import { MAIN, run, runProgram, start, type Outcome } from "../support/command.js";
import { unavailable } from "../support/environment.js";
import { layerOf, layoutOf, TAR, tar, temporaryDirectories } from "../support/image.js";
import { holdAtFile } from "../support/interrupt.js";

const directory = temporaryDirectories();

const KEYS = fileURLToPath(new URL("../../vectors/keys/", import.meta.url));
/** More than the command holds in memory. */
const SIZE = 20 * 1024 * 1024;

let image: string;
const key = ["-k", `${KEYS}ec-p256.pem`];

beforeAll(async () => {
  const plain = directory();
  const content = await tar({ big: randomBytes(SIZE), small: "small\n" });
  await layoutOf(plain, [layerOf(content, { mediaType: TAR })]);
  image = `oci:${join(directory(), "encrypted")}`;
  const recipient = ["-r", `jwe:${KEYS}ec-p256.pub.pem`];
  expect((await run(["encrypt", `oci:${plain}`, image, ...recipient])).status).toBe(0);
});

const COMMANDS: [string, () => string[]][] = [
  ["ls", () => ["ls", image, ...key]],
  ["cat", () => ["cat", image, "small", ...key]],
  ["export", () => ["export", image, ...key]],
];

const SIGNALS = [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const;

describe.each(COMMANDS)("%s", (_, args) => {
  const TMPDIR = directory();

  /** The command's private file is opened with a name, which it then loses. */
  const OPENING = { operation: "open", path: "/ocicrypt-[^/]+/content$", count: 1 } as const;
  const NAMELESS = { operation: "rm", path: "/ocicrypt-[^/]+$", count: 1 } as const;

  it.each(SIGNALS)("ends with its status and leaves nothing after %s", async (signal, status) => {
    for (const moment of [OPENING, NAMELESS]) {
      const held = await holdAtFile(args(), moment, { TMPDIR });
      const outcome = await held.interrupt(signal);
      expect(outcome).toMatchObject({ status, stdout: "", stderr: "ocicrypt: interrupted\n" });
      expect(readdirSync(TMPDIR)).toEqual([]);
    }
  });

  it("leaves at most an empty file after SIGKILL", async () => {
    const place = directory();
    const held = await holdAtFile(args(), NAMELESS, { TMPDIR: place });
    expect(await held.interrupt("SIGKILL")).toMatchObject({ signal: "SIGKILL", stdout: "" });
    const [name = ""] = readdirSync(place);
    expect(readdirSync(join(place, name))).toEqual(["content"]);
    expect(statSync(join(place, name, "content")).size).toBe(0);
    expect(statSync(join(place, name)).mode & 0o777).toBe(0o700);
  });

  it("prints nothing and names TMPDIR if its private file cannot be created", async () => {
    const file = join(directory(), "file");
    writeFileSync(file, "");
    for (const TMPDIR of [join(file, "below"), `${file}-missing`]) {
      const { status, stdout, stderr } = await run(args(), { env: { TMPDIR } });
      expect([status, stdout]).toEqual([1, ""]);
      expect(stderr).toMatch(/^error: .*\(DESTINATION_UNWRITABLE\)\nhint: set TMPDIR to /);
    }
  });

  it("prints nothing and leaves nothing if the disk is full", async () => {
    // Blocks of 512 bytes.
    const script = `ulimit -f ${String(SIZE / 512 / 2)}; exec "$@"`;
    const full = ["-c", script, "sh", process.execPath, MAIN, ...args()];
    const { status, stdout, stderr } = await runProgram("sh", full, { env: { TMPDIR } });
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^error: .*\(DESTINATION_FULL\)\nhint: free some space, or set TMPDIR /);
    expect(readdirSync(TMPDIR)).toEqual([]);
  });

  it.runIf(process.platform === "linux").each([
    [
      "as text",
      [],
      /^error: there is no space left for standard output \(DESTINATION_FULL\)\nhint: /,
    ],
    ["as JSON", ["--json"], /^\{"error":\{"code":"DESTINATION_FULL".*\}\}\n$/],
  ] as const)("fails if its output is on a full disk: %s", async (_, more, expected) => {
    const script = 'exec "$@" >/dev/full';
    const command = ["-c", script, "sh", process.execPath, MAIN, ...args(), ...more];
    const { status, stderr } = await runProgram("sh", command, { env: { TMPDIR } });
    expect(status).toBe(1);
    expect(stderr).toMatch(expected);
    expect(readdirSync(TMPDIR)).toEqual([]);
  });
});

describe("export, while nobody reads its output,", () => {
  /** Everything is verified when the first bytes come. */
  async function stalled(TMPDIR: string, signal: NodeJS.Signals): Promise<unknown[]> {
    const child = start(["export", image, ...key], { env: { TMPDIR } });
    let stderr = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    await new Promise((resolve) => child.stdout!.once("readable", resolve));
    expect(readdirSync(TMPDIR)).toEqual([]);
    const ended = new Promise((resolve) => {
      child.once("exit", (status, by) => {
        resolve([status, by]);
      });
    });
    const closed = once(child, "close");
    child.kill(signal);
    const result = await ended;
    child.stdout!.destroy();
    // Its stderr can arrive later than its end.
    await closed;
    return [result, stderr];
  }

  // A write that nobody reads may keep the process, which then ends itself by the signal.
  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("ends after %s", async (signal) => {
    const [end, stderr] = await stalled(directory(), signal);
    expect([
      [128 + constants.signals[signal], null],
      [null, signal],
    ]).toContainEqual(end);
    expect(stderr).toBe("ocicrypt: interrupted\n");
  });

  it("leaves nothing after SIGKILL", async () => {
    const TMPDIR = directory();
    expect(await stalled(TMPDIR, "SIGKILL")).toEqual([[null, "SIGKILL"], ""]);
    expect(readdirSync(TMPDIR)).toEqual([]);
  });
});

it.each([
  ["export", () => ["export", image]],
  ["cat of a large file", () => ["cat", image, "big"]],
])("%s ends without a message when its reader does", async (_, args) => {
  const TMPDIR = directory();
  const script = '"$@" | head -c 10 | wc -c; echo "${PIPESTATUS[0]}"';
  const command = ["-c", script, "bash", process.execPath, MAIN, ...args(), ...key];
  const { stdout, stderr } = await runProgram("bash", command, { env: { TMPDIR } });
  expect([stdout.trim().split(/\s+/), stderr]).toEqual([["10", "0"], ""]);
  expect(readdirSync(TMPDIR)).toEqual([]);
});

describe("on a terminal", () => {
  /** Runs the command on a pseudo terminal; its result goes to a file if there is one. */
  async function onTerminal({ skip }: TestContext, args: string[], to?: string): Promise<Outcome> {
    try {
      execFileSync("script", ["--version"], { stdio: "ignore" });
    } catch {
      unavailable(skip, "script of util-linux is not installed");
    }
    const redirection = to === undefined ? "" : ` > '${to}'`;
    const line = [process.execPath, MAIN, ...args].map((each) => `'${each}'`).join(" ");
    return runProgram("script", ["-qec", line + redirection, "/dev/null"]);
  }

  it.for(COMMANDS)(
    "%s shows progress, and erases it before its result",
    async ([, args], context) => {
      const file = args()[0] === "export" ? join(directory(), "root.tar") : undefined;
      const { status, stdout } = await onTerminal(context, args(), file);
      expect(status).toBe(0);
      expect(stdout).toMatch(/\rdecrypt \[[#-]+\] +\d+%  .* of 20\.0 MiB/);
      const after = stdout.slice(stdout.lastIndexOf("\r\u001b[K") + 4);
      expect(after).toBe({ ls: "big\r\nsmall\r\n", cat: "small\r\n" }[args()[0]!] ?? "");
    },
  );

  it("nothing is shown with --quiet", async (context) => {
    const { stdout } = await onTerminal(context, ["cat", image, "small", "--quiet", ...key]);
    expect(stdout).toBe("small\r\n");
  });
});
