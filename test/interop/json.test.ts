import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { hasProgram, requirePeer, run, temporaryDirectory } from "./peers.js";

const directory = temporaryDirectory();
const HERE = fileURLToPath(new URL("json/", import.meta.url));

it("reads JSON as Go does, whatever both accept", async (context) => {
  requirePeer(context, "go", hasProgram("go", "version"));
  const reader = join(directory, "json-reader");
  const built = await run("go", ["build", "-o", reader, "."], { cwd: HERE });
  expect(built).toMatchObject({ status: 0 });

  const args = [join(HERE, "run.js"), "--reader", reader, "--count", "10000"];
  const { status, stdout } = await run(process.execPath, args);
  const report = stdout.toString();
  expect(report).toMatch(/10000 documents .* 0 differences/);
  expect(status).toBe(0);
  // Documents that one of the two refuses prove nothing.
  const both = Number(/(\d+) accepted by both/.exec(report)?.[1]);
  expect(both).toBeGreaterThan(2000);
}, 300_000);
