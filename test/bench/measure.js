// Runs programs, and computes medians of their time and memory.
import { spawnSync } from "node:child_process";

/** Node.js has no wait4, which tells the time and memory of one process. */
const WAIT = `import json, os, sys, time
start = time.monotonic()
pid = os.fork()
if pid == 0:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
wall = time.monotonic() - start
print(json.dumps([status, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))`;

/**
 * Runs a program.
 *
 * @returns the wall time and processor time in seconds, and the peak memory in MiB
 */
export function measure([program, ...args]) {
  const { stdout, stderr, error } = spawnSync("python3", ["-c", WAIT, program, ...args], {
    encoding: "utf8",
  });
  if (error !== undefined) throw error;
  const [status, wall, cpu, kibibytes] = JSON.parse(stdout);
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} failed: ${stderr}`);
  return { wall, cpu, memory: kibibytes / 1024 };
}

export function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

/** The medians of each figure, and the medians of the ratios of `ours` to them in the same round. */
export function summary(taken, ours) {
  const of = (figure) => median(taken.map((each) => each[figure]));
  const ratio = (figure) => median(taken.map((each, i) => ours[i][figure] / each[figure]));
  return {
    wall: of("wall"),
    cpu: of("cpu"),
    memory: of("memory"),
    ratio: ratio("wall"),
    cpuRatio: ratio("cpu"),
  };
}
