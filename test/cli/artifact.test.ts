import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parseCommandLine } from "../../src/cli/arguments.js";
import { testRegistry } from "../registry/server.js";
import { run } from "../support/command.js";
import { temporaryDirectories } from "../support/image.js";

const directory = temporaryDirectories();
const KEYS = fileURLToPath(new URL("../../vectors/keys/", import.meta.url));
const RECIPIENT = ["-r", `jwe:${KEYS}ec-p256.pub.jwk`];
const KEY = ["-k", `${KEYS}ec-p256.pem`];

describe("push and pull", () => {
  it("bring files to a registry and back", async () => {
    const { host } = await testRegistry();
    const image = `docker://${host}/model:1`;
    const [from, to] = [directory(), directory()];
    await mkdir(join(from, "dir"));
    await writeFile(join(from, "dir", "a.bin"), "content");
    await writeFile(join(from, "b"), "");
    const pushed = await run(["push", image, "./dir/../dir/a.bin", "b", ...RECIPIENT], {
      cwd: from,
    });
    expect(pushed).toMatchObject({ status: 0, stderr: "" });
    expect(pushed.stdout).toMatch(
      /^encrypted 2 files\n {2}dir\/a\.bin {2}7 B\n {2}b {2}0 B\ndocker:/,
    );
    const pulled = await run(["pull", image, ...KEY, "-o", "new", "--json"], { cwd: to });
    expect(JSON.parse(pulled.stdout)).toMatchObject({
      source: image,
      directory: "new",
      files: [{ title: "dir/a.bin", size: 7 }, { title: "b" }],
    });
    expect(await readFile(join(to, "new/dir/a.bin"), "utf8")).toBe("content");
    const again = await run(["pull", image, ...KEY, "-o", "new"], { cwd: to });
    expect(again.status).toBe(1);
    expect(again.stderr).toContain("already exists in new (DESTINATION_EXISTS)");
    expect((await readdir(join(to, "new"))).sort()).toEqual(["b", "dir"]);
  });

  it.each([
    [["/etc/hostname"], "is not below the current directory"],
    [["../x"], "is not below the current directory"],
    [["none"], "cannot be read (ENOENT)"],
    [["."], "is not a regular file"],
  ])("push refuses %j", async (files, message) => {
    const args = ["push", "docker://127.0.0.1:1/model", ...files, ...RECIPIENT];
    const { status, stderr } = await run(args, { cwd: directory() });
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });

  it.each([
    ["push docker://h/a -r jwe:x", "takes <image> <file>..., got 1"],
    ["push docker://h/a f", "needs a recipient"],
    ["pull docker://h/a", "needs a key"],
    ["pull docker://h/a f -k x", "takes <image>, got 2"],
    ["decrypt docker://h/a oci:b -k x -o c", "decrypt has no option --output"],
  ])("%s is refused", (command, message) => {
    expect(() => parseCommandLine(command.split(" "))).toThrow(message);
  });
});
