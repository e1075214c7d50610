import { parse } from "smol-toml";
import { describe, expect, it } from "vitest";
import { runtimeConfig } from "../../src/runtime/config.js";
import { RUNTIMES } from "../../src/runtime/runtimes.js";

const TYPE = "application/vnd.oci.image.layer.v1.tar";

interface Processor {
  accepts: string[];
  returns: string;
  path: string;
  args: string[];
}

const processorsOf = (toml: string): Record<string, Processor> =>
  parse(toml).stream_processors as unknown as Record<string, Processor>;

// The configuration with which imgcrypt's documentation and this project's tests ran containerd.
function expectProcessors(toml: string, store: string): void {
  const processors = processorsOf(toml);
  expect(Object.keys(processors).sort()).toEqual([
    "io.containerd.ocicrypt.decoder.v1.tar",
    "io.containerd.ocicrypt.decoder.v1.tar.gzip",
  ]);
  const accepted = Object.values(processors).flatMap(({ accepts }) => accepts);
  expect(accepted.sort()).toEqual(["", "+gzip", "+zstd"].map((each) => `${TYPE}${each}+encrypted`));
  for (const { path, args } of Object.values(processors)) {
    expect(path).toBe("/usr/local/bin/ocicrypt-decoder");
    expect(args).toEqual([
      ...["--decryption-keys-path", "/etc/containerd/ocicrypt/keys"],
      ...["--content-store", store],
    ]);
  }
}

describe("the configuration", () => {
  it.each([
    ["1", 2],
    ["2", 3],
    [undefined, 3],
  ] as const)("for containerd %s has version %i", (generation, version) => {
    const { content, file } = runtimeConfig("containerd", generation);
    expect(file).toBe("/etc/containerd/conf.d/ocicrypt.toml");
    expect(parse(content).version).toBe(version);
    expectProcessors(content, "/var/lib/containerd/io.containerd.content.v1.content");
  });

  it("changes no plugin, because an imported file replaces whole plugins in containerd 1.x", () => {
    expect(Object.keys(parse(runtimeConfig("containerd", "1").content)).sort()).toEqual([
      "stream_processors",
      "version",
    ]);
  });

  it("for Docker shows the setting for Docker's own file", () => {
    const { content } = runtimeConfig("docker");
    expect(content).toContain(`# `.concat(`  { "features": { "containerd-snapshotter": true } }`));
    expectProcessors(content, "/var/lib/containerd/io.containerd.content.v1.content");
  });

  it.each([
    ["1", "config.toml.tmpl"],
    ["2", "config-v3.toml.tmpl"],
  ] as const)("for k3s with containerd %s is a template %s", (generation, name) => {
    const { content, file } = runtimeConfig("k3s", generation);
    expect(file).toBe(`/var/lib/rancher/k3s/agent/etc/containerd/${name}`);
    const [first, ...rest] = content.split("\n");
    expect(first).toBe('{{ template "base" . }}');
    expectProcessors(
      rest.join("\n"),
      "/var/lib/rancher/k3s/agent/containerd/io.containerd.content.v1.content",
    );
  });

  it("for CRI-O names the keys directory", () => {
    expect(parse(runtimeConfig("crio").content)).toEqual({
      crio: { runtime: { decryption_keys_path: "/etc/crio/keys/" } },
    });
  });

  it("for podman names the configuration of key providers", () => {
    expect(parse(runtimeConfig("podman").content)).toEqual({
      engine: {
        env: ["OCICRYPT_KEYPROVIDER_CONFIG=/etc/containers/ocicrypt_keyprovider.conf"],
      },
    });
  });

  it.each(RUNTIMES)("for %s names its file in a comment", (runtime) => {
    const { content, file } = runtimeConfig(runtime);
    expect(content).toContain(`# ${file}`);
  });
});
