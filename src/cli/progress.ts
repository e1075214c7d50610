import type { ImageProgress } from "../image/index.js";
import { bytes } from "./text.js";

/** Milliseconds between two drawings of the bar. */
const INTERVAL = 100;
const WIDTH = 24;

export interface ProgressBar {
  update(progress: ImageProgress): void;
  /** Removes the bar. */
  clear(): void;
}

/** One line on a terminal, drawn over itself. */
export function progressBar(stream: NodeJS.WriteStream, now: () => number = Date.now): ProgressBar {
  const start = now();
  let drawn = -Infinity;
  let isShown = false;
  return {
    update(progress) {
      if (now() - drawn < INTERVAL) return;
      drawn = now();
      isShown = true;
      const line = progressLine(progress, (drawn - start) / 1000);
      stream.write(`\r${line.slice(0, (stream.columns || 80) - 1)}\u001b[K`);
    },
    clear() {
      if (isShown) stream.write("\r\u001b[K");
      isShown = false;
    },
  };
}

/** The bar as text. */
export function progressLine(progress: ImageProgress, seconds: number): string {
  const part = progress.size === 0 ? 1 : Math.min(1, progress.bytes / progress.size);
  const filled = Math.floor(part * WIDTH);
  const bar = "#".repeat(filled) + "-".repeat(WIDTH - filled);
  const rate = seconds > 0 ? `  ${bytes(Math.round(progress.bytes / seconds))}/s` : "";
  const percent = String(Math.floor(part * 100)).padStart(3);
  return `${progress.action.padEnd(7)} [${bar}] ${percent}%  ${bytes(progress.bytes)} of ${bytes(progress.size)}${rate}`;
}
