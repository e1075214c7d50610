import { spawn, type ChildProcess, type StdioOptions } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The command as it is built: `npm test` does that first. */
export const MAIN: string = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export interface Outcome {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /** More descriptors, from 3 on. */
  descriptors?: readonly number[];
  /** Standard input; none by default. */
  input?: string;
}

/** Starts the command. */
export function start(args: readonly string[], options: RunOptions = {}): ChildProcess {
  return startProgram(process.execPath, [MAIN, ...args], options);
}

/** Runs the command to its end. */
export function run(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return outcome(start(args, options));
}

/** Runs any program to its end. */
export function runProgram(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  return outcome(startProgram(program, args, options));
}

function startProgram(
  program: string,
  args: readonly string[],
  { env, cwd, descriptors = [], input }: RunOptions,
): ChildProcess {
  const stdin = input === undefined ? "ignore" : "pipe";
  const stdio: StdioOptions = [stdin, "pipe", "pipe", ...descriptors];
  const child = spawn(program, args, {
    stdio,
    ...(cwd !== undefined && { cwd }),
    env: { ...process.env, ...env },
  });
  // The command may end before it has read everything.
  child.stdin?.on("error", () => undefined).end(input);
  return child;
}

/** Waits for a process, with what it printed. */
export function outcome(child: ChildProcess): Promise<Outcome> {
  const printed = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (text: string) => (printed[name] += text));
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => {
      resolve({ status, signal, ...printed });
    });
  });
}
