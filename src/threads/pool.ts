import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { OcicryptError } from "../errors.js";
import { MAX_THREADS } from "../spec/limits.js";

/*
 * Threads that compute hashes. A thread reads entries from a ring in shared memory and performs them
 * one after the other; it waits while there are none. The sender therefore never blocks, and needs a
 * message only to wait until an entry is done.
 */

/** Positions in the shared array of a thread. Counts of entries wrap around as 32-bit numbers. */
const WORDS = {
  /** The number of entries that were sent. */
  sent: 0,
  /** The number of entries that are done. */
  done: 1,
  /** If `waiting` is 1: a message is wanted as soon as this number of entries is done. */
  wanted: 2,
  waiting: 3,
  /** Each entry is an operation, a lane, and the start and end of bytes in the memory. */
  entries: 4,
  /** A power of two, and more than all lanes together can send before they wait. */
  capacity: 2048,
} as const;

const OPERATIONS = { update: 0, digest: 1, close: 2, sha256: 3, sha512: 4, hmacSha256: 5 } as const;

export type Operation = keyof typeof OPERATIONS;

/** More threads find no work: the thread that encrypts cannot supply them. */
const USUAL_THREADS = 4;

export interface HashThread {
  /** The hashes that it computes at present. */
  load: number;
  /** Sends an entry. Returns the number of entries after which it is done. */
  send(operation: Operation, lane: number, start?: number, end?: number): number;
  /**
   * Waits until a number of entries are done. Only while something waits, the thread keeps the
   * process alive.
   *
   * @throws {@link OcicryptError} `THREAD_FAILED` if the thread has ended
   */
  done(count: number): Promise<void>;
}

interface Starting {
  thread: HashThread;
  /** Whether the thread runs. Never rejects. */
  isReady: Promise<boolean>;
}

let started: Starting[] = [];
/** Set where threads cannot start, for example because a bundle lacks their file. */
let isImpossible = false;

/**
 * Returns the number of threads to use.
 *
 * @param threads the caller's choice; by default one less than the machine runs at once, up to 4
 * @throws {RangeError}
 */
export function threadCount(threads: number | undefined): number {
  if (threads === undefined) return Math.min(availableParallelism() - 1, USUAL_THREADS);
  if (Number.isInteger(threads) && threads >= 0 && threads <= MAX_THREADS) return threads;
  throw new RangeError(`threads must be a whole number from 0 to ${String(MAX_THREADS)}`);
}

/**
 * Reserves a thread for each of some hashes: the least loaded ones, or new ones while there are
 * fewer than `count`.
 *
 * @returns `undefined` where threads cannot run
 */
export async function reserveThreads(
  hashes: number,
  count: number,
  memory: SharedArrayBuffer,
): Promise<HashThread[] | undefined> {
  if (isImpossible) return undefined;
  const chosen: Starting[] = [];
  for (let i = 0; i < hashes; i++) {
    const usable = started.slice(0, count);
    const [least] = usable.sort((a, b) => a.thread.load - b.thread.load);
    const isNew = least === undefined || (least.thread.load > 0 && usable.length < count);
    const found = isNew ? start(memory) : least;
    if (found === undefined) break;
    found.thread.load++;
    chosen.push(found);
  }
  const areReady = await Promise.all(chosen.map(({ isReady }) => isReady));
  if (chosen.length === hashes && areReady.every(Boolean)) return chosen.map((each) => each.thread);
  isImpossible = true;
  for (const { thread } of chosen) thread.load--;
  return undefined;
}

/** Starts a thread; returns `undefined` if that fails immediately. */
function start(memory: SharedArrayBuffer): Starting | undefined {
  const size = (WORDS.entries + 4 * WORDS.capacity) * Int32Array.BYTES_PER_ELEMENT;
  const control = new Int32Array(new SharedArrayBuffer(size));
  let worker: Worker;
  try {
    worker = new Worker(new URL("./hash-thread.js", import.meta.url), {
      workerData: { control, memory, words: WORDS, operations: OPERATIONS },
      // It needs nothing of this process's environment.
      ...{ argv: [], env: {}, execArgv: [], name: "ocicrypt-hash" },
    });
  } catch {
    return undefined;
  }
  let ready: (isReady: boolean) => void = () => undefined;
  const isReady = new Promise<boolean>((resolve) => (ready = resolve));
  const thread = communicate(worker, control);
  const starting = { thread, isReady };
  worker.once("message", () => {
    ready(true);
    worker.unref();
  });
  worker.once("exit", () => {
    ready(false);
    started = started.filter((each) => each !== starting);
  });
  started.push(starting);
  return starting;
}

interface Waiter {
  count: number;
  resolve: () => void;
  reject: (error: Error) => void;
}

function communicate(worker: Worker, control: Int32Array): HashThread {
  let sent = 0;
  let waiters: Waiter[] = [];
  let ended: OcicryptError | undefined;

  function isDone(count: number): boolean {
    return difference(Atomics.load(control, WORDS.done), count) >= 0;
  }

  /** Ends the waits for what is done, and asks for a message about the next one. */
  function settle(): void {
    for (;;) {
      // Read once for all waiters, because the thread goes on meanwhile.
      const now = Atomics.load(control, WORDS.done);
      const [over, waiting]: [Waiter[], Waiter[]] = [[], []];
      for (const each of waiters) (difference(now, each.count) >= 0 ? over : waiting).push(each);
      waiters = waiting.sort((a, b) => difference(a.count, b.count));
      for (const { resolve } of over) resolve();
      const [first] = waiters;
      if (first === undefined) {
        worker.unref();
        return;
      }
      Atomics.store(control, WORDS.wanted, first.count);
      Atomics.store(control, WORDS.waiting, 1);
      // The thread may have passed this entry just before it was asked.
      if (!isDone(first.count)) return;
    }
  }

  function fail(cause: unknown): void {
    if (ended !== undefined) return;
    const why = cause instanceof Error ? cause.message : "it has ended";
    ended = new OcicryptError("THREAD_FAILED", `a thread that computes hashes failed: ${why}`, {
      cause,
    });
    for (const { reject } of waiters) reject(ended);
    waiters = [];
  }

  worker.on("message", settle).on("error", fail).on("exit", fail);
  return {
    load: 0,
    send(operation, lane, start = 0, end = 0) {
      const at = WORDS.entries + (sent & (WORDS.capacity - 1)) * 4;
      control.set([OPERATIONS[operation], lane, start, end], at);
      sent = (sent + 1) | 0;
      Atomics.store(control, WORDS.sent, sent);
      Atomics.notify(control, WORDS.sent);
      return sent;
    },
    async done(count) {
      if (isDone(count)) return;
      if (ended !== undefined) throw ended;
      await new Promise<void>((resolve, reject) => {
        waiters.push({ count, resolve, reject });
        worker.ref();
        settle();
      });
    },
  };
}

/** The difference of two counts that wrap around. */
function difference(a: number, b: number): number {
  return (a - b) | 0;
}
