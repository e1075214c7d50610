// Fuzzes one target in a process of its own, which run.js watches: `node worker.js OPTIONS` with
// the options as JSON. Reports go to the parent.
import { readdirSync, readFileSync, openSync, writeSync, mkdirSync, writeFileSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { join } from "node:path";
import { createHash } from "node:crypto";
import { OcicryptError } from "ocicrypt";
import { createCoverage } from "./coverage.js";
import { mutate } from "./mutate.js";
import { createRandom } from "./random.js";
import { TARGETS } from "./targets.js";

const MAX_MILLISECONDS = 1000;
const MAX_GROWTH = 256 * 1024 * 1024;
const BATCH = 64;
/** A message with any of these is not ours. */
const FOREIGN =
  /error:[0-9A-F]{8}|OSSL|_routines|routines::|digital envelope|Invalid typed array|undefined is not|Cannot read|is not a function|is not iterable|Unexpected token|out of range/i;

const options = JSON.parse(process.argv[2]);
const target = TARGETS.get(options.target);
const random = createRandom(options.seed);
const inputs = [...(await target.seeds()), ...savedInputs()];
const outcomes = new Map();
/** The most that one input took, in milliseconds and in bytes. */
const worst = { elapsed: 0, growth: 0 };
/** The input that runs, for the parent in case this process does not come back from it. */
const current = openSync(options.current, "w");

setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
let unhandled;
process.on("unhandledRejection", (error) => (unhandled = error));

function savedInputs() {
  try {
    return readdirSync(options.corpus)
      .sort()
      .map((name) => readFileSync(join(options.corpus, name)));
  } catch {
    return [];
  }
}

/** Runs the target once; returns what is wrong with how it ended. */
async function attempt(input) {
  const before = {
    cpu: process.cpuUsage(),
    wall: performance.now(),
    peak: process.resourceUsage().maxRSS * 1024,
    memory: process.memoryUsage.rss(),
  };
  const ending = await outcome(input);
  const { user, system } = process.cpuUsage(before.cpu);
  // The processor's time where the machine is busy with other things, and waiting counts less.
  const elapsed = Math.max((user + system) / 1000, (performance.now() - before.wall) / 10);
  worst.elapsed = Math.max(worst.elapsed, elapsed);
  count(ending.name);
  const peak = process.resourceUsage().maxRSS * 1024;
  // Only a new peak says how much this input took.
  const growth = peak > before.peak ? peak - before.memory : 0;
  worst.growth = Math.max(worst.growth, growth);
  if (ending.problem !== undefined) return ending.problem;
  if (elapsed > MAX_MILLISECONDS) return `it took ${String(Math.round(elapsed))} ms`;
  return growth > MAX_GROWTH ? `memory grew by ${inMiB(growth)}` : undefined;
}

async function outcome(input) {
  unhandled = undefined;
  let error;
  try {
    await target.run(Buffer.from(input));
  } catch (caught) {
    error = caught;
  }
  if (unhandled !== undefined) {
    return { name: "unhandled", problem: `unhandled rejection: ${describe(unhandled)}` };
  }
  if (error === undefined) return { name: "accepted" };
  if (!(error instanceof OcicryptError)) return { name: "foreign", problem: describe(error) };
  if (!options.codes.includes(error.code)) {
    return { name: error.code, problem: `undocumented code: ${describe(error)}` };
  }
  if (FOREIGN.test(error.message)) {
    return { name: error.code, problem: `foreign text: ${describe(error)}` };
  }
  return { name: error.code };
}

function inMiB(bytes) {
  return `${String(Math.round(bytes / 1024 / 1024))} MiB`;
}

function describe(error) {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function count(name) {
  outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
}

/** Slow ones are tried again, as another process may have been in the way. */
async function problemOf(input) {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(input.length);
  writeSync(current, Buffer.concat([length, input]), 0, input.length + 4, 0);
  let problem = await attempt(input);
  for (let i = 0; i < 2 && problem?.startsWith("it took"); i++) problem = await attempt(input);
  return problem;
}

if (options.input !== undefined) {
  const problem = await problemOf(readFileSync(options.input));
  process.send({ kind: "end", outcomes: [...outcomes], problem });
  process.exit();
}

const coverage = createCoverage();
const problems = new Set();
let runs = 0;
const seedCount = inputs.length;
const started = performance.now();

/** Keeps an input for later changes, and on the disk if there is a place for it. */
function keep(input) {
  inputs.push(input);
  if (options.save === undefined) return;
  mkdirSync(options.save, { recursive: true });
  const name = createHash("sha256").update(input).digest("hex").slice(0, 16);
  writeFileSync(join(options.save, name), input);
}

async function run(input) {
  runs++;
  const problem = await problemOf(input);
  if (problem === undefined) return;
  // One of a kind: the place where it was thrown says which.
  const kind = problem
    .split("\n")
    .slice(0, 3)
    .join("\n")
    .replace(/\d+|"[^"]*"/g, "N");
  if (problems.has(kind)) return;
  problems.add(kind);
  process.send({ kind: "problem", problem, input: Buffer.from(input).toString("base64") });
}

for (const input of inputs.slice(0, seedCount)) await run(input);
coverage.takeNew();
const baseline = inUse();

/** Memory that garbage collection cannot free: the allocator keeps some pages for later. */
function inUse() {
  // The second one frees the buffers whose objects the first one has found dead.
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

while (runs < options.count && performance.now() - started < options.milliseconds) {
  const batch = [];
  for (let i = 0; i < BATCH && runs < options.count; i++) {
    const input = mutate(random, random.pick(inputs), target, inputs);
    batch.push(input);
    await run(input);
  }
  // Asking for coverage costs more than most inputs do, so only a batch that ran something new is
  // run once more, input by input, for the one to keep.
  const found = coverage.takeNew();
  for (const input of found.size > 0 ? batch : []) {
    await outcome(input);
    const own = coverage.take().filter((block) => found.delete(block));
    if (own.length > 0) keep(input);
    if (found.size === 0) break;
  }
  const kept = process.memoryUsage.rss() > MAX_GROWTH ? inUse() - baseline : 0;
  if (kept > MAX_GROWTH) {
    process.send({ kind: "problem", problem: `${inMiB(kept)} were kept`, input: "" });
    break;
  }
  process.send({ kind: "alive", runs });
}
process.send({
  kind: "end",
  runs,
  seeds: seedCount,
  kept: inputs.length - seedCount,
  blocks: coverage.size,
  outcomes: [...outcomes],
  seconds: (performance.now() - started) / 1000,
  worst,
});
process.exit();
