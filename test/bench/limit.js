// The machine's limit: the passes over the bytes spread over all cores, with nothing around them.
//   node test/bench/limit.js FROM TO: reads the layers of a layout, and writes them to a directory.
import { randomBytes } from "node:crypto";
import { mkdirSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { closeSync, writeFileSync, writeSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { openPasses, primitives } from "./primitives.js";

const PART = 128 * 1024;
/** Smaller blobs are no layers. */
const SMALL = 64 * 1024;
const CORES = availableParallelism();

/** Gives each core its share of a job. Returns the most seconds that a share took. */
async function spread(job) {
  const shares = Array.from({ length: CORES }, (_, share) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { ...job, share } });
    return new Promise((resolve, reject) => {
      worker.once("message", resolve).once("error", reject);
    });
  });
  return Math.max(...(await Promise.all(shares)));
}

/** Returns the seconds for the passes over chunks of a size, on all cores at once. */
export function spreadPrimitives(size, count) {
  return spread({ size, count: Math.ceil(count / CORES) });
}

/** Reads, passes over and writes one share of each file. */
function copyShare(files, share) {
  const buffer = Buffer.alloc(PART);
  for (const { from, to, size } of files) {
    const [input, output] = [openSync(from, "r"), openSync(to, "r+")];
    const passes = openPasses();
    const end = Math.floor((size * (share + 1)) / CORES);
    for (let at = Math.floor((size * share) / CORES); at < end;) {
      const length = readSync(input, buffer, 0, Math.min(PART, end - at), at);
      writeSync(output, passes.update(buffer.subarray(0, length)), 0, length, at);
      at += length;
    }
    passes.finish();
    closeSync(input);
    closeSync(output);
  }
}

if (!isMainThread) {
  const { size, count, files, share } = workerData;
  const start = performance.now();
  if (files === undefined) parentPort.postMessage(primitives(randomBytes(size), count));
  else {
    copyShare(files, share);
    parentPort.postMessage((performance.now() - start) / 1000);
  }
} else if (process.argv[1] === import.meta.filename) {
  const [from, to] = process.argv.slice(2);
  const blobs = join(from, "blobs/sha256");
  mkdirSync(to);
  const files = readdirSync(blobs)
    .map((name) => ({ from: join(blobs, name), to: join(to, name) }))
    .map((file) => ({ ...file, size: statSync(file.from).size }))
    .filter(({ size }) => size > SMALL);
  for (const file of files) writeFileSync(file.to, "");
  await spread({ files });
}
