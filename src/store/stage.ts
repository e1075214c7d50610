import { createHash, randomBytes } from "node:crypto";
import { readlinkSync } from "node:fs";
import {
  constants,
  lstat,
  mkdir,
  open,
  readdir,
  rm,
  rmdir,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { errno } from "../io/files.js";
import { OcicryptError } from "../errors.js";

/** Names the machine and the process that work with it, so that what is left behind is recognised. */
const NAME = /^\.ocicrypt-([0-9a-f]{8})-(\d+)-[0-9a-f]{16}(?:\.lock)?$/;

/** The contents of a stage: unfinished blobs, and the new layout. */
const CONTENT = /^(?:image|[0-9a-f]{16})$/;

/** The names of this process: another process with its number has ended, as numbers are reused. */
const OWN = new Set<string>();

/** Whether a file name is that of a stage or of a lock beside stages. */
export function isStage(name: string): boolean {
  return NAME.test(name);
}

/** A name that no other process uses; {@link forgetName} ends its use. */
function makeName(suffix = ""): string {
  const random = randomBytes(8).toString("hex");
  const name = `.ocicrypt-${host()}-${String(process.pid)}-${random}${suffix}`;
  OWN.add(name);
  return name;
}

/** Ends the use of a name, so that what is left under it counts as left behind. */
function forgetName(name: string): void {
  OWN.delete(name);
}

/** Makes a hidden directory that nobody else can look into. */
export async function makeStage(parent: string): Promise<string> {
  const stage = join(parent, makeName());
  await mkdir(stage, { mode: 0o700 });
  return stage;
}

/**
 * Removes the stages of killed processes of this machine: they can hold plaintext. A directory that
 * cannot be listed is left alone.
 */
export async function removeStaleStages(parent: string): Promise<void> {
  for (const name of await readdir(parent).catch(() => [])) {
    if (!name.endsWith(".lock") && liveness(name) === "dead") await removeStage(join(parent, name));
  }
}

/**
 * Removes a stage with its content, but only a directory that this user made as one and nobody
 * else can change: in a directory that all may write to, anyone can put something else under the
 * same name, even while it is being removed.
 */
export async function removeStage(path: string): Promise<void> {
  try {
    if (process.getuid === undefined) {
      if ((await lstat(path)).isDirectory()) await rm(path, { recursive: true, force: true });
      return;
    }
    const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
    const directory = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const { uid, mode, dev, ino } = await directory.stat();
      if (uid !== process.getuid() || (mode & 0o7777) !== 0o700) return;
      // By the open directory, which stays the same whatever happens to its name.
      const opened = `/proc/self/fd/${String(directory.fd)}`;
      const isReachable = await readdir(opened).catch(() => undefined);
      const root = isReachable === undefined ? path : opened;
      const now = await lstat(`${root}/.`);
      if (now.dev !== dev || now.ino !== ino) return;
      const names = await readdir(root);
      if (!names.every((name) => CONTENT.test(name))) return;
      for (const name of names) await rm(join(root, name), { recursive: true, force: true });
    } finally {
      await directory.close();
    }
    await rmdir(path);
  } catch (error) {
    if (!["ENOENT", "ENOTDIR", "ELOOP", "EACCES", "EPERM"].includes(errno(error) ?? ""))
      throw error;
  }
}

/** Whether the process that made a name runs; `unknown` for one of another machine. */
function liveness(name: string): "alive" | "dead" | "unknown" | undefined {
  const match = NAME.exec(name);
  if (match === null) return undefined;
  if (match[1] !== host()) return "unknown";
  const pid = Number(match[2]);
  if (pid === process.pid) return OWN.has(name) ? "alive" : "dead";
  try {
    process.kill(pid, 0);
    return "alive";
  } catch (error) {
    return errno(error) === "ESRCH" ? "dead" : "alive";
  }
}

/** Containers can share a host's name and files, and each counts its processes from 1. */
export function host(): string {
  return createHash("sha256")
    .update(`${hostname()} ${processNamespace()}`)
    .digest("hex")
    .slice(0, 8);
}

function processNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

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
