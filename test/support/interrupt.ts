import { spawn, type ChildProcess } from "node:child_process";
import { onTestFinished } from "vitest";
import { MAIN, outcome, type Outcome } from "./command.js";

/** The operation before which a command is stopped: its number, from 1, among those on files of such names. */
export interface FileMoment {
  operation: "open" | "close" | "sync" | "mkdir" | "rename" | "rm";
  /** A regular expression. */
  path: string;
  count: number;
}

/** A command that has come to the moment. */
export interface HeldCommand {
  /** Sends it a signal, and waits for its end. */
  interrupt(signal: NodeJS.Signals): Promise<Outcome>;
}

/** Starts the command, and waits until it is about to do something with a file. */
export function holdAtFile(
  args: readonly string[],
  moment: FileMoment,
  env: Readonly<Record<string, string>> = {},
): Promise<HeldCommand> {
  const hold = new URL("hold-files.js", import.meta.url).href;
  const child = spawn(process.execPath, ["--import", hold, MAIN, ...args], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    env: { ...process.env, ...env, OCICRYPT_TEST_HOLD: JSON.stringify(moment) },
  });
  const held = new Promise<void>((resolve) => {
    child.stdio[3]!.once("data", () => {
      resolve();
    });
  });
  return reached(child, held);
}

/** Waits until a command is where it is to be interrupted. */
export async function reached(child: ChildProcess, held: Promise<void>): Promise<HeldCommand> {
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const ended = outcome(child);
  const early = ended.then((result) => {
    throw new Error(`the command ended before the moment: ${JSON.stringify(result)}`);
  });
  await Promise.race([held, early]);
  return {
    interrupt(signal) {
      child.kill(signal);
      return ended;
    },
  };
}
