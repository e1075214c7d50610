import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runtimeConfig } from "../../src/runtime/config.js";
import type { ContainerdGeneration } from "../../src/runtime/runtimes.js";

const KEYS = new URL("../../vectors/peers/keys/", import.meta.url);

/** The files of a node under a directory of their own. */
export interface TestNode {
  root: string;
  write(path: string, content: string): void;
  /** Writes a program that can be run. */
  program(path: string): void;
  directory(path: string): void;
  key(path: string, name?: string): void;
  link(path: string, target: string): void;
}

export function testNode(parent: string): TestNode {
  const root = mkdtempSync(join(parent, "node-"));
  const at = (path: string): string => {
    const place = join(root, path);
    mkdirSync(dirname(place), { recursive: true });
    return place;
  };
  const write = (path: string, content: string): void => {
    writeFileSync(at(path), content);
  };
  return {
    root,
    write,
    program(path) {
      write(path, "#!/bin/sh\n");
      chmodSync(at(path), 0o755);
    },
    directory(path) {
      mkdirSync(at(path), { recursive: true });
    },
    key(path, name = "rsa2048.pkcs8.pem") {
      copyFileSync(fileURLToPath(new URL(name, KEYS)), at(path));
    },
    link(path, target) {
      symlinkSync(target, at(path));
    },
  };
}

export const STORE = "/var/lib/containerd/io.containerd.content.v1.content";

/** A node on which everything works, with our decoder. */
export function workingNode(parent: string, generation: ContainerdGeneration = "2"): TestNode {
  const node = testNode(parent);
  node.write("/etc/containerd/config.toml", runtimeConfig("containerd", generation).content);
  node.program("/usr/local/bin/ocicrypt-decoder");
  node.key("/etc/containerd/ocicrypt/keys/a.pem");
  node.directory(STORE);
  return node;
}

/** A configuration of containerd with one decoder for all types, under imgcrypt's ids. */
export function containerdConfig({
  version = 3,
  path = "/usr/local/bin/ctd-decoder",
  args = ["--decryption-keys-path", "/etc/containerd/ocicrypt/keys"],
  env = [],
  more = "",
}: {
  version?: number;
  path?: string;
  args?: readonly string[];
  env?: readonly string[];
  more?: string;
}): string {
  const type = "application/vnd.oci.image.layer.v1.tar";
  const processor = (suffix: string, accepts: readonly string[]): string =>
    [
      `[stream_processors."io.containerd.ocicrypt.decoder.v1.tar${suffix}"]`,
      `accepts = ${JSON.stringify(accepts)}`,
      `returns = "application/vnd.docker.image.rootfs.diff.tar"`,
      `path = ${JSON.stringify(path)}`,
      `args = ${JSON.stringify(args)}`,
      `env = ${JSON.stringify(env)}`,
    ].join("\n");
  return [
    `version = ${String(version)}`,
    processor("", [`${type}+encrypted`, `${type}+zstd+encrypted`]),
    processor(".gzip", [`${type}+gzip+encrypted`]),
    more,
  ].join("\n");
}

export const OUR_DECODER = {
  path: "/usr/local/bin/ocicrypt-decoder",
  args: ["--decryption-keys-path", "/etc/containerd/ocicrypt/keys", "--content-store", STORE],
};
