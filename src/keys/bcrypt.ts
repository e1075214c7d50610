import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { abortable } from "../io/abort.js";

/** The arguments of bcrypt_pbkdf; sizes in bytes. */
export interface BcryptInput {
  password: Uint8Array;
  salt: Uint8Array;
  rounds: number;
  size: number;
}

/** CommonJS as text, so that it also runs after this module has been bundled. */
const WORKER = `
const { parentPort, workerData } = require("node:worker_threads");
const { module, password, salt, rounds, size } = workerData;
const { pbkdf } = require(module);
const derived = new Uint8Array(size);
const failed = pbkdf(password, password.length, salt, salt.length, derived, size, rounds) !== 0;
parentPort.postMessage(failed ? undefined : derived);
`;

/**
 * Derives a key as OpenSSH does (bcrypt_pbkdf of OpenBSD). This takes a second or two, so it runs
 * in a thread, which an aborted signal ends.
 *
 * @throws {Error} if the input cannot be used
 */
export async function deriveBcrypt(input: BcryptInput, signal?: AbortSignal): Promise<Buffer> {
  signal?.throwIfAborted();
  const module = createRequire(import.meta.url).resolve("bcrypt-pbkdf");
  const worker = new Worker(WORKER, { eval: true, workerData: { module, ...input } });
  try {
    const derived = new Promise<Uint8Array | undefined>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    const result = await abortable(derived, signal);
    if (result === undefined) throw new Error("bcrypt_pbkdf rejects its input");
    return Buffer.from(result.buffer, result.byteOffset, result.byteLength);
  } finally {
    await worker.terminate();
  }
}
