import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { parse } from "smol-toml";
import { beforeEach, describe, expect, it } from "vitest";
import { matching, readConfig, readContainerdConfig } from "../../src/runtime/config-files.js";
import { unavailable } from "../support/environment.js";
import { temporaryDirectories } from "../support/image.js";
import { testNode, type TestNode } from "./node.js";

const newDirectory = temporaryDirectories();
let node: TestNode;

beforeEach(() => {
  node = testNode(newDirectory());
});

describe("a configuration", () => {
  it.each<[string, string, RegExp]>([
    ["/a.toml", 'password = "hunter2\nb', /\/a.toml cannot be used: it is not TOML, see line 1/],
    ["/a.toml", `a = "${"x".repeat(1024 * 1024)}"`, /larger than 1 MiB/],
    ["/a.json", '{"password": "hunter2', /it is not a JSON object/],
    ["/a.json", "[]", /it is not a JSON object/],
  ])("that is damaged is not quoted: %s", (path, content, words) => {
    node.write(path, content);
    const failure = { code: "RUNTIME_CONFIG_INVALID", message: expect.stringMatching(words) as string }; // prettier-ignore
    expect(() => readConfig(node, path)).toThrow(expect.objectContaining(failure));
    expect(() => readConfig(node, path)).not.toThrow(/hunter2/);
  });

  it("that is a directory or a loop of links is an error, and an absent one is not", () => {
    node.directory("/d.toml");
    node.link("/l.toml", "l.toml");
    for (const path of ["/d.toml", "/l.toml"]) {
      expect(() => readConfig(node, path)).toThrow(/cannot be used/);
    }
    expect(readConfig(node, "/none.toml")).toBeUndefined();
  });
});

it("wildcards are those of the last part of a path", () => {
  for (const name of ["b.toml", "a.toml", "c.conf", "x+y.toml"]) node.write(`/d/${name}`, "");
  expect(matching(node, "/d/*.toml")).toEqual(["/d/a.toml", "/d/b.toml", "/d/x+y.toml"]);
  expect(matching(node, "/d/?.co*")).toEqual(["/d/c.conf"]);
  expect(matching(node, "/d/x+y.toml")).toEqual(["/d/x+y.toml"]);
  expect(matching(node, "/none/*")).toEqual([]);
});

describe("containerd's configuration", () => {
  it.each<[string, RegExp]>([
    ["imports = 1", /its imports are not a list/],
    [
      '[stream_processors."a"]\nargs = [1]',
      /its stream processor "a" has a member of the wrong type/,
    ],
    ['[stream_processors."a"]\npath = 1', /wrong type/],
  ])("of a wrong type is rejected: %s", (content, words) => {
    node.write("/c.toml", content);
    expect(() => readContainerdConfig(node, "/c.toml")).toThrow(words);
  });

  it("may import itself", () => {
    node.write("/c.toml", 'imports = ["/c.toml", "d.toml"]');
    node.write("/d.toml", 'imports = ["c.toml"]');
    expect(readContainerdConfig(node, "/c.toml").files).toEqual(["/c.toml", "/d.toml"]);
  });

  it("says which containerd it is for", () => {
    node.write("/c.toml", "version = 3\n");
    expect(readContainerdConfig(node, "/c.toml").generation).toBe("2");
    expect(readContainerdConfig(node, "/c.toml", "1").generation).toBe("1");
    expect(readContainerdConfig(node, "/none.toml").generation).toBe("1");
  });

  it("of containerd 2 has the members of each file, and that of containerd 1 only the last table", () => {
    const table = (plugin: string, line: string): string => `[plugins."${plugin}"]\n${line}\n`;
    for (const plugin of ["io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri"]) {
      node.write(
        "/c.toml",
        `imports = ["d.toml"]\n${table(plugin, 'use_local_image_pull = true\nimage_decryption = { key_model = "x" }')}`,
      );
      node.write("/d.toml", table(plugin, "a = 1"));
      const isNew = plugin.includes("v1.images");
      const config = readContainerdConfig(node, "/c.toml", isNew ? "2" : "1");
      expect([config.usesLocalImagePull, config.keyModel]).toEqual(isNew ? [true, "x"] : [false, "node"]); // prettier-ignore
    }
  });

  it("is merged as containerd merges it", ({ skip }) => {
    try {
      execFileSync("containerd", ["--version"], { stdio: "ignore" });
    } catch {
      unavailable(skip, "containerd is not installed");
    }
    const directory = node.root;
    const own = { root: "/" };
    node.write(
      "/c.toml",
      `version = 2
imports = ["${directory}/conf.d/*.toml", "relative.toml", "conf.d/*.ignored"]
root = "/first"
[stream_processors."a"]
path = "/a"
accepts = ["x"]
[stream_processors."b"]
path = "/b"
`,
    );
    node.write("/conf.d/1.toml", 'root = "/second"\n[stream_processors."a"]\npath = "/a2"\n');
    node.write(
      "/conf.d/2.toml",
      '[stream_processors."io.containerd.ocicrypt.decoder.v1.tar"]\npath = "/mine"\n',
    );
    node.write("/relative.toml", '[stream_processors."d"]\npath = "/d"\n');
    node.write("/conf.d/4.ignored", '[stream_processors."e"]\npath = "/e"\n');
    node.write("/conf.d/3.other", '[stream_processors."c"]\npath = "/c"\n');
    const file = join(directory, "c.toml");
    const dump = execFileSync("containerd", ["--config", file, "config", "dump"]).toString();
    const expected = parse(dump) as unknown as {
      root: string;
      stream_processors: Record<string, object>;
    };
    const { root, processors } = readContainerdConfig(own, file);
    expect(root).toBe(expected.root);
    const byId = Object.fromEntries(processors.map(({ id, ...rest }) => [id, rest]));
    expect(byId).toEqual(expected.stream_processors);
  });
});
