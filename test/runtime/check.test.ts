import { beforeEach, describe, expect, it } from "vitest";
import { checkRuntimes, type RuntimeReport } from "../../src/runtime/check.js";
import type { RuntimeName } from "../../src/runtime/runtimes.js";
import { run } from "../support/command.js";
import { temporaryDirectories } from "../support/image.js";
import { containerdConfig, OUR_DECODER, testNode, workingNode, type TestNode } from "./node.js";

const newDirectory = temporaryDirectories();
let node: TestNode;

beforeEach(() => {
  node = testNode(newDirectory());
});

const check = (runtime?: RuntimeName, file?: string): Promise<RuntimeReport[]> =>
  checkRuntimes({ runtime, file, root: node.root, signal: new AbortController().signal });

/** The findings as `LEVEL PROBLEM`. */
async function findings(runtime: RuntimeName): Promise<string[]> {
  const [report] = await check(runtime);
  return report!.findings.map(({ level, problem }) => `${level} ${problem}`);
}

describe("without a runtime", () => {
  it("checks each runtime that has a configuration", async () => {
    node.write("/etc/containerd/config.toml", "version = 3");
    node.write("/etc/docker/daemon.json", "{}");
    node.write("/etc/crio/crio.conf.d/10.conf", "");
    node.write("/etc/containers/containers.conf", "");
    const names = (await check()).map(({ runtime }) => runtime);
    expect(names).toEqual(["containerd", "docker", "crio", "podman"]);
  });

  it("reports an error for a node without any", async () => {
    await expect(check()).rejects.toMatchObject({ code: "RUNTIME_CONFIG_INVALID" });
  });
});

it("requires that a named file exists", async () => {
  await expect(check("containerd", "/none.toml")).rejects.toMatchObject({
    code: "RUNTIME_CONFIG_INVALID",
  });
});

it("reports containerd without a configuration", async () => {
  expect(await findings("containerd")).toContain("warning no-configuration");
});

describe("Docker", () => {
  it.each([
    ['{"features":{"containerd-snapshotter":true}}', []],
    ['{"features":{"containerd-snapshotter":false}}', ["error image-store"]],
    ["{}", ["warning image-store"]],
  ])("needs the containerd image store: %s", async (content, expected) => {
    node = workingNode(newDirectory());
    node.write("/etc/docker/daemon.json", content);
    expect(await findings("docker")).toEqual(expected);
  });
});

describe("CRI-O", () => {
  it("reads its usual keys directory", async () => {
    expect(await findings("crio")).toEqual(["warning keys-unreadable"]);
    node.key("/etc/crio/keys/a.pem");
    expect(await findings("crio")).toEqual([]);
  });

  it("reads the directory of the last file that names one", async () => {
    node.key("/k/b.pem");
    node.link("/k/a.pem", "b.pem");
    node.write("/etc/crio/crio.conf", '[crio.runtime]\ndecryption_keys_path = "/none"\n');
    node.write("/etc/crio/crio.conf.d/1", '[crio.runtime]\ndecryption_keys_path = "/k"\n');
    node.write("/etc/crio/crio.conf.d/2", "[crio.runtime]\n");
    expect(await findings("crio")).toEqual(["error keys-rejected"]);
  });

  it("rejects a directory that is not a string", async () => {
    node.write("/etc/crio/crio.conf", "[crio.runtime]\ndecryption_keys_path = 1\n");
    await expect(check("crio")).rejects.toMatchObject({ code: "RUNTIME_CONFIG_INVALID" });
  });
});

describe("podman", () => {
  it("uses the key providers of its configuration", async () => {
    expect(await findings("podman")).toEqual([]);
    const env = '["OCICRYPT_KEYPROVIDER_CONFIG=/p.json"]';
    node.write("/etc/containers/containers.conf.d/a.conf", `[engine]\nenv = ${env}\n`);
    expect(await findings("podman")).toEqual(["error provider"]);
    node.program("/usr/bin/p");
    node.write("/p.json", '{"key-providers":{"p":{"cmd":{"path":"/usr/bin/p"}}}}');
    expect(await findings("podman")).toEqual([]);
  });
});

describe("the command", () => {
  it("prints what works, with status 0", async () => {
    node = workingNode(newDirectory());
    const { status, stdout } = await run(["runtime", "check", "--root", node.root]);
    expect(status).toBe(0);
    expect(stdout).toBe("containerd (/etc/containerd/config.toml)\n  no problem found\n");
  });

  it("prints what does not work and why, with status 5", async () => {
    node = workingNode(newDirectory());
    const { path, args } = OUR_DECODER;
    node.write("/c.toml", containerdConfig({ path, args: args.slice(0, 2) }));
    const file = ["--root", node.root, "--runtime-config", "/c.toml"];
    const { status, stdout } = await run(["runtime", "check", ...file]);
    expect(status).toBe(5);
    expect(stdout).toMatch(/^ {2}error: CRI of containerd 2.1 and later passes no payload .*\n {4}add --content-store/m); // prettier-ignore
    const json = await run(["runtime", "check", "containerd", ...file, "--json"]);
    expect(json.status).toBe(5);
    expect(JSON.parse(json.stdout)).toMatchObject({
      works: false,
      runtimes: [{ runtime: "containerd", findings: [{ problem: "local-image-pull" }, {}] }],
    });
    const older = await run(["runtime", "check", ...file, "--containerd", "1", "--json"]);
    expect(older.status).toBe(0);
    expect(JSON.parse(older.stdout)).toMatchObject({ works: true });
  });

  it.each([
    [["runtime", "check", "rkt"], 'there is no runtime "rkt"'],
    [["runtime", "check", "containerd", "docker"], "runtime check takes [runtime], got 2"],
    [["runtime", "config"], "runtime config takes <runtime>, got none"],
    [["runtime", "config", "k3s", "--containerd", "3"], 'there is no containerd "3"'],
    [["runtime"], "runtime needs an action"],
  ])("rejects %j", async (args, message) => {
    const { status, stderr } = await run(args);
    expect([status, stderr]).toEqual([2, expect.stringContaining(message)]);
  });

  it("prints a configuration", async () => {
    const { status, stdout } = await run(["runtime", "config", "containerd", "--containerd", "1"]);
    expect([status, stdout]).toEqual([0, expect.stringContaining("\nversion = 2\n")]);
  });
});
