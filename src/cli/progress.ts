import type { ImageProgress } from "../image/index.js";
import { bytes } from "./text.js";

/** Milliseconds between two redraws of the bars. */
const INTERVAL = 100;
/** Milliseconds between two lines without a terminal, as in the log of a build. */
const LINE_INTERVAL = 10_000;
const WIDTH = 24;

export interface ProgressDisplay {
  update(progress: ImageProgress): void;
  /** Erases the bars, so that the result can be printed. */
  clear(): void;
}

/** The display of this process. */
let drawn: ProgressDisplay | undefined;

/** Bars on a terminal, an occasional line elsewhere. */
export function progressDisplay(stream: NodeJS.WriteStream): ProgressDisplay {
  drawn = stream.isTTY ? progressBar(stream) : progressLines(stream);
  return drawn;
}

/** Writes a line above the bars, which are redrawn below it. */
export function writeAbove(stream: NodeJS.WritableStream, line: string): void {
  drawn?.clear();
  stream.write(`${line}\n`);
}

/** A bar for the whole image, and one above it for each blob while there are several. */
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
      const blobs = active.size > 1 ? [...active.values()].map(blobLine) : [];
      const lines = [...blobs, progressLine(progress, (time - start) / 1000)];
      const width = (stream.columns || 80) - 1;
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

/** A line for the whole image, rarely enough for a log. */
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
      const rate = bytes(Math.round((done * 1000) / (written - start)));
      stream.write(`${action}: ${bytes(done)} of ${bytes(size)}, ${rate}/s\n`);
    },
    clear: () => undefined,
  };
}

function toTop(height: number): string {
  return height > 1 ? `\r\u001b[${String(height - 1)}A` : "\r";
}

/** The bar of the whole image as text. */
export function progressLine(progress: ImageProgress, seconds: number): string {
  const rate = seconds > 0 ? `  ${bytes(Math.round(progress.bytes / seconds))}/s` : "";
  return `${progress.action.padEnd(7)} ${bar(progress.bytes, progress.size)}${rate}`;
}

function blobLine({ action, digest, blobBytes, blobSize }: ImageProgress): string {
  const name = digest.slice(digest.indexOf(":") + 1).slice(0, 12);
  return `  ${action} ${name} ${bar(blobBytes, blobSize)}`;
}

function bar(done: number, size: number): string {
  const part = size === 0 ? 1 : Math.min(1, done / size);
  const filled = Math.floor(part * WIDTH);
  const percent = String(Math.floor(part * 100)).padStart(3);
  const drawing = "#".repeat(filled) + "-".repeat(WIDTH - filled);
  return `[${drawing}] ${percent}%  ${bytes(done)} of ${bytes(size)}`;
}
