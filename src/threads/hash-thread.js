// Runs on a thread of its own: takes parts from shared memory, in order, and hashes them. It is
// JavaScript, so that it runs from the sources too: a thread does not go through the test runner.
import { createHash, createHmac } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";

/** The layout of `control` and the operations are described in pool.ts. */
const { control, memory, words, operations } = workerData;
const bytes = new Uint8Array(memory);
const hashes = new Map();

function open(lane, hash) {
  hashes.set(lane, hash);
}

const perform = {
  [operations.sha256]: (lane) => open(lane, createHash("sha256")),
  [operations.sha512]: (lane) => open(lane, createHash("sha512")),
  [operations.hmacSha256]: (lane, start, end) => {
    const key = bytes.subarray(start, end);
    open(lane, createHmac("sha256", key));
    key.fill(0);
  },
  [operations.update]: (lane, start, end) => hashes.get(lane).update(bytes.subarray(start, end)),
  [operations.digest]: (lane, start) => bytes.set(hashes.get(lane).digest(), start),
  [operations.close]: (lane) => hashes.delete(lane),
};

parentPort.postMessage("ready");

for (let done = 0; ;) {
  if (Atomics.load(control, words.sent) === done) {
    Atomics.wait(control, words.sent, done);
    continue;
  }
  const at = words.entries + (done & (words.capacity - 1)) * 4;
  perform[control[at]](control[at + 1], control[at + 2], control[at + 3]);
  done = (done + 1) | 0;
  Atomics.store(control, words.done, done);
  const isWanted = ((done - Atomics.load(control, words.wanted)) | 0) >= 0;
  if (isWanted && Atomics.compareExchange(control, words.waiting, 1, 0) === 1) {
    parentPort.postMessage("done");
  }
}
