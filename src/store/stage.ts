import { createHash, randomBytes } from "node:crypto";
import { readlinkSync } from "node:fs";
import {
  constants,
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  rmdir,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { errno, OcicryptError } from "../errors.js";
import { makeDirectories, removedOnFailure, writeContent, writing } from "../io/files.js";

/**
 * The name contains the machine and the process, so that leftovers of ended processes are
 * recognised.
 */
const NAME = /^\.ocicrypt-([0-9a-f]{8})-(\d+)-[0-9a-f]{16}(?:\.lock)?$/;

/** The contents of a stage: unfinished blobs, and the new layout. */
const CONTENT = /^(?:image|[0-9a-f]{16})$/;

/**
 * The names of this process. A name with this process's number that is not here is of an ended
 * process, because numbers are reused.
 */
const OWN = new Set<string>();

/** Whether a file name belongs to a stage, or to a lock next to stages. */
export function isStage(name: string): boolean {
  return NAME.test(name);
}

/** Returns a name that no other process uses, until {@link forgetName} ends its use. */
function makeName(suffix = ""): string {
  const random = randomBytes(8).toString("hex");
  const name = `.ocicrypt-${host()}-${String(process.pid)}-${random}${suffix}`;
  OWN.add(name);
  return name;
}

/** Ends the use of a name, so that anything still there under this name counts as a leftover. */
function forgetName(name: string): void {
  OWN.delete(name);
}

/** Creates a hidden directory that no other user can enter. */
export async function makeStage(parent: string): Promise<string> {
  const stage = join(parent, makeName());
  await mkdir(stage, { mode: 0o700 });
  return stage;
}

/**
 * Removes the stages of killed processes of this machine, because they can contain plaintext. If
 * the directory cannot be listed, nothing happens.
 */
export async function removeStaleStages(parent: string): Promise<void> {
  for (const name of await readdir(parent).catch(() => [])) {
    if (!name.endsWith(".lock") && liveness(name) === "dead") await removeStage(join(parent, name));
  }
}

/**
 * Removes a stage with its content, but only if this user created it and no other user can change
 * it: in a directory that everyone may write to, anyone can put something else under the same name,
 * even while the stage is being removed.
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
      // Through the open directory, which stays the same even if its name is reused.
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

/** The new files of a directory, in a stage until they are published. */
export interface StagedFiles {
  /** Where the files will be renamed from. No other user can enter the stage that contains it. */
  root(): Promise<string>;
  /**
   * Writes a file, and flushes it.
   *
   * @param targetIn returns the path of the file below the root, once it has been written
   */
  write(
    content: AsyncIterable<Uint8Array>,
    targetIn: (root: string) => Promise<string> | string,
  ): Promise<void>;
  /** Removes the stage with all that was not published. */
  remove(): Promise<void>;
}

/**
 * Stages the new files of a directory: in the directory if it exists, otherwise beside it. The stage is
 * created for the first file, so that an earlier failure leaves no trace.
 *
 * @param name of the directory, for messages
 */
export function stageDirectory(path: string, isThere: boolean, name: string): StagedFiles {
  const where = isThere ? path : dirname(path);
  let stage: Promise<string> | undefined;

  async function openStage(): Promise<string> {
    await makeDirectories(where);
    await removeStaleStages(where);
    // Removes the stage of a process that was killed right after its new directory had appeared.
    if (isThere) await removeStaleStages(dirname(path));
    return makeStage(where);
  }

  const root = async (): Promise<string> => join(await (stage ??= openStage()), "image");
  return {
    root,
    async write(content, targetIn) {
      const staged = await writing(name, root);
      const file = join(dirname(staged), randomBytes(8).toString("hex"));
      await removedOnFailure(file, async () => {
        await writeContent(file, content, name, { flush: true });
        const target = await targetIn(staged);
        await writing(name, async () => {
          await makeDirectories(dirname(target));
          await rename(file, target);
        });
      });
    },
    async remove() {
      // If creating it failed, the caller that needed it has reported that.
      const directory = await stage?.catch(() => undefined);
      if (directory !== undefined) await removeStage(directory);
      stage = undefined;
    },
  };
}

/** Whether the process that made a name is running; `unknown` for a process of another machine. */
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

/** The milliseconds that a writer waits for others; each of them holds the lock for one rename. */
const MAX_WAIT = 60_000;
/** The milliseconds for which a claim of another machine counts after it was last renewed. */
const LIFETIME = 30_000;

/**
 * Runs a step while no other process runs a step in the same directory with this function.
 *
 * Each writer makes a claim, which is a file with a unique name, and then looks for other claims.
 * If there is another claim, it withdraws its own and tries again later. Of two writers, the one
 * that claims later sees the other claim, so they never both continue. The claim of a killed
 * process is recognised by the number of the process, or on another machine by its age. Removing it
 * can never remove another claim, because no name is used twice.
 *
 * @throws {@link OcicryptError} `DESTINATION_UNWRITABLE` if others hold the lock for a minute, and
 *   the errors of the step
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
        const message = `${directory} is in use by another process that writes there`;
        throw new OcicryptError("DESTINATION_UNWRITABLE", message);
      }
      await setTimeout(pause * (0.5 + Math.random()), undefined, { signal });
    } while (await isClaimed(directory, undefined));
  }
}

/**
 * Whether another process has a claim. A caller that has a claim itself removes leftover claims.
 */
async function isClaimed(directory: string, own: string | undefined): Promise<boolean> {
  // The clock of the file system, which may be a server's.
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

/** The time of a file's last change, in milliseconds; for a missing file, a time long ago. */
async function changed(file: string): Promise<number> {
  try {
    return (await stat(file)).mtimeMs;
  } catch (error) {
    if (errno(error) === "ENOENT") return 0;
    throw error;
  }
}
