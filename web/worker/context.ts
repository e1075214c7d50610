import { isOcicryptError } from "../../src/errors.js";
import type { ImageProgress } from "../../src/image/index.js";
import type { Problem, Progress } from "../protocol.js";

/** How an operation reports its progress, and learns that it was cancelled. */
export interface Context {
  signal: AbortSignal;
  report: (progress: Progress) => void;
}

export function progressOf(report: Context["report"]): (progress: ImageProgress) => void {
  return ({ bytes, size }) => {
    report({ done: bytes, total: size });
  };
}

export function problemOf(error: unknown): Problem {
  if (isOcicryptError(error)) return { code: error.code, message: error.message };
  if (error instanceof DOMException && error.name === "AbortError") {
    return { code: "CANCELLED", message: "cancelled" };
  }
  return { message: error instanceof Error ? error.message : "unknown reason" };
}
