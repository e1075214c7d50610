import { isMany, parseCommandLine } from "../../src/cli/arguments.js";
import { PREPARE } from "../../src/cli/commands.js";
import { journalOf, runMany } from "../../src/cli/many.js";

/** Runs a command for many images in this process, and collects its standard output. */
export async function runHere(
  args: readonly string[],
  printed: string[],
  signal = new AbortController().signal,
): Promise<number> {
  const line = parseCommandLine(args);
  const { command } = line;
  if (command === undefined || !isMany(line)) throw new Error("not for many images");
  line.journal = await journalOf(line);
  const prepared = await PREPARE[command](line, signal);
  return runMany({ ...line, command }, prepared, signal, (text) => void printed.push(text));
}
