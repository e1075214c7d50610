import { createReadStream, createWriteStream, fstatSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";

/*
 * Node.js reads and writes a pipe as a file in a thread, for which the end of the process waits. As
 * a socket it does not. Bun neither reads a pipe as a socket nor handles a signal while it writes to
 * one, and ends while it reads or writes a file.
 */
const takesPipesAsSockets = process.versions.bun === undefined;

/** @returns `undefined` if the file descriptor is neither a pipe nor a regular file */
export function openInput(fd: number): Readable | undefined {
  try {
    const stats = fstatSync(fd);
    if (stats.isFile()) return createReadStream("", { fd });
    if (!stats.isFIFO()) return undefined;
  } catch {
    return undefined;
  }
  return takesPipesAsSockets
    ? new Socket({ fd, readable: true, writable: false })
    : createReadStream("", { fd });
}

/**
 * Opens standard output, which as `process.stdout` blocks the process on a pipe, so that no signal
 * would be handled while containerd does not read.
 */
export function openOutput(): Writable {
  const stats = fstatSync(1);
  const isPipe = stats.isFIFO() || stats.isSocket();
  const stream =
    isPipe && takesPipesAsSockets
      ? new Socket({ fd: 1, readable: false, writable: true })
      : createWriteStream("", { fd: 1 });
  // Each write reports its own failure.
  return stream.on("error", () => undefined);
}
