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
async function onTerminal(context: TestContext, typed: string): Promise<string> {
  try {
    execFileSync("script", ["--version"], { stdio: "ignore" });
  } catch {
    unavailable((why) => context.skip(why), "script of util-linux is not installed");
  }
  const inspect = `"${process.execPath}" "${COMMAND}" inspect oci:${LAYOUT} -k locked.pem:prompt`;
  const child = spawn("script", ["-qec", inspect, "/dev/null"], { cwd: directory });
  let output = "";
  let isTyped = false;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    if (isTyped || !output.includes("Password of locked.pem: ")) return;
    isTyped = true;
    child.stdin.write(typed);
  });
  await new Promise((resolve) => child.on("close", resolve));
  return output;
}

describe("a password that is asked for on the terminal", () => {
  it("opens the key and is not shown", async (context) => {
    const output = await onTerminal(context, "secret\r");
    expect(output).toContain("opens with locked.pem");
    expect(output).not.toContain("secret");
  });

  it("may be wrong", async (context) => {
    const output = await onTerminal(context, "mistyped\r");
    expect(output).toContain("PASSWORD_WRONG");
    expect(output).not.toContain("mistyped");
  });
});
