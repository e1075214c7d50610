// Reads generated documents with this library and with Go's encoding/json, and compares what both
// accept: node run.js --reader PROGRAM, where PROGRAM is built from main.go beside this.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { createRandom } from "../../fuzz/random.js";
import { generate } from "./documents.js";
import { differences, readHere } from "./readers.js";

const { values } = parseArgs({
  options: {
    reader: { type: "string" },
    seed: { type: "string", default: "1" },
    count: { type: "string", default: "100000" },
  },
});
const BATCH = 200;

const reader = spawn(values.reader, { stdio: ["pipe", "pipe", "inherit"] });
const answers = createInterface({ input: reader.stdout })[Symbol.asyncIterator]();

/** The results of Go for documents, in order. */
async function readInGo(documents) {
  const lines = documents.map(({ kind, bytes }) => `${kind} ${bytes.toString("base64")}\n`);
  reader.stdin.write(lines.join(""));
  const read = [];
  for (let i = 0; i < documents.length; i++) {
    const { value, done } = await answers.next();
    if (done) throw new Error("the Go program ended early");
    read.push(JSON.parse(value));
  }
  return read;
}

const random = createRandom(Number(values.seed));
const count = Number(values.count);
const counts = { both: 0, here: 0, go: 0, neither: 0 };
let different = 0;
for (let done = 0; done < count; done += BATCH) {
  const size = Math.min(BATCH, count - done);
  const documents = Array.from({ length: size }, () => generate(random));
  const inGo = await readInGo(documents);
  for (const [i, { kind, bytes }] of documents.entries()) {
    const go = inGo[i];
    const here = readHere(kind, bytes);
    if (here === undefined || go === null) {
      counts[here !== undefined ? "here" : go !== null ? "go" : "neither"]++;
      continue;
    }
    counts.both++;
    const found = differences(kind, here, go);
    if (found.length === 0) continue;
    different++;
    console.log(`\n${kind} ${JSON.stringify(bytes.toString("latin1"))}\n  ${found.join("\n  ")}`);
  }
}
reader.stdin.end();
console.log(
  `${String(count)} documents with seed ${values.seed}: ${String(counts.both)} accepted by both, ` +
    `${String(counts.here)} here alone, ${String(counts.go)} by Go alone, ` +
    `${String(counts.neither)} by neither; ${String(different)} differences`,
);
process.exitCode = different === 0 ? 0 : 1;
