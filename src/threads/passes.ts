import { createHash, createHmac, type KeyObject } from "node:crypto";
import { PART_SIZE } from "../spec/limits.js";
import { reserveThreads, threadCount, type HashThread, type Operation } from "./pool.js";

/** A hash of bytes, computed on this thread or another. */
export interface RunningHash {
  update(bytes: Uint8Array): void;
  /** Ends the hash. @throws {@link OcicryptError} `THREAD_FAILED` */
  digest(): Promise<Uint8Array>;
}

export type HashAlgorithm = "sha256" | "sha512";

/** The passes over the bytes of one layer. */
export interface Passes {
  /**
   * Waits until there is room for the next part of the layer, before and after encryption.
   *
   * @throws {@link OcicryptError} `THREAD_FAILED`
   */
  room(): Promise<void> | undefined;
  hashPlain(algorithm: HashAlgorithm): RunningHash;
  hashCipher(algorithm: HashAlgorithm): RunningHash;
  /** An HMAC-SHA256. */
  hmacCipher(key: KeyObject): RunningHash;
  /** Ends all passes. Memory that others shared is wiped. */
  close(): void;
}

/** In bytes. Shorter layers are done before a thread has started. */
const LONG = 64 * 1024 * 1024;

/** The layers that share memory at once; others stay on one thread. */
const MAX_DESKS = 8;
/** The parts of a layer that are shared at once. */
const SLOTS = 8;
const LANES = 3;
/** Room for a key or a digest in a lane's own memory, in bytes. */
const LANE_SIZE = 64;
const DESK_SIZE = SLOTS * PART_SIZE + LANES * LANE_SIZE;

let memory: SharedArrayBuffer | undefined;
const freeDesks = Array.from({ length: MAX_DESKS }, (_, desk) => desk);

/** Hashes on this thread. */
export const HERE: Passes = {
  room: () => undefined,
  hashPlain: (algorithm) => hashHere(algorithm),
  hashCipher: (algorithm) => hashHere(algorithm),
  hmacCipher: (key) => hmacHere(key),
  close: () => undefined,
};

/** A hash on this thread. */
export function hashHere(algorithm: HashAlgorithm): RunningHash {
  const hash = createHash(algorithm);
  return { update: (bytes) => void hash.update(bytes), digest: () => finished(hash) };
}

/** An HMAC-SHA256 on this thread. */
export function hmacHere(key: KeyObject): RunningHash {
  const hmac = createHmac("sha256", key);
  return { update: (bytes) => void hmac.update(bytes), digest: () => finished(hmac) };
}

function finished(hash: { digest(): Buffer }): Promise<Uint8Array> {
  return Promise.resolve(hash.digest());
}

/**
 * Opens the passes over a layer: on other threads if it is long enough.
 *
 * The two passes over the ciphertext run on one thread or two. From three threads on, the pass over
 * the plaintext has its own too; otherwise it stays here, where the cipher runs.
 *
 * @param size of the layer, in bytes; if it is unknown, everything stays on this thread
 * @param threads the most threads to use; see {@link threadCount}
 * @throws {RangeError} for an invalid number of threads
 */
export async function openPasses(
  size: number | undefined,
  threads: number | undefined,
): Promise<Passes> {
  const count = threadCount(threads);
  if (count === 0 || size === undefined || size < LONG) return HERE;
  const desk = freeDesks.pop();
  if (desk === undefined) return HERE;
  memory ??= new SharedArrayBuffer(MAX_DESKS * DESK_SIZE);
  const reserved = await reserveThreads(count < 3 ? 2 : 3, count, memory);
  if (reserved !== undefined) return passesAt(desk, new Uint8Array(memory), reserved);
  freeDesks.push(desk);
  return HERE;
}

/** An entry of a thread that reads a slot. */
interface Use {
  thread: HashThread;
  count: number;
}

/**
 * Passes that read the parts from a ring of slots in shared memory. A part is copied into the next
 * slot once, for all of its passes; a slot is free again when they have read it.
 */
function passesAt(desk: number, bytes: Uint8Array, threads: readonly HashThread[]): Passes {
  const [forHmac, forCipher, forPlain] = threads;
  const start = desk * DESK_SIZE;
  const uses = Array.from({ length: SLOTS }, (): Use[] => []);
  const opened: { thread: HashThread; lane: number }[] = [];
  let next = 0;
  let free = SLOTS;
  let shared: { part: Uint8Array; slot: number } | undefined;

  /** Returns the slot that holds a part. */
  function place(part: Uint8Array): number {
    if (shared?.part === part) return shared.slot;
    if (free === 0 || part.byteLength > PART_SIZE) throw new RangeError("there is no room");
    const slot = next;
    next = (next + 1) % SLOTS;
    free--;
    uses[slot] = [];
    bytes.set(part, start + slot * PART_SIZE);
    shared = { part, slot };
    return slot;
  }

  /** Waits for the older half of the parts, so that there are fewer waits than parts. */
  async function freeHalf(): Promise<void> {
    for (let i = 0; i < SLOTS / 2; i++) {
      for (const { thread, count } of uses[(next + free) % SLOTS] ?? []) await thread.done(count);
      free++;
    }
  }

  function hashOn(
    thread: HashThread | undefined,
    operation: Extract<Operation, "sha256" | "sha512" | "hmacSha256">,
    key?: KeyObject,
  ): RunningHash {
    if (thread === undefined) throw new RangeError("there is no thread");
    const own = start + SLOTS * PART_SIZE + opened.length * LANE_SIZE;
    const lane = desk * LANES + opened.length;
    opened.push({ thread, lane });
    const secret = key?.export();
    // The thread wipes it as soon as it has read it.
    if (secret !== undefined) bytes.set(secret, own);
    thread.send(operation, lane, own, own + (secret?.byteLength ?? 0));
    secret?.fill(0);
    return {
      update(part) {
        const slot = place(part);
        const at = start + slot * PART_SIZE;
        uses[slot]?.push({ thread, count: thread.send("update", lane, at, at + part.byteLength) });
      },
      async digest() {
        await thread.done(thread.send("digest", lane, own));
        return bytes.slice(own, own + (operation === "sha512" ? 64 : 32));
      },
    };
  }

  return {
    room() {
      // A source may fill the same memory again.
      shared = undefined;
      return free < 2 ? freeHalf() : undefined;
    },
    hashPlain: (algorithm) =>
      forPlain === undefined ? hashHere(algorithm) : hashOn(forPlain, algorithm),
    hashCipher: (algorithm) => hashOn(forCipher, algorithm),
    hmacCipher: (key) => hashOn(forHmac, "hmacSha256", key),
    close() {
      const ends = opened.map(({ thread, lane }) => thread.done(thread.send("close", lane)));
      for (const thread of threads) thread.load--;
      void Promise.allSettled(ends).then(() => {
        bytes.fill(0, start, start + DESK_SIZE);
        freeDesks.push(desk);
      });
    },
  };
}
