import { execFileSync, spawn, type ChildProcess, type StdioOptions } from "node:child_process";
import { openSync, closeSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import { encryptLayer } from "../../src/index.js";
import { jwe } from "../../src/keywrap/jwe/index.js";
import type { Recipient } from "../../src/keywrap/types.js";
import type { Descriptor } from "../../src/spec/descriptor.js";
import { collect } from "../support/bytes.js";
import { digestOf, MANIFEST, TAR_GZIP } from "../support/image.js";
import { vectorFile } from "../support/vectors.js";

const DECODER = fileURLToPath(new URL("../../dist/runtime/decoder.js", import.meta.url));

/** The decoder, or the single-file build of it that `OCICRYPT_DECODER` names. */
export function decoderCommand(): string[] {
  const program = process.env.OCICRYPT_DECODER;
  return program === undefined ? [process.execPath, DECODER] : [program];
}

/** Directories that go with the test file. */
export function workDirectory(): () => string {
  const root = mkdtempSync(join(tmpdir(), "decoder-test-"));
  afterAll(() => {
    rmSync(root, { recursive: true, force: true });
  });
  return () => mkdtempSync(join(root, "d"));
}

export const peerKey = (name: string): Buffer => vectorFile(`peers/keys/${name}`);

export interface EncryptedLayer {
  plain: Buffer;
  cipher: Buffer;
  descriptor: Descriptor;
}

/** Encrypts a layer for a key of the vectors, by default an RSA key, or for another recipient. */
export async function encrypted(
  plain: Buffer,
  recipient: string | Recipient = "rsa2048.pub.pem",
  mediaType: string = TAR_GZIP,
): Promise<EncryptedLayer> {
  const layer = encryptLayer(plain, {
    descriptor: { mediaType, digest: digestOf(plain), size: plain.byteLength },
    recipients: [typeof recipient === "string" ? jwe.recipient(peerKey(recipient)) : recipient],
  });
  const cipher = await collect(layer.stream);
  return { plain, cipher, descriptor: await layer.finalize() };
}

const lengthDelimited = (tag: number, bytes: Buffer): Buffer => {
  const length = [];
  for (let rest = bytes.byteLength; ; rest = Math.floor(rest / 128)) {
    length.push((rest % 128) + (rest >= 128 ? 128 : 0));
    if (rest < 128) break;
  }
  return Buffer.concat([Buffer.from([tag, ...length]), bytes]);
};

/** A payload as imgcrypt's clients send it: a protobuf `Any` with JSON. */
export function payloadOf(
  descriptor: unknown,
  parameters: unknown = {},
  type = "io.containerd.ocicrypt.v1.Payload",
): Buffer {
  const json = { DecryptConfig: { Parameters: parameters }, Descriptor: descriptor };
  const value = lengthDelimited(0x12, Buffer.from(JSON.stringify(json)));
  return Buffer.concat([lengthDelimited(0x0a, Buffer.from(type)), value]);
}

/** A content store of containerd with these blobs. */
export function contentStore(directory: string, blobs: readonly (Buffer | string)[]): string {
  const store = join(directory, "store");
  mkdirSync(join(store, "blobs", "sha256"), { recursive: true });
  for (const blob of blobs) putInStore(store, blob);
  return store;
}

export function putInStore(store: string, blob: Buffer | string): string {
  const path = join(store, "blobs", ...digestOf(blob).split(":"));
  writeFileSync(path, blob);
  return path;
}

/** A manifest that names these layers. */
export function manifestOf(...layers: unknown[]): string {
  const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf("{}") };
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: { ...config, size: 2 },
    layers,
  });
}

/** A directory with one key of the vectors. */
export function keysDirectory(directory: string, ...names: string[]): string {
  const keys = join(directory, "keys");
  mkdirSync(keys);
  for (const name of names) writeFileSync(join(keys, name), peerKey(name), { mode: 0o400 });
  return keys;
}

export interface DecoderOptions {
  args?: readonly string[];
  env?: Record<string, string>;
  /** Standard input. Without it, the pipe stays open and empty. */
  input?: Buffer;
  /** Written to a file that becomes file descriptor 3. */
  payload?: Buffer;
  /** File descriptor 3, in place of a payload. */
  third?: number | "pipe" | "ignore";
}

export function startDecoder(
  directory: string,
  { args = [], env, payload, third }: DecoderOptions,
): ChildProcess {
  let fd = third;
  if (payload !== undefined) {
    const file = join(mkdtempSync(join(directory, "p")), "payload");
    writeFileSync(file, payload);
    fd = openSync(file, "r");
  }
  const stdio: StdioOptions = ["pipe", "pipe", "pipe", ...(fd === undefined ? [] : [fd])];
  const [program = "", ...before] = decoderCommand();
  const child = spawn(program, [...before, ...args], {
    stdio,
    env: { ...process.env, STREAM_PROCESSOR_MEDIATYPE: `${TAR_GZIP}+encrypted`, ...env },
  });
  if (typeof fd === "number") closeSync(fd);
  // The decoder need not read it.
  child.stdin?.on("error", () => undefined);
  return child;
}

export interface Outcome {
  status: number | null;
  output: Buffer;
  message: string;
}

export async function outcomeOf(child: ChildProcess): Promise<Outcome> {
  const closed = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [output, message, status] = await Promise.all([
    buffer(child.stdout!),
    text(child.stderr!),
    closed,
  ]);
  return { status, output, message };
}

/** Runs the decoder to its end. */
export function decoder(directory: string, options: DecoderOptions): Promise<Outcome> {
  const child = startDecoder(directory, options);
  if (options.input !== undefined) child.stdin!.end(options.input);
  return outcomeOf(child);
}

/** A pipe with a name. */
export function makePipe(directory: string, name: string): string {
  const path = join(directory, name);
  execFileSync("mkfifo", [path]);
  return path;
}
