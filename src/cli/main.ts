#!/usr/bin/env node
import { readFileSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { isOcicryptError, OcicryptError } from "../errors.js";
import { errno } from "../io/files.js";
import { parseCommandLine, type CommandLine } from "./arguments.js";
import { COMMAND_TABLE } from "./command-table.js";
import { hintFor, Interrupted, STATUS, statusOf, UsageError } from "./errors.js";
import { helpText } from "./help.js";
import { startDebug } from "./debug.js";
import { clearProgress, writeAbove } from "./progress.js";
import { jsonText, printable } from "./text.js";

/** A shell's status for a command that a signal ended: 128 plus the signal's number. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

interface Failure {
  status: number;
  code: string;
  message: string;
  hint?: string;
}

// Unreferenced buffers stay until V8's young generation is full. Kept as small as it starts, it is
// collected often, which halves the memory of the process.
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
      if (ended !== undefined) {
        clearProgress();
        process.exit(status);
      }
      ended = status;
      abort.abort();
    });
  }
  try {
    // Loaded lazily, so that --help and usage errors are fast.
    const { RUN } = await import("./commands.js");
    const { readCredentials } = await import("./images.js");
    if (line.debug) startDebug();
    // Nothing but the one document of a failure may be on stderr.
    if (line.json && !process.stderr.isTTY) line.quiet = true;
    if (line.credsStdin) line.credentials = await readCredentials(line.images);
    const { text, json, warnings, digest } = await RUN[line.command](line, abort.signal);
    for (const warning of warnings) note("warning", warning);
    if (line.digestFile !== undefined) writeDigest(line.digestFile, digest);
    if (line.json) return print(`${jsonText(json, 2)}\n`, STATUS.done);
    return print(line.quiet && digest !== undefined ? `${digest}\n` : text, STATUS.done);
  } catch (error) {
    if (error instanceof Interrupted) ended = SIGNALS.SIGINT;
    if (ended !== undefined && !isOcicryptError(error)) {
      const isReading = COMMAND_TABLE[line.command].isReading === true;
      note("ocicrypt", isReading ? "interrupted" : "interrupted; the destination is unchanged");
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

/** With `--json` the only output is one document on stderr: a filter on stdout gets no input. */
function report({ status, code, message, hint }: Failure, json: boolean): number {
  if (json) {
    process.stderr.write(`${jsonText({ error: { code, message, hint } })}\n`);
    return status;
  }
  note("error", `${message} (${code})`);
  if (hint !== undefined) note("hint", hint);
  return status;
}

/** As skopeo writes it: without a line end. */
function writeDigest(file: string, digest: string | undefined): void {
  if (digest === undefined) return;
  try {
    writeFileSync(file, digest);
  } catch (error) {
    const message = `${file} for --digestfile cannot be written (${errno(error) ?? "unknown"})`;
    throw new OcicryptError("DESTINATION_UNWRITABLE", `the image was written, but ${message}`);
  }
}

function note(kind: string, text: string): void {
  writeAbove(process.stderr, `${kind}: ${printable(text)}`);
}

function print(text: string, status: number): number {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // A reader may stop early, as head does.
    if (error.code === "EPIPE") return;
    note("error", `the result cannot be printed (${error.code ?? "unknown"})`);
    process.exitCode = STATUS.failed;
  });
  process.stdout.write(text);
  return status;
}

function version(): string {
  const file = new URL("../../package.json", import.meta.url);
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
