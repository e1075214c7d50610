import type { FileHandle } from "node:fs/promises";
import type { Bytes } from "./source.js";

/*
 * Memory for content on its way. Blocks that are allocated and freed for each blob fragment the
 * memory of the process by more than they hold, and each new block costs a pass over its pages.
 */

const spare: Bytes[] = [];
/** As much as four uploads and as many files use at once, in bytes. */
const MAX_SPARE = 16 * 1024 * 1024;
let spareSize = 0;

/** Returns memory of a size in bytes. It is filled with zeros. */
export function takeBuffer(size: number): Bytes {
  const index = spare.findIndex(({ byteLength }) => byteLength === size);
  const [found] = index === -1 ? [] : spare.splice(index, 1);
  if (found === undefined) return new Uint8Array(size);
  spareSize -= size;
  return found;
}

/** Takes memory back that nothing uses any more. It is wiped, because it can hold plaintext. */
export function giveBuffer(buffer: Bytes): void {
  buffer.fill(0);
  if (spareSize + buffer.byteLength > MAX_SPARE) return;
  spare.push(buffer);
  spareSize += buffer.byteLength;
}

/** The size of the writes of a {@link FileWriter}, in bytes. */
const WRITE_SIZE = 512 * 1024;
/** The most writes that a {@link FileWriter} has not finished. */
const MAX_BEHIND = 3;

/** Writes to a file while its content is still being made. */
export interface FileWriter {
  /**
   * Copies the next bytes, so that they may be overwritten afterwards. Fails with the error of an
   * earlier write.
   */
  write(chunk: Uint8Array): Promise<void>;
  /** Waits until all bytes are in the file. */
  finish(): Promise<void>;
  /** Waits for unfinished writes, after which the file may be closed. Never fails. */
  close(): Promise<void>;
}

/** Writes to a file from its position on, behind the content and in its order. */
export function writeBehind(file: FileHandle): FileWriter {
  const free: Bytes[] = [];
  let count = 0;
  let filling: Bytes | undefined;
  let length = 0;
  const behind: Promise<void>[] = [];
  let last: Promise<void> = Promise.resolve();

  async function freeBuffer(): Promise<Bytes> {
    if (free.length === 0 && count > MAX_BEHIND) await behind[0];
    const buffer = free.pop();
    if (buffer !== undefined) return buffer;
    count++;
    return takeBuffer(WRITE_SIZE);
  }

  function flush(): void {
    if (filling === undefined) return;
    const buffer = filling;
    const bytes = buffer.subarray(0, length);
    [filling, length] = [undefined, 0];
    last = last.then(() => writeFully(file, bytes));
    const ended = last.then(() => {
      void behind.shift();
      free.push(buffer);
    });
    // Reported by the next call.
    ended.catch(() => undefined);
    behind.push(ended);
  }

  return {
    async write(chunk) {
      for (let start = 0; start < chunk.byteLength;) {
        filling ??= await freeBuffer();
        const part = chunk.subarray(start, start + WRITE_SIZE - length);
        filling.set(part, length);
        length += part.byteLength;
        start += part.byteLength;
        if (length === WRITE_SIZE) flush();
      }
    },
    async finish() {
      flush();
      await last;
    },
    async close() {
      await last.catch(() => undefined);
      for (const buffer of free.splice(0)) giveBuffer(buffer);
    },
  };
}

/** A write may store only a part of its bytes, for example on a disk that is nearly full. */
async function writeFully(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let offset = 0; offset < chunk.byteLength;) {
    const { bytesWritten } = await file.write(chunk, offset);
    offset += bytesWritten;
  }
}
