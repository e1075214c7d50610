import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import type { BcryptEngine } from "../types.js";
import { deriveBcrypt as deriveHere } from "../web/bcrypt.js";

/** CommonJS as text, so that it also runs after this module has been bundled. */
const WORKER = `
const { parentPort, workerData } = require("node:worker_threads");
const { path, password, salt, rounds, size } = workerData;
const { pbkdf } = require(path);
const derived = new Uint8Array(size);
const failed = pbkdf(password, password.length, salt, salt.length, derived, size, rounds) !== 0;
parentPort.postMessage(failed ? undefined : derived);
`;

/**
 * Runs in a thread, which an aborted signal ends. Single-file builds run without a thread, because they
 * have no file for it to load. Bun always does: on the machine where they were built, its single-file
 * builds find the file, but not what the file itself requires.
 */
export const deriveBcrypt: BcryptEngine["deriveBcrypt"] = async (input, signal) => {
  signal?.throwIfAborted();
  const path = modulePath();
  if (path === undefined) return deriveHere(input, signal);
  const worker = new Worker(WORKER, { eval: true, workerData: { path, ...input } });
  let stop = (): void => undefined;
  try {
    const result = await new Promise<Uint8Array<ArrayBuffer> | undefined>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
      stop = () => {
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the caller's own
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", stop, { once: true });
    });
    if (result === undefined) throw new Error("bcrypt_pbkdf rejects its input");
    return result;
  } finally {
    signal?.removeEventListener("abort", stop);
    await worker.terminate();
  }
};

function modulePath(): string | undefined {
  if (process.versions.bun !== undefined) return undefined;
  try {
    return createRequire(import.meta.url).resolve("bcrypt-pbkdf");
  } catch {
    return undefined;
  }
}
