import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { run as runCommand, runProgram, type Outcome } from "../support/command.js";
import { layerOf, layoutOf, snapshot, TAR, temporaryDirectories } from "../support/image.js";
import { vectorFile } from "../support/vectors.js";
import { writeFile } from "node:fs/promises";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const directory = temporaryDirectories();

/** A program that does one thing and does not end itself. */
const program = (options: string): string => `
import { readFileSync } from "node:fs";
import { encryptImage } from "ocicrypt/image";
import { jwe } from "ocicrypt/jwe";
import { layoutDestination, layoutSource } from "ocicrypt/store";
const [from, to, key] = process.argv.slice(1);
const abort = new AbortController();
const { image } = await encryptImage(
  layoutSource({ path: from }),
  await layoutDestination({ path: to, tag: "latest" }),
  { recipients: [jwe.recipient(readFileSync(key))], signal: abort.signal, ${options} },
).catch((error) => ({ image: { digest: error.message } }));
console.log(image.digest);
`;

/** Runs the program on an image with a long layer; returns what it printed. */
async function run(options: string): Promise<{ printed: string; destination: string }> {
  const [from, key] = [directory(), join(directory(), "public.pem")];
  const destination = join(directory(), "new");
  const layers = [1].map((i) => layerOf(randomBytes(70_000_000 + i), { mediaType: TAR }));
  await layoutOf(from, layers);
  await writeFile(key, vectorFile("keys/rsa-2048.pub.pem"));
  const code = program(options);
  const args = ["--input-type=module", "-e", code, from, destination, key];
  const { status, stdout, stderr } = await runProgram(process.execPath, args, { cwd: ROOT });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return { printed: stdout, destination };
}

it.each([0, 1, 3])("a program that encrypts with %i threads ends by itself", async (threads) => {
  const { printed, destination } = await run(`threads: ${String(threads)}`);
  expect(printed).toMatch(/^sha256:/);
  expect(Object.keys(await snapshot(destination)).length).toBeGreaterThan(3);
});

/**
 * Encrypts an image with a long layer with the command.
 *
 * @param ready what the process does once a thread runs, which is `worker`
 */
async function runThreads(
  threads: number,
  ready: string,
): Promise<Outcome & { destination: string }> {
  const [from, destination] = [directory(), join(directory(), "new")];
  await layoutOf(from, [layerOf(randomBytes(70_000_000), { mediaType: TAR })]);
  const watch = `process.on("worker", (worker) => worker.once("message", () => ${ready}))`;
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(watch)}` };
  const key = `jwe:${join(ROOT, "vectors/keys/rsa-2048.pub.pem")}`;
  const places = [`oci:${from}`, `oci:${destination}`];
  const args = ["encrypt", "-q", ...places, "-r", key, "--threads", String(threads)];
  return { ...(await runCommand(args, { env })), destination };
}

it.each([
  [0, ""],
  [1, "thread\n"],
  [2, "thread\nthread\n"],
])("the command with --threads %i runs the file of threads as often", async (threads, printed) => {
  const print = 'process.stderr.write("thread\\n")';
  const outcome = await runThreads(threads, print);
  expect(outcome).toMatchObject({ status: 0, stderr: printed });
});

it("the command writes nothing when SIGINT arrives while a thread hashes", async () => {
  const outcome = await runThreads(1, 'process.kill(process.pid, "SIGINT")');
  expect(outcome.status).toBe(130);
  expect(outcome.stderr).toBe("ocicrypt: interrupted; the destination is unchanged\n");
  expect(await snapshot(outcome.destination)).toEqual({ absent: "" });
});

it("the command writes nothing when a thread dies", async () => {
  const outcome = await runThreads(1, "worker.terminate()");
  expect(outcome.status).toBe(1);
  expect(outcome.stderr).toContain("(THREAD_FAILED)");
  expect(await snapshot(outcome.destination)).toEqual({ absent: "" });
});

it("a program that aborts ends by itself, and has written nothing", async () => {
  const stop = "bytes > 5_000_000 && abort.abort(new Error('enough'))";
  const { printed, destination } = await run(`threads: 2, onProgress: ({ bytes }) => ${stop}`);
  expect(printed).toBe("enough\n");
  expect(await snapshot(destination)).toEqual({ absent: "" });
});

it("a program that leaves a stream unread ends by itself", async () => {
  const code = `
import { readFileSync } from "node:fs";
import { encryptLayer } from "ocicrypt";
import { jwe } from "ocicrypt/jwe";
const size = 70_000_000;
const { stream } = encryptLayer(new Uint8Array(size), {
  descriptor: { mediaType: "application/vnd.oci.image.layer.v1.tar", size },
  recipients: [jwe.recipient(readFileSync("vectors/keys/rsa-2048.pub.pem"))],
  threads: 2,
});
const reader = stream.getReader();
for (let i = 0; i < 50; i++) await reader.read();
console.log("done");
`;
  const args = ["--input-type=module", "-e", code];
  const { status, stdout } = await runProgram(process.execPath, args, { cwd: ROOT });
  expect({ status, stdout }).toEqual({ status: 0, stdout: "done\n" });
});
