import { beforeEach, describe, expect, it } from "vitest";
import { checkRuntimes } from "../../src/runtime/check.js";
import { temporaryDirectories } from "../support/image.js";
import { containerdConfig, OUR_DECODER, STORE, workingNode, type TestNode } from "./node.js";

const newDirectory = temporaryDirectories();
const FILE = "/etc/containerd/config.toml";
const TYPE = "application/vnd.oci.image.layer.v1.tar";
const LOCAL_PULL = `[plugins."io.containerd.cri.v1.images"]\nuse_local_image_pull = true\n`;

let node: TestNode;

beforeEach(() => {
  node = workingNode(newDirectory());
  node.program("/usr/local/bin/ctd-decoder");
});

/** The findings as `LEVEL PROBLEM`. */
async function findings(
  runtime: "containerd" | "docker" | "k3s" = "containerd",
  generation?: "1" | "2",
): Promise<string[]> {
  const { signal } = new AbortController();
  const [report] = await checkRuntimes({ runtime, root: node.root, generation, signal });
  return [...new Set(report!.findings.map(({ level, problem }) => `${level} ${problem}`))].sort();
}

describe("stream processors", () => {
  it.each(["1", "2"] as const)(
    "of our configuration work with containerd %s",
    async (generation) => {
      node = workingNode(newDirectory(), generation);
      expect(await findings()).toEqual([]);
    },
  );

  it("must accept each type", async () => {
    node.write(FILE, containerdConfig(OUR_DECODER).replaceAll(`+gzip+encrypted`, "+gzip+other"));
    expect(await findings()).toEqual(["error no-stream-processor"]);
  });

  it("must accept zstd", async () => {
    node.write(FILE, containerdConfig(OUR_DECODER).replaceAll(`,"${TYPE}+zstd+encrypted"`, ""));
    expect(await findings()).toEqual(["error zstd"]);
  });

  it.each([
    ["the uncompressed type", TYPE],
    ["no layer", "application/octet-stream"],
  ])("must not return %s", async (_, returns) => {
    const config = containerdConfig(OUR_DECODER);
    node.write(FILE, config.replaceAll("application/vnd.docker.image.rootfs.diff.tar", returns));
    expect(await findings()).toEqual(["error returns", "error zstd"]);
  });

  it("must not accept the same type twice, even through containerd's defaults", async () => {
    const id = "io.containerd.ocicrypt.decoder.v1.tar.gzip";
    node.write(FILE, containerdConfig(OUR_DECODER).replace(id, "mine"));
    expect(await findings()).toContain("error ambiguous-stream-processor");
  });

  it("without a configuration are those of imgcrypt", async () => {
    node.write(FILE, "version = 2\n");
    expect(await findings()).toEqual(["error zstd", "warning no-payload"]);
  });
});

describe("a decoder", () => {
  it.each(["/usr/local/bin/absent", "absent", "/etc/containerd/config.toml", "relative/path"])(
    "must be a program: %s",
    async (path) => {
      node.write(FILE, containerdConfig({ ...OUR_DECODER, path }));
      expect(await findings()).toEqual(["error decoder-missing"]);
    },
  );

  it("may be found by its name", async () => {
    node.write(FILE, containerdConfig({ ...OUR_DECODER, path: "ocicrypt-decoder" }));
    expect(await findings()).toEqual([]);
  });
});

