#!/usr/bin/env node
import { writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { errno, isOcicryptError, OcicryptError } from "../errors.js";
import { VERSION } from "../runtime/version.js";
import { isMany, parseCommandLine, type CommandLine } from "./arguments.js";
import { COMMAND_TABLE } from "./command-table.js";
import { describeFailure, Interrupted, STATUS, type Failure } from "./errors.js";
import { helpText } from "./help.js";
import { clearProgress, note, startDebug } from "./progress.js";
import { jsonText } from "./text.js";

/**
 * The exit status that shells use for a command that a signal ended: 128 plus the signal's number.
 */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** In milliseconds. */
const END_DELAY = 300;

let isWatched = false;

keepYoungGenerationSmall();
// V8 resets the flag when a thread starts (Heap::ConfigureHeap).
process.on("worker", (worker) => worker.once("online", keepYoungGenerationSmall));
process.exitCode = await main(process.argv.slice(2));

/**
 * Unreferenced buffers stay until V8's young generation is full. If it does not grow, it is
 * collected often, which halves the memory of the process.
 */
function keepYoungGenerationSmall(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}

async function main(argv: readonly string[]): Promise<number> {
  let line: CommandLine;
  try {
    line = parseCommandLine(argv);
  } catch (error) {
    return report(describeFailure(error), argv.includes("--json"));
  }
  if (line.version) return print(`${VERSION}\n`, STATUS.done);
  if (line.help) return print(helpText(line.topic), STATUS.done);
  if (line.command === undefined) {
    process.stderr.write(helpText(undefined));
    return STATUS.usage;
  }

  const abort = new AbortController();
  let ended: { signal: string; status: number } | undefined;
  for (const [signal, status] of Object.entries(SIGNALS)) {
    process.on(signal, () => {
      if (ended !== undefined) {
        clearProgress();
        process.exit(status);
      }
      ended = { signal, status };
      abort.abort();
    });
  }
  try {
    // Loaded lazily, so that --help and usage errors are fast.
    const { PREPARE } = await import("./commands.js");
    const { readCredentials } = await import("./images.js");
    if (line.debug) startDebug();
    // stderr may contain only the document of a failure.
    if (line.json && !process.stderr.isTTY) line.quiet = true;
    if (line.credsStdin) line.credentials = await readCredentials(line.images);
    const { command } = line;
    if (isMany(line)) line.journal = await (await import("./many.js")).journalOf(line);
    const prepared = await PREPARE[command](line, abort.signal);
    for (const warning of prepared.warnings) note("warning", warning);
    if (isMany(line)) {
      const { runMany } = await import("./many.js");
      const status = await runMany({ ...line, command }, prepared, abort.signal, (text) => {
        print(text, STATUS.done);
      });
      return ended?.status ?? status;
    }
    const result = await prepared.run(line.images);
    const { text, json, warnings, digest, content, status = STATUS.done } = result;
    for (const warning of warnings) note("warning", warning);
    if (line.digestFile !== undefined) writeDigest(line.digestFile, digest);
    if (content !== undefined) return await printContent(content, abort.signal);
    if (line.json && json !== undefined) return print(`${jsonText(json, 2)}\n`, status, true);
    return print(line.quiet && digest !== undefined ? `${digest}\n` : text, status);
  } catch (error) {
    if (error instanceof Interrupted) ended = { signal: "SIGINT", status: SIGNALS.SIGINT };
    if (ended !== undefined && !isOcicryptError(error)) {
      const isReading = COMMAND_TABLE[line.command].isReading === true;
      note("ocicrypt", isReading ? "interrupted" : "interrupted; the destination is unchanged");
      endSoon(ended.signal);
      return ended.status;
    }
    const failure = describeFailure(error);
    return report({ ...failure, status: ended?.status ?? failure.status }, line.json);
  }
}

/**
 * Ends the process if something still keeps it from ending by itself: the derivation of a key from
 * a password cannot be interrupted, and Node.js waits for it even in `process.exit`.
 */
function endSoon(signal: string): void {
  const end = (): void => {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  };
  setTimeout(end, END_DELAY).unref();
}

/**
 * With `--json`, a failure prints only one document on stderr, so that a filter on stdout gets no
 * input.
 */
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

function print(text: string, status: number, json = false): number {
  clearProgress();
  watchOutput(json);
  process.stdout.write(text);
  return status;
}

/** Prints bytes as fast as they are read, until whoever reads them stops. */
async function printContent(
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<number> {
  const { abortable } = await import("../io/abort.js");
  // Each write reports its own failure.
  process.stdout.on("error", () => undefined);
  for await (const chunk of content) {
    clearProgress();
    const written = new Promise<Error | null | undefined>((resolve) => {
      process.stdout.write(chunk, resolve);
    });
    const error = await abortable(written, signal);
    if (error && !isClosed(error)) throw await printError(error);
    if (error) return STATUS.done;
  }
  return STATUS.done;
}

function watchOutput(json: boolean): void {
  if (isWatched) return;
  isWatched = true;
  process.stdout.on("error", (error: Error) => {
    if (isClosed(error)) return;
    void printError(error).then((failure) => {
      process.exitCode = report(describeFailure(failure), json);
    });
  });
}

/** A reader may stop early, as head does. */
function isClosed(error: Error): boolean {
  return errno(error) === "EPIPE";
}

async function printError(error: Error): Promise<unknown> {
  const { writeError } = await import("../io/files.js");
  return writeError(error, "standard output");
}
