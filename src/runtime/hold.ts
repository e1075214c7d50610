import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { fstatSync, realpathSync, writeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

/** The argument that makes the program a holder of standard output. */
export const HOLD_ARGUMENT = "--hold-stdout-of";

/** How long a process that has ended may stay unnoticed by its parent, in milliseconds. */
const MAX_HOLD = 30_000;
/** The time that the parent has to note the exit status once it knows of the end, in milliseconds. */
const MARGIN = 250;
const POLL = 20;

const STDOUT = 1;

/**
 * Keeps standard output open until the parent of this process has noticed its failure. containerd
 * asks a stream processor for its error at the end of its output, and accepts the layer if the
 * process has not been reaped by then (https://github.com/containerd/containerd/issues/6914,
 * containerd diff/stream_unix.go).
 */
export function holdStdout(): void {
  if (!fstatSync(STDOUT).isFIFO()) return;
  const args = [...ownScript(), HOLD_ARGUMENT, String(process.pid)];
  const holder = spawn(process.execPath, args, {
    stdio: ["ignore", STDOUT, "ignore"],
    detached: true,
    env: {},
  });
  holder.on("error", () => undefined);
  holder.unref();
  if (holder.pid === undefined) spoil();
}

/**
 * Returns the path of this program, which Node.js takes before its arguments. A single-file build
 * takes none: Node.js names the executable itself there, and Bun a file of its virtual file system.
 */
function ownScript(): string[] {
  const [, script = ""] = process.argv;
  if (script.startsWith("/$bunfs/")) return [];
  try {
    return realpathSync(script) === realpathSync(process.execPath) ? [] : [script];
  } catch {
    return [];
  }
}

/** Waits for the end of a process as its parent sees it. Until then, a process is a zombie. */
export async function holdFor(pid: number): Promise<void> {
  const deadline = performance.now() + MAX_HOLD;
  while (exists(pid) && performance.now() < deadline) await setTimeout(POLL);
  if (exists(pid)) spoil();
  await setTimeout(MARGIN);
}

/**
 * Writes bytes that nobody can foresee, so that the layer cannot have the diffID of its image. This
 * is the last resort, because containerd then reports a damaged layer instead of the reason.
 */
function spoil(): void {
  try {
    writeSync(STDOUT, randomBytes(1024));
  } catch {
    // Nobody reads it any more, or its reader has stopped before the end.
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
