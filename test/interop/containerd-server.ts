import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Client, credentials } from "@grpc/grpc-js";
import { afterAll } from "vitest";
import { ocicrypt, run, type RunResult } from "./peers.js";

const DECODER = fileURLToPath(new URL("../../dist/runtime/decoder.js", import.meta.url));
const TYPE = "application/vnd.oci.image.layer.v1.tar";

export interface ContainerdOptions {
  /** The program of both stream processors, by default ours, with these arguments. */
  program?: string;
  /** Without arguments, the configuration is that of `ocicrypt runtime config`, for these keys. */
  args?: (contentStore: string) => readonly string[];
  keys?: string;
  env?: readonly string[];
  /** The registry that CRI reaches without TLS. */
  registry: string;
  /** The directory of containerd 2.x, its shim and its ctr; by default, Debian's containerd 1.x is used. */
  programs?: string | undefined;
}

/** A containerd of its own, which goes with the test file. */
export interface Containerd {
  contentStore: string;
  socket: string;
  /** Runs `ctr` in a namespace, which shares no snapshot with any other. */
  ctr: (namespace: string, ...args: string[]) => Promise<RunResult>;
  /** Pulls an image as a kubelet does; rejects with the message of containerd. */
  criPull(reference: string): Promise<void>;
}

const children = new Set<ChildProcess>();

/** To be called in the file that uses {@link startContainerd}. */
export function stopContainerds(): void {
  afterAll(async () => {
    for (const child of children) {
      const closed = new Promise((resolve) => child.once("close", resolve));
      child.kill();
      await closed;
    }
  });
}

/** Our decoder as a program, which containerd can start. */
export function decoderProgram(directory: string): string {
  const file = join(directory, "ocicrypt-decoder");
  writeFileSync(file, `#!/bin/sh\nexec "${process.execPath}" "${DECODER}" "$@"\n`, { mode: 0o755 });
  return file;
}

/** Starts containerd; rejects with the end of its log if it cannot run here. */
export async function startContainerd(
  parent: string,
  options: ContainerdOptions,
): Promise<Containerd> {
  const { program = decoderProgram(parent), args, keys = "", env = [], programs } = options;
  const directory = mkdtempSync(join(parent, "c-"));
  const root = join(directory, "root");
  const socket = join(directory, "sock");
  const contentStore = join(root, "io.containerd.content.v1.content");
  const common = [
    `path = ${JSON.stringify(program)}`,
    `args = ${JSON.stringify(args?.(contentStore) ?? [])}`,
    `env = ${JSON.stringify(env)}`,
  ];
  const disabled = ["snapshotter.v1.aufs", "snapshotter.v1.btrfs", "snapshotter.v1.devmapper", "snapshotter.v1.zfs", "internal.v1.opt"]; // prettier-ignore
  const config = join(directory, "config.toml");
  writeFileSync(
    config,
    [
      `version = ${programs === undefined ? "2" : "3"}`,
      `imports = ["${directory}/conf.d/*.toml"]`,
      `root = "${root}"`,
      `state = "${join(directory, "state")}"`,
      `disabled_plugins = ${JSON.stringify(disabled.map((name) => `io.containerd.${name}`))}`,
      `[grpc]\naddress = "${socket}"`,
      ...(args === undefined
        ? []
        : [
            `[stream_processors."io.containerd.ocicrypt.decoder.v1.tar.gzip"]`,
            `accepts = ["${TYPE}+gzip+encrypted"]\nreturns = "${TYPE}+gzip"`,
            ...common,
            `[stream_processors."io.containerd.ocicrypt.decoder.v1.tar"]`,
            `accepts = ["${TYPE}+encrypted", "${TYPE}+zstd+encrypted"]`,
            `returns = "application/vnd.docker.image.rootfs.diff.tar"`,
            ...common,
          ]),
      ...(programs === undefined ? criSettings(options) : CRI_2_SETTINGS),
    ].join("\n"),
  );
  mkdirSync(join(directory, "state"));
  mkdirSync(join(directory, "conf.d"));
  if (args === undefined) {
    const { stdout } = await ocicrypt([
      "runtime",
      "config",
      "containerd",
      "--containerd",
      programs === undefined ? "1" : "2",
    ]);
    const printed = stdout
      .toString()
      .replaceAll("/usr/local/bin/ocicrypt-decoder", program)
      .replaceAll("/etc/containerd/ocicrypt/keys", keys)
      .replaceAll("/var/lib/containerd", root);
    writeFileSync(join(directory, "conf.d", "ocicrypt.toml"), printed);
  }
  // containerd finds its shim in PATH.
  const PATH = [...(programs === undefined ? [] : [programs]), process.env.PATH].join(delimiter);
  const child = spawn("containerd", ["--config", config], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, PATH },
  });
  children.add(child);
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => (log = `${log}${chunk.toString()}`.slice(-20_000)));
  child.once("close", () => children.delete(child));
  const ctr = async (namespace: string, ...rest: string[]): Promise<RunResult> => {
    const global = ["--address", socket, "--namespace", namespace];
    const env = { CONTAINERD_SNAPSHOTTER: "native", PATH };
    const result = await run("ctr", [...global, ...rest], { env });
    return { ...result, stderr: result.stderr.replace(/^.*DEPRECATION:.*\n/gm, "") };
  };
  for (let tries = 0; ; tries++) {
    if (!children.has(child) || tries > 100)
      throw new Error(`containerd does not start: ${log.slice(-2000)}`);
    // The last line of its start.
    if (log.includes("containerd successfully booted")) break;
    await setTimeout(100);
  }
  return { contentStore, socket, ctr, criPull: (reference) => criPull(socket, reference) };
}

/** Overlays do not work on every file system, such as that of a container. */
const SNAPSHOTTER = `snapshotter = "native"`;

function criSettings({ registry }: ContainerdOptions): string[] {
  const cri = `plugins."io.containerd.grpc.v1.cri"`;
  return [
    `[${cri}.image_decryption]\nkey_model = "node"`,
    `[${cri}.containerd]\n${SNAPSHOTTER}`,
    `[${cri}.registry.mirrors."${registry}"]\nendpoint = ["http://${registry}"]`,
  ];
}

/** Pulls go through the transfer service, which reaches a registry of this machine without TLS. */
const CRI_2_SETTINGS = [
  `[plugins."io.containerd.cri.v1.images"]\n${SNAPSHOTTER}`,
  `[plugins."io.containerd.transfer.v1.local"]`,
  `unpack_config = [{ platform = "linux", ${SNAPSHOTTER} }]`,
];

/** `PullImage` of https://github.com/kubernetes/cri-api: field 1 of field 1 is the reference. */
function criPull(socket: string, reference: string): Promise<void> {
  const field = (bytes: Buffer): Buffer => {
    if (bytes.byteLength > 127) throw new RangeError("the reference is too long");
    return Buffer.concat([Buffer.from([0x0a, bytes.byteLength]), bytes]);
  };
  const client = new Client(`unix://${socket}`, credentials.createInsecure());
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      "/runtime.v1.ImageService/PullImage",
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      field(field(Buffer.from(reference))),
      (error) => {
        client.close();
        if (error === null) resolve();
        else reject(new Error(error.details));
      },
    );
  });
}

/** The files of a content store. */
export function storedBlob(contentStore: string, digest: string): Buffer {
  return readFileSync(join(contentStore, "blobs", ...digest.split(":")));
}
