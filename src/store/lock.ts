import { readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { OcicryptError } from "../errors.js";
import { errno } from "../io/files.js";
import { forgetName, liveness, makeName } from "./stage.js";

/** How long a writer waits for others, in milliseconds; each of them holds the lock for one rename. */
const MAX_WAIT = 60_000;
/** How long a claim of another machine counts after its last sign of life, in milliseconds. */
const LIFETIME = 30_000;

/**
 * Runs a step while no other process that uses this function runs one in the same directory.
 *
 * Each writer makes a claim, a file with a name of its own, and then looks for other claims; with
 * any other there it withdraws and tries again later. Of two writers the later one to claim sees
 * the other, so never do both go on. The claim of a killed process is recognised by the number of
 * the process, or on another machine by its age, and removing it can never remove another claim,
 * as no name is used twice.
 *
 * @throws {@link OcicryptError} `DESTINATION_UNWRITABLE` when others hold it for a minute, and what
 *   the step throws
 */
export async function withLock<T>(
  directory: string,
  signal: AbortSignal | undefined,
  step: () => Promise<T>,
): Promise<T> {
  const deadline = Date.now() + MAX_WAIT;
  for (let pause = 10; ; pause = Math.min(2 * pause, 200)) {
    signal?.throwIfAborted();
    const name = makeName(".lock");
    const claim = join(directory, name);
    await writeFile(claim, "", { flag: "wx", mode: 0o600 });
    const beat = setInterval(() => {
      utimes(claim, new Date(), new Date()).catch(() => undefined);
    }, LIFETIME / 5);
    try {
      if (!(await isClaimed(directory, name))) return await step();
    } finally {
      clearInterval(beat);
      await rm(claim, { force: true });
      forgetName(name);
    }
    do {
      if (Date.now() > deadline) {
        const message = `${directory} is in use by another process that writes images`;
        throw new OcicryptError("DESTINATION_UNWRITABLE", message);
      }
      await setTimeout(pause * (0.5 + Math.random()), undefined, { signal });
    } while (await isClaimed(directory, undefined));
  }
}

/** Whether another process has a claim. With a claim of its own, it removes those left behind. */
async function isClaimed(directory: string, own: string | undefined): Promise<boolean> {
  // By the clock of the file system, which can be that of a server.
  const now = own === undefined ? Date.now() : await changed(join(directory, own));
  for (const name of await readdir(directory)) {
    if (name === own || !name.endsWith(".lock")) continue;
    const state = liveness(name);
    if (state === "alive") return true;
    if (state === undefined) continue;
    const claim = join(directory, name);
    if (state === "unknown" && now - (await changed(claim)) < LIFETIME) return true;
    if (own !== undefined) await rm(claim, { force: true });
  }
  return false;
}

/** When a file was changed last, in milliseconds; for one that is gone, long ago. */
async function changed(file: string): Promise<number> {
  try {
    return (await stat(file)).mtimeMs;
  } catch (error) {
    if (errno(error) === "ENOENT") return 0;
    throw error;
  }
}
