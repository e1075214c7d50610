import { createHash, randomBytes } from "node:crypto";
import { readlinkSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { errno } from "../io/files.js";

/** Names the machine and process that work in it, so that one left behind can be told. */
const STAGE = /^\.ocicrypt-([0-9a-f]{8})-(\d+)-[0-9a-f]{16}$/;

/** Those of this process; another one with its number has ended, as the number is given again. */
const OWN = new Set<string>();

/** Whether a file name is that of a stage. */
export function isStage(name: string): boolean {
  return STAGE.test(name);
}

/** A new hidden directory that nobody else can look into. */
export async function makeStage(parent: string): Promise<string> {
  const name = `.ocicrypt-${host()}-${String(process.pid)}-${randomBytes(8).toString("hex")}`;
  const stage = join(parent, name);
  OWN.add(name);
  await mkdir(stage, { mode: 0o700 });
  return stage;
}

/** Removes the stages of processes of this machine that were killed: they can hold plaintext. */
export async function removeStaleStages(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const match = STAGE.exec(name);
    if (match?.[1] !== host() || isAlive(name, Number(match[2]))) continue;
    try {
      await rm(join(parent, name), { recursive: true, force: true });
    } catch (error) {
      // Of another user, in a directory that all may write to.
      if (errno(error) !== "EACCES" && errno(error) !== "EPERM") throw error;
    }
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

function isAlive(name: string, pid: number): boolean {
  if (pid === process.pid) return OWN.has(name);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errno(error) !== "ESRCH";
  }
}
