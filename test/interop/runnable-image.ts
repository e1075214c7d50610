import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pack } from "tar-stream";
import { expect } from "vitest";
import { collect } from "../support/bytes.js";
import { layerOf, layoutOf, TAR_GZIP, type Layer } from "../support/image.js";
import type { Containerd } from "./containerd-server.js";
import { keyFile, ocicrypt } from "./peers.js";

const BUSYBOX = "/bin/busybox";

/** A tar archive of one file, which can be run. */
function tarOf(name: string, content: Buffer | string): Promise<Buffer> {
  const archive = pack();
  archive.entry({ name, mode: 0o755 }, content);
  archive.finalize();
  return collect(archive as AsyncIterable<Uint8Array>);
}

/** The layers of an image that prints `from NAME`; no two have the same diffID. */
export async function layersFor(name: string, mediaType: string): Promise<Layer[]> {
  const program = await tarOf("bin/busybox", readFileSync(BUSYBOX));
  const text = await tarOf("text", `from ${name} ${randomBytes(8).toString("hex")}\n`);
  return [program, text].map((content) => layerOf(content, { mediaType }));
}

/** Makes an OCI layout with an image that prints `from NAME`. */
export async function makeLayout(
  parent: string,
  name: string,
  mediaType: string = TAR_GZIP,
): Promise<string> {
  const layout = join(parent, name);
  await layoutOf(layout, await layersFor(name, mediaType));
  return layout;
}

/** Runs our command, which must succeed. */
export async function command(...args: string[]): Promise<void> {
  const { status, stderr } = await ocicrypt(args);
  expect([status, status === 0 ? "" : stderr]).toEqual([0, ""]);
}

/** Runs an image in a namespace; returns what it prints. */
export async function runImage(
  { ctr }: Containerd,
  namespace: string,
  reference: string,
): Promise<string> {
  const { status, stdout, stderr } = await ctr(
    ...[namespace, "run", "--rm", "--snapshotter", "native", reference],
    ...[`c-${namespace}`, BUSYBOX, "cat", "/text"],
  );
  expect([status, status === 0 ? "" : stderr]).toEqual([0, ""]);
  return stdout.toString();
}

/** Pulls as `ctr` does, which sends no payload; returns its exit status and its message. */
export async function pull(
  { ctr }: Containerd,
  namespace: string,
  reference: string,
): Promise<[number, string]> {
  const { status, stderr } = await ctr(
    ...[namespace, "images", "pull", "--plain-http", "--snapshotter", "native", reference],
  );
  return [status, stderr];
}

/** A keys directory as the kubelet mounts a Secret, with files that are no keys. */
export function mountSecret(parent: string): string {
  const keys = join(parent, "keys");
  mkdirSync(join(keys, "..data"), { recursive: true });
  const add = (name: string, content: string | Buffer): void => {
    writeFileSync(join(keys, "..data", name), content, { mode: 0o400 });
    symlinkSync(join("..data", name), join(keys, name));
  };
  add("locked.pem", readFileSync(keyFile("rsa2048.pkcs8.enc-v2.pem")));
  add("locked.pem.password", "secret\n");
  add("ec.pem", readFileSync(keyFile("ec256.pkcs8.pem")));
  add("README.txt", "The keys of this node.\n");
  return keys;
}
