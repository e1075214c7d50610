#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { isOcicryptError } from "../errors.js";
import { parseCommandLine, type CommandLine } from "./arguments.js";
import { COMMAND_TABLE } from "./command-table.js";
import { helpText } from "./help.js";
import { hintFor } from "./hints.js";
import { STATUS, statusOf } from "./status.js";
import { jsonText, printable } from "./text.js";
import { UsageError } from "./usage-error.js";

/** Shells report a command that a signal ended as 128 and the signal's number. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

interface Failure {
  status: number;
  code: string;
  message: string;
  hint?: string;
}

// Buffers that nobody holds any more lie until the young generation is full of small objects. Small
// as it is at the start it is collected often, and takes half of the memory beside the process.
setFlagsFromString("--semi-space-growth-factor=1");

process.exitCode = await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<number> {
  let line: CommandLine;
  try {
    line = parseCommandLine(argv);
  } catch (error) {
    return report(describeFailure(error), argv.includes("--json"));
  }
  if (line.version) return print(`${version()}\n`, STATUS.done);
  if (line.help) return print(helpText(line.topic), STATUS.done);
  if (line.command === undefined) {
    process.stderr.write(helpText(undefined));
    return STATUS.usage;
  }

  const abort = new AbortController();
  let ended: number | undefined;
  for (const [signal, status] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      if (ended !== undefined) process.exit(status);
      ended = status;
      abort.abort();
    });
  }
  try {
    // Loaded only now, so that --help and mistakes in the arguments are answered at once.
    const { RUN } = await import("./commands.js");
    const { text, json, warnings } = await RUN[line.command](line, abort.signal);
    for (const warning of warnings) note("warning", warning);
    if (line.json) return print(`${jsonText(json, 2)}\n`, STATUS.done);
    return line.quiet ? STATUS.done : print(text, STATUS.done);
  } catch (error) {
    if (ended !== undefined && !isOcicryptError(error)) {
      const isReading = COMMAND_TABLE[line.command].isReading === true;
      note("ocicrypt", isReading ? "interrupted" : "interrupted; the destination is as it was");
      return ended;
    }
    const failure = describeFailure(error);
    return report({ ...failure, status: ended ?? failure.status }, line.json);
  }
}

function describeFailure(error: unknown): Failure {
  if (error instanceof UsageError) {
    const { message, hint } = error;
    return { status: STATUS.usage, code: "USAGE", message, ...(hint !== undefined && { hint }) };
  }
  if (isOcicryptError(error)) {
    const { code, message } = error;
    return { status: statusOf(code), code, message, hint: hintFor(error) };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { status: STATUS.failed, code: "UNEXPECTED", message };
}

function report({ status, code, message, hint }: Failure, json: boolean): number {
  note("error", `${message} (${code})`);
  if (hint !== undefined) note("hint", hint);
  return json ? print(`${jsonText({ error: { code, message, hint } })}\n`, status) : status;
}

function note(kind: string, text: string): void {
  process.stderr.write(`${kind}: ${printable(text)}\n`);
}

function print(text: string, status: number): number {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // A reader that has seen enough, such as head, is no failure.
    if (error.code === "EPIPE") return;
    note("error", `the result can not be printed (${error.code ?? "unknown"})`);
    process.exitCode = STATUS.failed;
  });
  process.stdout.write(text);
  return status;
}

function version(): string {
  const file = new URL("../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
