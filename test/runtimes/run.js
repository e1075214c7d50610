// Runs ocicrypt on Deno, Bun, workerd and Chromium: unit tests, the quickstart, the examples, and a round
// trip in a worker. Usage: node test/runtimes/run.js [DIRECTORY], with a directory for the runtimes.
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { LACKS } from "./lacks.js";

const HERE = fileURLToPath(new URL("./", import.meta.url));
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** In milliseconds. Nothing here takes a third of it on a machine that is not busy. */
const LIMIT = 170_000;
/** The tests of what a runtime supplies: hashes, ciphers, keys and streams. */
const TESTS = [
  ...["test/cipher/", "test/spec/", "test/layer/peers", "test/layer/vectors"],
  ...["jwk", "openssh", "pkcs12", "private-key", "public-key"].map((name) => `test/keys/${name}`),
];

const directory = mkdtempSync(join(tmpdir(), "ocicrypt-runtimes-"));
try {
  const home = process.argv[2] ?? directory;
  await install(home);
  const program = (name) => join(home, "node_modules", ".bin", name);
  // Bun also runs what calls itself "node" in a script.
  const runtimes = { bun: [program("bun")], deno: [program("deno"), "run", "-A"] };
  let failed = 0;
  for (const [name, command] of Object.entries(runtimes)) {
    failed += await check(`${name}: quickstart`, () => run([...command, "examples/quickstart.js"]));
    failed += await check(`${name}: examples`, () => run([...command, "examples/run.js"]));
    failed += await check(`${name}: unit tests`, () =>
      unitTests(name, command, ["--project", "unit", ...TESTS]),
    );
  }
  // Debian's.
  failed += await check("chromium: unit tests", () =>
    unitTests("chromium", ["node"], ["--config", join(HERE, "chromium", "config.js")]),
  );
  failed += await check("workerd: round trip", () => worker(program));
  process.exitCode = failed === 0 ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}

async function install(home) {
  mkdirSync(home, { recursive: true });
  copyFileSync(join(HERE, "package.json"), join(home, "package.json"));
  const options = ["--silent", "--no-audit", "--no-fund", "--prefer-offline"];
  await run(["npm", "install", ...options], home);
}

/** Runs a check and prints its result; returns the number of failures. */
async function check(title, action) {
  const start = Date.now();
  try {
    const says = await action();
    const seconds = ((Date.now() - start) / 1000).toFixed(0);
    console.log(`passed: ${title} (${seconds} s)${typeof says === "string" ? `: ${says}` : ""}`);
    return 0;
  } catch (error) {
    console.log(`FAILED: ${title}: ${error.message}`);
    return 1;
  }
}

/** Runs a program for a limited time; fails with its output if it fails. */
function run([file, ...args], cwd = ROOT) {
  return new Promise((resolve, reject) => {
    // In a group of its own, so that what it started ends with it.
    const child = spawn(file, args, { cwd, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    const chunks = [];
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk) => chunks.push(chunk));
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      process.kill(-child.pid, "SIGKILL");
    }, LIMIT);
    child.on("error", reject);
    child.on("close", (status) => {
      clearTimeout(timer);
      if (status === 0) resolve();
      else {
        const output = Buffer.concat(chunks).toString().slice(-4000);
        const reason = isLate ? `no end after ${String(LIMIT)} ms` : `status ${String(status)}`;
        reject(new Error(`${reason}\n${output}`));
      }
    });
  });
}

/**
 * Runs the unit tests. A test that fails must be listed with what the runtime lacks, and a listed test
 * must fail.
 */
async function unitTests(name, command, options) {
  const report = join(directory, `${name}.json`);
  const vitest = ["node_modules/vitest/vitest.mjs", "run", ...options];
  let failure;
  await run([...[...command, ...vitest], ...["--reporter=json", `--outputFile=${report}`]]).catch(
    (error) => (failure = error),
  );
  let results;
  try {
    results = JSON.parse(readFileSync(report, "utf8")).testResults;
  } catch {
    throw failure ?? new Error("there is no report");
  }
  const lacks = LACKS[name];
  const found = new Set();
  const unexpected = [];
  let passed = 0;
  for (const { name: path, status, message, assertionResults } of results) {
    const file = relative(ROOT, path);
    const broken = assertionResults.filter((test) => test.status === "failed");
    passed += assertionResults.filter((test) => test.status === "passed").length;
    for (const { status, fullName } of assertionResults) {
      if (status !== "skipped") continue;
      const skipped = lacks.find((each) => each.isSkipped && isFor(each, file, fullName));
      if (skipped !== undefined) found.add(skipped);
    }
    if (status === "failed" && broken.length === 0) unexpected.push(`${file}: ${message}`);
    for (const { fullName, failureMessages } of broken) {
      const lack = lacks.find((each) => !each.isSkipped && isFor(each, file, fullName));
      if (lack === undefined)
        unexpected.push(`${file}: ${fullName}: ${failureMessages[0]?.slice(0, 300)}`);
      else found.add(lack);
    }
  }
  const stale = lacks.filter((lack) => lack.tests !== undefined && !found.has(lack));
  for (const { file, tests } of stale)
    unexpected.push(`${file}: no test ${tests} fails or is skipped any more`);
  if (unexpected.length > 0) throw new Error(unexpected.join("\n"));
  for (const { file, tests, reason } of lacks)
    console.log(`skipped: ${name}: ${file} ${tests ?? "(all)"}: ${reason}`);
  return `${String(passed)} tests`;
}

function isFor(lack, file, name) {
  return lack.file === file && lack.tests?.test(name) === true;
}

/** Bundles the round trip with the keys in it, and runs it as a test of a worker. */
async function worker(program) {
  const bundle = join(directory, "worker.js");
  await run([
    ...[program("esbuild"), join(HERE, "round-trip.js"), "--bundle", "--format=esm"],
    ...["--platform=node", "--loader:.pem=text", "--loader:.asc=text", `--outfile=${bundle}`],
    // For the libraries that ask where they are.
    `--define:import.meta.url="file:///worker.js"`,
    // Some of CommonJS is left in the bundle.
    "--banner:js=import { createRequire as requireFrom } from 'node:module'; const require = requireFrom('/');",
  ]);
  writeFileSync(
    join(directory, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (services = [(name = "main", worker = .main)]);
const main :Workerd.Worker = (
  modules = [(name = "worker", esModule = embed "worker.js")],
  compatibilityDate = "2026-11-01",
);
`,
  );
  await run([program("workerd"), "test", join(directory, "config.capnp")]);
}
