import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { afterAll, expect, type TestContext } from "vitest";

export const VECTORS: string = fileURLToPath(new URL("../../vectors/", import.meta.url));
export const COMMAND: string = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** The image that the layouts of `vectors/peers` encrypt. */
export const PLAIN_LAYOUT: string = join(VECTORS, "peers", "layouts", "plain");

/** A key of `vectors/peers`. */
export function keyFile(name: string): string {
  return join(VECTORS, "peers", "keys", name);
}

/** Whether a missing peer is a failure and not a reason to skip. */
export const IS_CI: boolean = process.env.CI === "true";

/** A directory that goes with the test file. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "ocicrypt-interop-"));
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

/** Skips a test by the name of what is missing; in CI, where everything must be there, fails it. */
export function requirePeer(context: TestContext, peer: string, isThere: boolean): void {
  if (isThere) return;
  if (IS_CI) throw new Error(`${peer} is missing, and CI must have it`);
  context.skip(`${peer} is not installed`);
}

/** Whether a program runs here. */
export function hasProgram(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

export interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  input?: Uint8Array;
}

export interface RunResult {
  status: number;
  stdout: Buffer;
  stderr: string;
}

/** Runs a program to its end. */
export async function run(
  program: string,
  args: readonly string[],
  { cwd, env, input }: RunOptions = {},
): Promise<RunResult> {
  const child = promisify(execFile)(program, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: "buffer",
    maxBuffer: 256 * 1024 * 1024,
  });
  child.child.stdin?.on("error", () => undefined).end(input);
  try {
    const { stdout, stderr } = await child;
    return { status: 0, stdout, stderr: stderr.toString() };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: Buffer; stderr: Buffer };
    if (typeof code !== "number") throw error;
    return { status: code, stdout, stderr: stderr.toString() };
  }
}

/** Runs a program, which has to succeed, and returns what it prints. */
export async function succeed(...args: Parameters<typeof run>): Promise<Buffer> {
  const { status, stdout, stderr } = await run(...args);
  expect(status, stderr).toBe(0);
  return stdout;
}

/** Runs skopeo, which has to succeed with nothing but warnings, and returns what it prints. */
export async function skopeo(...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await run("skopeo", args);
  expect(stderr.replace(/.*level=warning.*\n/g, "")).toBe("");
  expect(status).toBe(0);
  return stdout.toString();
}

/** The command of this package. */
export function ocicrypt(args: readonly string[], options?: RunOptions): Promise<RunResult> {
  return run(process.execPath, [COMMAND, ...args], options);
}

/** The Go program of `vectors/`, built into a directory; `undefined` without Go. */
export function buildGoProgram(directory: string): string | undefined {
  if (!hasProgram("go", "version")) return undefined;
  const program = join(directory, "ocicrypt-vectors");
  execFileSync("go", ["build", "-o", program, "."], { cwd: VECTORS });
  return program;
}

/** Builds Go peers into a directory. */
export async function buildPeers(directory: string, ...names: readonly string[]): Promise<void> {
  const script = fileURLToPath(new URL("build-peers.sh", import.meta.url));
  const { status, stderr } = await run(script, [directory, ...names]);
  if (status !== 0) throw new Error(stderr);
}

export interface GoPeers {
  ocicrypt132: string;
  ocicrypt1110: string;
  imageCopy: string;
}

/** The Go peers that open layers, by `build-peers.sh`; `undefined` without Go. */
export async function buildGoPeers(directory: string): Promise<GoPeers | undefined> {
  if (!hasProgram("go", "version")) return undefined;
  await buildPeers(directory, "ocicrypt", "image-copy");
  return {
    ocicrypt132: join(directory, "ocicrypt-1.3.2"),
    ocicrypt1110: join(directory, "ocicrypt-1.1.10"),
    imageCopy: join(directory, "image-copy"),
  };
}

/** The version of a module inside a Go program; `undefined` where that is not recorded. */
export function goModuleVersion(program: string, module: string): string | undefined {
  const command = ["-c", 'go version -m "$(command -v "$1")"', "sh", program];
  if (!hasProgram("sh", ...command)) return undefined;
  const text = execFileSync("sh", command, { encoding: "utf8" });
  return text
    .split("\n")
    .map((line) => line.trim().split("\t"))
    .find(([kind, path]) => kind === "dep" && path === module)?.[2]
    ?.replace(/^v/, "");
}

export interface LayoutLayer {
  mediaType: string;
  bytes: Buffer;
  annotations: Readonly<Record<string, string>>;
}

/** The layers of the only image of a layout, read without this library. */
export function layoutLayers(directory: string): LayoutLayer[] {
  interface Descriptor {
    digest: string;
    mediaType: string;
    annotations?: Record<string, string>;
  }
  const json = (file: string): Record<string, Descriptor[]> =>
    JSON.parse(readFileSync(join(directory, file), "utf8")) as never;
  const blob = (digest: string): string => join("blobs", ...digest.split(":"));
  const [image] = json("index.json").manifests ?? [];
  const { layers = [] } = json(blob(image?.digest ?? ""));
  return layers.map(({ mediaType, digest, annotations = {} }) => ({
    mediaType,
    annotations,
    bytes: readFileSync(join(directory, blob(digest))),
  }));
}

/** The digests of a layout's layers without their compression. */
export function diffIds(directory: string): string[] {
  return layoutLayers(directory).map(({ bytes }) => {
    const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
    return `sha256:${createHash("sha256")
      .update(isGzip ? gunzipSync(bytes) : bytes)
      .digest("hex")}`;
  });
}
