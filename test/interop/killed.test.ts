import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { runProgram } from "../support/command.js";

const RUN = fileURLToPath(new URL("../kill/run.js", import.meta.url));

it("leaves either the former or the new image complete, whenever it is killed", async () => {
  const { status, stdout, stderr } = await runProgram(process.execPath, [RUN, "--count", "24"]);
  expect({ status, stdout, stderr }).toMatchObject({ status: 0, stderr: "" });
  expect(stdout).toMatch(/24 killed .* 0 problems/);
}, 300_000);
