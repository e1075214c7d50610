// Fuzzes the parsers of the built library: npm run fuzz -- [options]; docs/testing.md describes it.
import { fork } from "node:child_process";
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ERROR_TEXTS } from "../../dist/cli/errors.js";
import { TARGETS } from "./targets.js";

const HERE = fileURLToPath(new URL(".", import.meta.url));
/** Without a sign of life for so long, a target hangs; a busy machine is slow. */
const SILENCE = 60_000;

const { values } = parseArgs({
  options: {
    /** One or more of the names that --list prints. */
    target: { type: "string", multiple: true },
    seed: { type: "string", default: "1" },
    /** Inputs in all, divided among the targets. */
    count: { type: "string" },
    /** Seconds in all. */
    seconds: { type: "string" },
    /** Processes at a time. */
    jobs: { type: "string", default: String(availableParallelism()) },
    /** Runs this one input of one target, to see what it does. */
    input: { type: "string" },
    /** Where inputs that ran new code are kept, and read from at the next run. */
    corpus: { type: "string" },
    list: { type: "boolean", default: false },
  },
});

const names = values.target ?? [...TARGETS.keys()];
for (const name of names) {
  if (!TARGETS.has(name)) throw new Error(`there is no target ${name}; --list prints them`);
}
if (values.list) {
  console.log(names.join("\n"));
  process.exit();
}

const jobs = Number(values.jobs);
const seconds = Number(values.seconds ?? (values.count === undefined ? 60 : Infinity));
const shares = names.reduce((sum, name) => sum + (TARGETS.get(name).share ?? 1), 0);
const milliseconds = (seconds * 1000 * jobs) / names.length;

/** How many of the inputs a target gets: fewer where each takes long. */
function countOf(name) {
  const all = Number(values.count ?? Number.MAX_SAFE_INTEGER);
  return Math.ceil((all * (TARGETS.get(name).share ?? 1)) / shares);
}
const scratch = mkdtempSync(join(tmpdir(), "ocicrypt-fuzz-"));
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
const findings = join(HERE, "findings");
let problems = 0;
let total = 0;
let slowest = 0;
let growth = 0;

function report(target, problem, input) {
  problems++;
  const path = join(findings, `${target}-${String(problems)}`);
  mkdirSync(findings, { recursive: true });
  writeFileSync(path, input);
  console.log(`\nFOUND in ${target}, saved as ${path}:\n${problem}\n`);
}

/** The input of a process when it ended or stopped responding. */
function currentInput(path) {
  let bytes;
  try {
    bytes = readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
  return bytes.length < 4 ? bytes : bytes.subarray(4, 4 + bytes.readUInt32LE(0));
}

function fuzz(target, index) {
  const current = join(scratch, target);
  const options = {
    target,
    current,
    seed: Number(values.seed) * 1000 + index,
    count: countOf(target),
    // JSON has no infinity.
    milliseconds: Math.min(milliseconds, Number.MAX_SAFE_INTEGER),
    codes: Object.keys(ERROR_TEXTS),
    ...(values.input !== undefined && { input: values.input }),
    corpus: join(values.corpus ?? join(HERE, "corpus"), target),
    ...(values.corpus !== undefined && { save: join(values.corpus, target) }),
  };
  return new Promise((resolve) => {
    const worker = fork(join(HERE, "worker.js"), [JSON.stringify(options)], {
      execArgv: ["--expose-gc", "--max-semi-space-size=8", "--max-old-space-size=192"],
      env: { ...process.env, TMPDIR: scratch },
    });
    let ended = false;
    let timer;
    const watch = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        report(target, `no answer for ${String(SILENCE / 1000)} seconds`, currentInput(current));
        ended = true;
        worker.kill("SIGKILL");
      }, SILENCE);
    };
    watch();
    worker.on("message", (message) => {
      watch();
      if (message.kind === "problem") {
        report(target, message.problem, Buffer.from(message.input, "base64"));
      } else if (message.kind === "end") {
        ended = true;
        summarize(target, message);
      }
    });
    worker.on("exit", (code, signal) => {
      clearTimeout(timer);
      if (!ended) report(target, `it ended with ${String(signal ?? code)}`, currentInput(current));
      resolve();
    });
  });
}

function describeWorst(milliseconds, bytes) {
  const memory = `${String(Math.round(bytes / 1024 / 1024))} MiB`;
  return `slowest ${String(Math.round(milliseconds))} ms, largest growth ${memory}`;
}

function summarize(target, { runs, seeds, kept, blocks, outcomes, seconds: took, worst, problem }) {
  const counted = outcomes
    .sort(([, a], [, b]) => b - a)
    .map(([name, number]) => `${name} ${String(number)}`)
    .join(", ");
  if (runs === undefined) {
    console.log(problem ?? `nothing wrong: ${counted}`);
    if (problem !== undefined) problems++;
    return;
  }
  total += runs;
  slowest = Math.max(slowest, worst.elapsed);
  growth = Math.max(growth, worst.growth);
  console.log(
    `${target}: ${String(runs)} inputs in ${took.toFixed(1)} s from ${String(seeds)} seeds, ` +
      `${String(kept)} kept, ${String(blocks)} blocks of code; ` +
      `${describeWorst(worst.elapsed, worst.growth)}\n  ${counted}`,
  );
}

const queue = names.entries();
await Promise.all(
  Array.from({ length: jobs }, async () => {
    for (const [index, name] of queue) await fuzz(name, index);
  }),
);
if (values.input === undefined) {
  console.log(
    `\n${String(total)} inputs, ${String(problems)} findings; seed ${values.seed}, ` +
      describeWorst(slowest, growth),
  );
}
process.exitCode = problems === 0 ? 0 : 1;
