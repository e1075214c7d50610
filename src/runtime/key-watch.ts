import { watch } from "node:fs";
import { isOcicryptError } from "../errors.js";
import { printable, reasonOf } from "../text/printable.js";
import { syncKeys, type KeySyncOptions, type KeySyncResult } from "./key-sync.js";

/** The state of a keys directory after a pass. */
export interface KeySyncHealth extends Partial<KeySyncResult> {
  /** ISO 8601 in UTC. */
  time: string;
  status: "ok" | "failed";
  /** Why the pass failed. */
  code?: string;
  message?: string;
}

export interface WatchKeysOptions extends KeySyncOptions {
  /**
   * The time between two passes without a notice of the file system, in milliseconds: links can
   * lead to files outside the directory. Default: 10 s
   */
  interval?: number | undefined;
  /** The longest time between two reports, in milliseconds. Default: 1 minute */
  reportInterval?: number | undefined;
}

/**
 * Keeps a keys directory equal to a source until the signal aborts. Yields a report after the first
 * pass, after each change, when a failure begins or ends, and at least each `reportInterval`.
 */
export async function* watchKeys({
  interval = 10_000,
  reportInterval = 60_000,
  ...options
}: WatchKeysOptions): AsyncGenerator<KeySyncHealth, void, undefined> {
  const { from, signal } = options;
  let last: { health: KeySyncHealth; at: number } | undefined;
  for (;;) {
    // Before the pass, so that no change after it is missed.
    const change = nextChange(from, signal, interval);
    const health = await report(options);
    if (signal.aborted) return;
    const now = performance.now();
    if (last === undefined || now - last.at >= reportInterval || isNews(last.health, health)) {
      last = { health, at: now };
      yield health;
    }
    await change;
  }
}

async function report(options: KeySyncOptions): Promise<KeySyncHealth> {
  const time = (): string => new Date().toISOString();
  try {
    const result = await syncKeys(options);
    return { time: time(), status: "ok", ...result };
  } catch (error) {
    const code = isOcicryptError(error) ? error.code : "UNEXPECTED";
    return { time: time(), status: "failed", code, message: reasonOf(error) };
  }
}

function isNews(before: KeySyncHealth, now: KeySyncHealth): boolean {
  const { added = [], changed = [], removed = [] } = now;
  const hasChanged = added.length + changed.length + removed.length > 0;
  return hasChanged || before.status !== now.status || before.message !== now.message;
}

/** Waits for a change in a directory, for the end of the interval, or for the signal. */
async function nextChange(from: string, signal: AbortSignal, interval: number): Promise<void> {
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const timer = setTimeout(end, interval);
  signal.addEventListener("abort", end);
  let watcher: ReturnType<typeof watch> | undefined;
  try {
    watcher = watch(from, end);
    watcher.on("error", () => undefined);
  } catch {
    // The directory may not exist yet.
  }
  try {
    await ended;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
    watcher?.close();
  }
}

/** One line about a pass, for a log. */
export function healthLine(health: KeySyncHealth): string {
  const { time, status, files = 0, code = "", message = "" } = health;
  if (status === "failed") return `${time} failed ${code}: ${message}`;
  const lists = (["added", "changed", "removed"] as const).flatMap((what) => {
    const names = health[what] ?? [];
    return names.length === 0 ? [] : `${what}=${printable(names.join(","), 500)}`;
  });
  return [`${time} ok files=${String(files)}`, ...lists].join(" ");
}
