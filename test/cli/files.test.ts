import { describe, expect, it } from "vitest";
import { parseCommandLine } from "../../src/cli/arguments.js";
import { MAIN, run, runProgram } from "../support/command.js";
import { layerOf, layoutOf, temporaryDirectories } from "../support/image.js";
import { archive, rawEntry } from "../support/tar.js";

const directory = temporaryDirectories();

async function sample(): Promise<string> {
  const path = directory();
  const tar = archive(
    rawEntry({ name: "bin/", type: "5", mode: 0o755, mtime: 1_700_000_000 }),
    rawEntry({ name: "bin/su", mode: 0o4755, uid: 0, gid: 12 }, "x".repeat(1000)),
    rawEntry({ name: "bin/\u001b[31m\u202e\n", mode: 0o2640, uid: 1000, gid: 1 }),
    rawEntry({ name: "tmp/", type: "5", mode: 0o1777 }),
    rawEntry({ name: "null", type: "3", mode: 0o666, devmajor: 1, devminor: 3 }),
    rawEntry({ name: "link", type: "2", mode: 0o777, target: "bin/\u0007" }),
  );
  await layoutOf(path, [layerOf(tar)]);
  return `oci:${path}`;
}

describe("ls", () => {
  it("prints the names of one directory, or the full paths of all files", async () => {
    const image = await sample();
    expect(await run(["ls", image])).toMatchObject({
      status: 0,
      stdout: "bin\nlink\nnull\ntmp\n",
      stderr: "",
    });
    expect((await run(["ls", image, "bin/su"])).stdout).toBe("su\n");
    expect((await run(["ls", image, "-R", "/"])).stdout).toBe(
      "/bin\n/bin/\ufffd[31m\ufffd\ufffd\n/bin/su\n/link\n/null\n/tmp\n",
    );
  });

  it("prints a table with modes as ls has them, and without control characters", async () => {
    const image = await sample();
    expect((await run(["ls", image, "-lR"])).stdout.split("\n")).toEqual([
      "drwxr-xr-x 0:0       0 2023-11-14 22:13 /bin",
      "-rw-r-S--- 1000:1    0 1970-01-01 00:00 /bin/\ufffd[31m\ufffd\ufffd",
      "-rwsr-xr-x 0:12   1000 1970-01-01 00:00 /bin/su",
      "lrwxrwxrwx 0:0       0 1970-01-01 00:00 /link -> bin/\ufffd",
      "crw-rw-rw- 0:0     1,3 1970-01-01 00:00 /null",
      "drwxrwxrwt 0:0       0 1970-01-01 00:00 /tmp",
      "",
    ]);
  });

  it("prints JSON with the exact names, escaped", async () => {
    const { stdout } = await run(["ls", await sample(), "/bin", "--json"]);
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
    expect(JSON.parse(stdout)).toMatchObject({
      platform: "-",
      files: [
        { path: "/bin/\u001b[31m\u202e\n", type: "file", mode: "2640", uid: 1000, layer: 0 },
        { path: "/bin/su", mode: "4755", size: 1000, mtime: "1970-01-01T00:00:00.000Z" },
      ],
    });
  });

  it("fails with a code and a hint", async () => {
    const image = await sample();
    const { status, stdout, stderr } = await run(["ls", image, "/none"]);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^error: the image has no file "\/none".*\(FILE_NOT_FOUND\)\nhint: /);
  });

  it.each([
    ["cat oci:a", "cat takes <image> <path>..., got 1"],
    ["export oci:a b", "export takes <image>, got 2"],
    ["export oci:a -R", "export has no option --recursive"],
    ["ls", "ls takes <image> [path], got none"],
    ["ls oci:a b c", "ls takes <image> [path], got 3"],
    ["inspect oci:a -l", "inspect has no option --long"],
  ])("%s is refused", (command, message) => {
    expect(() => parseCommandLine(command.split(" "))).toThrow(message);
  });
});

describe("cat and export", () => {
  it("print bytes as they are", async () => {
    const image = await sample();
    expect(await run(["cat", image, "bin/su", "/bin/su", "--json", "-q"])).toMatchObject({
      ...{ status: 0, stdout: "x".repeat(2000), stderr: "" },
    });
    const { stdout } = await runProgram("sh", ["-c", '"$@" | tar -tf -', "sh", process.execPath, MAIN, "export", image]); // prettier-ignore
    expect(stdout.split("\n")).toEqual(
      expect.arrayContaining(["bin/", "bin/su", "link", "null", "tmp/", ""]),
    );
  });

  it("print nothing if they fail", async () => {
    const image = await sample();
    for (const path of ["bin", "none"]) {
      const { status, stdout, stderr } = await run(["cat", image, "bin/su", path]);
      expect([status, stdout]).toEqual([1, ""]);
      expect(stderr).toMatch(/\(FILE_(?:UNREADABLE|NOT_FOUND)\)\nhint: /);
    }
    const json = await run(["cat", image, "none", "--json"]);
    expect(JSON.parse(json.stderr)).toMatchObject({ error: { code: "FILE_NOT_FOUND" } });
  });

  it("stop without a message when their reader does", async () => {
    const command = '"$@" | head -c 10; echo "${PIPESTATUS[0]}"';
    const path = directory();
    const big = rawEntry({ name: "big" }, Buffer.alloc(3_000_000, "x"));
    await layoutOf(path, [layerOf(archive(big))]);
    const args = ["-c", command, "bash", process.execPath, MAIN, "cat", `oci:${path}`, "big"];
    expect(await runProgram("bash", args)).toMatchObject({ stdout: "xxxxxxxxxx0\n", stderr: "" });
  });
});
