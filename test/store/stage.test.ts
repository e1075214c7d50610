import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { host, isStage, removeStaleStages } from "../../src/store/stage.js";
import { temporaryDirectories } from "../support/image.js";

const directory = temporaryDirectories();
/** More than any process has: https://man7.org/linux/man-pages/man5/proc_sys_kernel.5.html, pid_max. */
const PID = 4_194_304;
const NAME = `.ocicrypt-${host()}-${String(PID)}-0123456789abcdef`;

it("recognises only complete names of stages", () => {
  expect(isStage(NAME)).toBe(true);
  expect(isStage(`mine${NAME}`)).toBe(false);
  expect(isStage(`${NAME}.bak`)).toBe(false);
});

it("keeps the stage of a running process of another user", async () => {
  const parent = directory();
  await mkdir(join(parent, NAME), { mode: 0o700 });
  const kill = vi.spyOn(process, "kill").mockImplementation(() => {
    throw Object.assign(new Error("not permitted"), { code: "EPERM" });
  });
  try {
    await removeStaleStages(parent);
  } finally {
    kill.mockRestore();
  }
  expect(await readdir(parent)).toEqual([NAME]);

  await removeStaleStages(parent);
  expect(await readdir(parent)).toEqual([]);
});