describe("a client without payload", () => {
  const GO = containerdConfig({});

  it("is the CRI of containerd 2, with which Go's decoder fails", async () => {
    node.write(FILE, GO);
    expect(await findings()).toEqual(["error local-image-pull"]);
  });

  it("is not CRI with use_local_image_pull", async () => {
    node.write(FILE, containerdConfig({ more: LOCAL_PULL }));
    expect(await findings()).toEqual(["warning no-payload"]);
  });

  it("is not CRI of containerd 1", async () => {
    node.write(FILE, containerdConfig({ version: 2 }));
    expect(await findings()).toEqual(["warning no-payload"]);
    expect(await findings("containerd", "2")).toEqual(["error local-image-pull"]);
  });

  it("is CRI with another key model", async () => {
    const more = `[plugins."io.containerd.grpc.v1.cri".image_decryption]\nkey_model = ""\n`;
    node.write(FILE, containerdConfig({ version: 2, more }));
    expect(await findings()).toEqual(["error no-payload"]);
  });

  it("makes our decoder fail if it has no content store", async () => {
    node.write(FILE, containerdConfig({ ...OUR_DECODER, args: OUR_DECODER.args.slice(0, 2) }));
    expect(await findings()).toEqual(["error local-image-pull"]);
  });

  it("is always Docker", async () => {
    node.write("/etc/docker/daemon.json", '{"features":{"containerd-snapshotter":true}}');
    expect(await findings("docker")).toEqual([]);
    node.write(FILE, containerdConfig({ version: 2 }));
    expect(await findings("docker")).toEqual(["error no-payload"]);
  });

  it("is every client, for ids other than imgcrypt's", async () => {
    const config = containerdConfig({ version: 2 }).replace(`,"${TYPE}+zstd+encrypted"`, "");
    const zstd = `[stream_processors."io.containerd.ocicrypt.decoder.v1.tar.zstd"]
accepts = ["${TYPE}+zstd+encrypted"]
returns = "${TYPE}+zstd"
path = "/usr/local/bin/ctd-decoder"
args = ["--decryption-keys-path", "/etc/containerd/ocicrypt/keys"]
`;
    node.write(FILE, config + zstd);
    expect(await findings()).toEqual(["error zstd", "warning no-payload"]);
  });
});

describe("a content store", () => {
  it("must exist", async () => {
    const args = ["--decryption-keys-path", "/etc/containerd/ocicrypt/keys"];
    node.write(
      FILE,
      containerdConfig({ ...OUR_DECODER, args: [...args, "--content-store=/none"] }),
    );
    expect(await findings()).toEqual(["error content-store"]);
  });

  it("should be that of containerd's root", async () => {
    node.write(FILE, `root = "/data"\n${containerdConfig(OUR_DECODER)}`);
    expect(await findings()).toEqual(["warning content-store"]);
    node.directory("/data/io.containerd.content.v1.content");
    const args = OUR_DECODER.args.map((arg) => arg.replace(STORE, "/data/io.containerd.content.v1.content")); // prettier-ignore
    node.write(FILE, `root = "/data"\n${containerdConfig({ ...OUR_DECODER, args })}`);
    expect(await findings()).toEqual([]);
  });

  it("of k3s is under its own root", async () => {
    node.write(
      "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
      containerdConfig(OUR_DECODER),
    );
    expect(await findings("k3s")).toEqual(["warning content-store"]);
  });
});

describe("keys", () => {
  it("that our decoder follows or skips make Go's decoder fail", async () => {
    node.link("/etc/containerd/ocicrypt/keys/b.pem", "a.pem");
    node.write("/etc/containerd/ocicrypt/keys/README", "keys of this node");
    expect(await findings()).toEqual(["warning keys-ignored"]);
    node.write(FILE, containerdConfig({ version: 2 }));
    expect(await findings()).toEqual(["error keys-rejected", "warning no-payload"]);
  });

  it("of several directories are all read by our decoder, and the last one by Go's", async () => {
    const args = ["--decryption-keys-path=/none", ...OUR_DECODER.args];
    node.write(FILE, containerdConfig({ ...OUR_DECODER, args }));
    expect(await findings()).toEqual(["error keys-unreadable"]);
    node.write(FILE, containerdConfig({ version: 2, args: args.slice(0, 3) }));
    expect(await findings()).toEqual(["warning no-payload"]);
  });

  it("may come from clients only", async () => {
    node.write(FILE, containerdConfig({ ...OUR_DECODER, args: OUR_DECODER.args.slice(2) }));
    expect(await findings()).toEqual(["warning no-keys"]);
  });

  it("may come from key providers, whose programs must exist", async () => {
    const file = "/etc/ocicrypt/providers.json";
    const env = [`OCICRYPT_KEYPROVIDER_CONFIG=${file}`];
    node.write(FILE, containerdConfig({ ...OUR_DECODER, args: OUR_DECODER.args.slice(2), env }));
    expect(await findings()).toEqual(["error provider"]);
    const path = "/usr/bin/provider";
    node.write(file, JSON.stringify({ "key-providers": { p: { cmd: { path } } } }));
    expect(await findings()).toEqual(["error provider"]);
    node.program(path);
    expect(await findings()).toEqual([]);
  });
});
