import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { unavailable } from "../support/environment.js";

const COMMAND = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const PEERS = fileURLToPath(new URL("../../vectors/peers/", import.meta.url));
const LAYOUT = join(PEERS, "layouts/skopeo-1.9.3/jwe-rsa2048-pem");

let directory: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "ocicrypt-prompt-"));
  cpSync(join(PEERS, "keys/rsa2048.pkcs1.enc-aes256.pem"), join(directory, "locked.pem"));
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** Runs the command on a pseudo terminal, and types when it asks. */
async function onTerminal(
  { skip }: TestContext,
  typed: readonly string[],
  key = "locked.pem:prompt",
): Promise<{ output: string; status: number | null }> {
  try {
    execFileSync("script", ["--version"], { stdio: "ignore" });
  } catch {
    unavailable(skip, "script of util-linux is not installed");
  }
  const inspect = `"${process.execPath}" "${COMMAND}" inspect oci:${LAYOUT} -k ${key}`;
  const child = spawn("script", ["-qec", inspect, "/dev/null"], { cwd: directory });
  let output = "";
  let answered = 0;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    const questions = output.split("Password of locked.pem: ").length - 1;
    if (questions > answered) child.stdin.write(typed[answered++] ?? "\u0003");
  });
  const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { output, status };
}

describe("a password that is asked for on the terminal", () => {
  it.for(["locked.pem:prompt", "locked.pem"])(
    "opens the key and is not shown: %s",
    async (key, context) => {
      const { output, status } = await onTerminal(context, ["secret\r"], key);
      expect(output).toContain("opens with locked.pem");
      expect(output).not.toContain("secret");
      expect(status).toBe(0);
    },
  );

  it("may be wrong two times", async (context) => {
    const { output, status } = await onTerminal(
      context,
      ["mistyped\r", "again\r", "secret\r"],
      "locked.pem",
    );
    expect(output.split("Wrong password, try again.")).toHaveLength(3);
    expect(output).toContain("opens with locked.pem");
    expect(output).not.toMatch(/mistyped|secret/);
    expect(status).toBe(0);
  });

  it("fails the command when it is wrong three times", async (context) => {
    const { output, status } = await onTerminal(context, ["a\r", "b\r", "c\r", "secret\r"]);
    expect(output.split("Password of locked.pem: ")).toHaveLength(4);
    expect(output).toContain("PASSWORD_WRONG");
    expect(status).toBe(1);
  });

  it("can be interrupted", async (context) => {
    const { output, status } = await onTerminal(context, ["\u0003"]);
    expect(output).toMatch(/Password of locked.pem: \r?\nocicrypt: interrupted\r?\n$/);
    expect(status).toBe(130);
  });
});
