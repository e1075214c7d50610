import { subscribe } from "node:diagnostics_channel";
import type { ImageProgress } from "../image/index.js";
import { bytes, printable } from "./text.js";

/** Milliseconds between two redraws of the bars. */
const INTERVAL = 100;
/** Milliseconds between two lines without a terminal, as in the log of a build. */
const LINE_INTERVAL = 10_000;
/** The width of a bar between its brackets, if there is room. */
const BAR = { most: 24, least: 6 } as const;

export interface ProgressDisplay {
  update(progress: ImageProgress): void;
  /** Erases the bars, so that something else can be printed. */
  clear(): void;
}

/** The progress display of this process. */
let drawn: ProgressDisplay | undefined;

/** Shows bars on a terminal, and otherwise prints a line from time to time. */
export function progressDisplay(stream: NodeJS.WriteStream): ProgressDisplay {
  drawn = stream.isTTY ? progressBar(stream) : progressLines(stream);
  return drawn;
}

/** Writes a line above the bars, which are redrawn below it. */
export function writeAbove(stream: NodeJS.WritableStream, line: string): void {
  clearProgress();
  stream.write(`${line}\n`);
}

/** Writes a line about the command to standard error. */
export function note(kind: string, text: string): void {
  writeAbove(process.stderr, `${kind}: ${printable(text)}`);
}

/** Erases the bars of this process, if there are any. */
export function clearProgress(): void {
  drawn?.clear();
}

/** Shows a bar for the whole image and, above it, a bar for each blob if there are several. */
export function progressBar(
  stream: NodeJS.WriteStream,
  now: () => number = Date.now,
): ProgressDisplay {
  const start = now();
  const active = new Map<string, ImageProgress>();
  let time = -Infinity;
  let height = 0;
  return {
    update(progress) {
      if (progress.blobBytes < progress.blobSize) active.set(progress.digest, progress);
      else active.delete(progress.digest);
      if (now() - time < INTERVAL) return;
      time = now();
      const width = (stream.columns || 80) - 1;
      const blobs = active.size > 1 ? [...active.values()] : [];
      const lines = [
        ...blobs.map((blob) => blobLine(blob, width)),
        progressLine(progress, (time - start) / 1000, width),
      ];
      const text = lines.map((line) => `${line.slice(0, width)}\u001b[K`).join("\n");
      stream.write(`${toTop(height)}${text}${height > lines.length ? "\u001b[J" : ""}`);
      height = lines.length;
    },
    clear() {
      if (height > 0) stream.write(`${toTop(height)}${height > 1 ? "\u001b[J" : "\u001b[K"}`);
      height = 0;
    },
  };
}

/** Prints a line for the whole image, rarely enough for a log. */
export function progressLines(
  stream: NodeJS.WritableStream,
  now: () => number = Date.now,
): ProgressDisplay {
  const start = now();
  let written = start;
  return {
    update(progress) {
      if (now() - written < LINE_INTERVAL) return;
      written = now();
      const { action, bytes: done, size } = progress;
      const more = [
        `${bytes(done)} of ${bytes(size)}`,
        ...pace(progress, (written - start) / 1000),
      ];
      stream.write(`${action}: ${more.join(", ")}\n`);
    },
    clear: () => undefined,
  };
}

function toTop(height: number): string {
  return height > 1 ? `\r\u001b[${String(height - 1)}A` : "\r";
}

/**
 * Returns the line for the whole image: a bar, the amount, the rate and the time left, as far as
 * they fit.
 */
export function progressLine(progress: ImageProgress, seconds: number, width: number): string {
  const { action, bytes: done, size } = progress;
  return line(`${action.padEnd(7)} `, done, size, pace(progress, seconds), width);
}

function blobLine(
  { action, digest, layer, blobBytes, blobSize }: ImageProgress,
  width: number,
): string {
  const hex = digest.slice(digest.indexOf(":") + 1).slice(0, 8);
  const name = layer === undefined ? hex : `layer ${String(layer)}`;
  return line(`  ${action} ${name} `, blobBytes, blobSize, [], width);
}

/** Returns the rate and the time left, as soon as they are known. */
function pace({ bytes: done, size }: ImageProgress, seconds: number): string[] {
  if (seconds <= 0 || done === 0) return [];
  const rate = done / seconds;
  const left = Math.max(0, Math.ceil((size - done) / rate));
  return [`${bytes(Math.round(rate))}/s`, `${clock(left)} left`];
}

function clock(seconds: number): string {
  const two = (count: number): string => String(count).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${String(minutes)}:${two(seconds % 60)}`;
  return `${String(Math.floor(minutes / 60))}:${two(minutes % 60)}:${two(seconds % 60)}`;
}

/**
 * On a narrow terminal, first the bar shrinks and disappears, then the amount; the percentage
 * always stays.
 */
function line(
  head: string,
  done: number,
  size: number,
  more: readonly string[],
  width: number,
): string {
  const part = size === 0 ? 1 : Math.min(1, done / size);
  const percent = `${String(Math.floor(part * 100)).padStart(3)}%`;
  const amount = `${bytes(done)} of ${bytes(size)}`;
  const long = [percent, amount, ...more].join("  ");
  const tail = head.length + long.length <= width ? long : [percent, ...more].join("  ");
  const room = Math.min(BAR.most, width - head.length - tail.length - "[] ".length);
  if (room < BAR.least) return head + tail.trimStart();
  const filled = Math.floor(part * room);
  return `${head}[${"#".repeat(filled)}${"-".repeat(room - filled)}] ${tail}`;
}

let isOn = false;

/** Prints a decision of the command if `--debug` is given. */
export function debug(text: string): void {
  if (isOn) writeAbove(process.stderr, `debug: ${printable(text)}`);
}

/** The parts of undici's messages that are logged. */
interface Request {
  method: string;
  origin: string | URL;
  path: string;
}

interface Exchange {
  request: Request;
  response?: { statusCode?: number };
  error?: unknown;
}

/**
 * Turns on `--debug`. Requests are logged without headers and without the queries of URLs, because
 * both may contain secrets.
 */
export function startDebug(): void {
  isOn = true;
  subscribe("undici:request:create", (message) => {
    debug(nameOf((message as Exchange).request));
  });
  subscribe("undici:request:headers", (message) => {
    const { request, response } = message as Exchange;
    debug(`${nameOf(request)} was answered ${String(response?.statusCode ?? "without a status")}`);
  });
  subscribe("undici:request:error", (message) => {
    const { request, error } = message as Exchange;
    debug(`${nameOf(request)} failed${error instanceof Error ? `: ${error.name}` : ""}`);
  });
}

function nameOf({ method, origin, path }: Request): string {
  return `${method} ${String(origin)}${path.replace(/\?.*/s, "")}`;
}
