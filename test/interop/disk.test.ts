import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { stopServers } from "../registry/server.js";
import { keyProtectDouble } from "../support/key-protect-double.js";
import { keyProtectEnvironment } from "../support/key-server-doubles.js";
import { hasProgram, requirePeer, succeed, temporaryDirectory } from "./peers.js";

const EXAMPLE = fileURLToPath(new URL("../../examples/encrypt-disk.js", import.meta.url));
const directory = temporaryDirectory();
const hasQemu = hasProgram("qemu-img", "--version");

/** Makes a qemu-img that notes its arguments, and runs the real one. */
function noting(): { path: string; log: () => string } {
  const [programs, log] = [join(directory, "programs"), join(directory, "log")];
  mkdirSync(programs);
  const path = `${programs}${delimiter}${process.env.PATH ?? ""}`;
  const script = `#!/bin/sh\nprintf '%s\\n' "$*" >>'${log}'\nPATH='${process.env.PATH ?? ""}' exec qemu-img "$@"\n`;
  writeFileSync(join(programs, "qemu-img"), script);
  chmodSync(join(programs, "qemu-img"), 0o755);
  return { path, log: () => readFileSync(log, "utf8") };
}

it("a disk is encrypted with a passphrase that Key Protect wraps and unwraps", async (context) => {
  requirePeer(context, "qemu-img", hasQemu);
  const server = await keyProtectDouble(true);
  server.makeKey({ alias: "app-key" });
  const { path, log } = noting();
  const env = { PATH: path, ...keyProtectEnvironment(server) };
  const args = [EXAMPLE, "key-protect:app-key", "key-protect"];
  const output = (await succeed(process.execPath, args, { env })).toString();
  await stopServers();

  expect(output.match(/Images are identical\./g)).toHaveLength(2);
  expect(output).toContain("No errors were found on the image.");
  for (const what of ["a wrong passphrase", "a trailing newline"]) {
    expect(output).toContain(`with ${what}: Invalid password, cannot unlock any keyslot`);
  }
  // The passphrase is unwrapped once, and is in no argument.
  expect(server.log()).toEqual([
    "POST /api/v2/keys/app-key/actions/wrap",
    "POST /api/v2/keys/app-key/actions/unwrap",
  ]);
  const commands = log()
    .trim()
    .split("\n")
    .filter((line) => line !== "--version");
  expect(commands.map((line) => line.split(" ", 1)[0])).toEqual(
    "convert resize create convert compare check compare check check".split(" "),
  );
  for (const line of commands.slice(2)) {
    expect(line).toContain("secret,id=sec0,file=/dev/stdin");
    expect(line).not.toContain("data=");
  }
}, 600_000);
