/**
 * Runs the tests of a project with a Node.js binary, and those files again, alone, in which a test
 * failed: a machine that is busy with other files must not decide.
 *
 *     node .ci/tests.js NAME NODE PROJECT DIRECTORY
 *
 * Writes "PASSED FAILED SKIPPED" to DIRECTORY/NAME.counts, and adds what failed to
 * DIRECTORY/failures.
 */
import { spawnSync } from "node:child_process";
import { appendFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [name, node, project, directory] = process.argv.slice(2);

function run(...options) {
  const report = join(directory, `${name}.json`);
  rmSync(report, { force: true });
  const vitest = "node_modules/vitest/vitest.mjs";
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const { status } = spawnSync(
    node,
    [vitest, "run", "--project", project, ...reporters, ...options],
    { stdio: "inherit" },
  );
  return { status, report: JSON.parse(readFileSync(report, "utf8")) };
}

/** The tests that failed; a file that could not be loaded has one failure, and no tests. */
function failuresOf({ testResults }) {
  return testResults.flatMap(({ name: file, status, message, assertionResults }) => {
    const failed = assertionResults.filter((test) => test.status === "failed");
    if (failed.length === 0) return status === "failed" ? [{ file, test: "", message }] : [];
    return failed.map((test) => ({
      file,
      test: test.fullName,
      message: test.failureMessages.join("\n"),
    }));
  });
}

function tell(title, failures) {
  for (const { file, test, message } of failures) {
    const lines = message.split("\n").slice(0, 12).join("\n    ");
    appendFileSync(
      join(directory, "failures"),
      `${title}: ${name}: ${file}: ${test}\n    ${lines}\n`,
    );
  }
}

const first = run();
const { numPassedTests, numPendingTests, numTodoTests } = first.report;
let passed = numPassedTests;
let failures = failuresOf(first.report);
// An error outside of the tests fails no test; it is a failure that no file can repeat.
const outside = [{ file: "", test: "an error outside of the tests", message: "" }];
if (first.status !== 0 && failures.length === 0) {
  failures = outside;
  tell("failed", failures);
} else if (failures.length > 0) {
  const files = [...new Set(failures.map(({ file }) => file))];
  const again = run("--no-file-parallelism", ...files);
  const found = failuresOf(again.report);
  const repeated = again.status !== 0 && found.length === 0 ? outside : found;
  const isRepeated = ({ file, test }) =>
    repeated.some((other) => other.file === file && other.test === test);
  const mended = failures.filter((failure) => !isRepeated(failure));
  tell("failed when run among others, passed alone", mended);
  tell("failed", repeated);
  passed += mended.filter(({ test }) => test !== "").length;
  failures = repeated;
}
const skipped = numPendingTests + numTodoTests;
writeFileSync(
  join(directory, `${name}.counts`),
  `${String(passed)} ${String(failures.length)} ${String(skipped)}\n`,
);
