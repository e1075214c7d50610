import { execFileSync } from "node:child_process";
import { collect } from "./bytes.js";
import { readTar, type TarEntry } from "../../src/files/tar-reader.js";

/** The members of a header block; numbers may be given as raw bytes. */
export interface RawHeader {
  name?: string | Buffer;
  mode?: number | Buffer;
  uid?: number | Buffer;
  gid?: number | Buffer;
  size?: number | Buffer;
  mtime?: number | Buffer;
  type?: string;
  target?: string | Buffer;
  /** `ustar` by default; `gnu`, or `v7` without any. */
  format?: "ustar" | "gnu" | "v7";
  devmajor?: number;
  devminor?: number;
  prefix?: string;
  /** Bytes to put over the block before its checksum is made, by their position. */
  patch?: Readonly<Record<number, string | Buffer>>;
  /** A number to add to the right checksum. */
  checksumError?: number;
}

/** Writes a header block by the table of POSIX, independently of the code under test. */
export function rawHeader(raw: RawHeader): Buffer {
  const block = Buffer.alloc(512);
  const put = (value: number | string | Buffer, at: number, length: number): void => {
    if (typeof value === "number") {
      block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
    } else if (typeof value === "string") block.write(value, at, length, "utf8");
    else value.copy(block, at);
  };
  const { format = "ustar", patch = {}, checksumError = 0 } = raw;
  put(raw.name ?? "f", 0, 100);
  put(raw.mode ?? 0o644, 100, 8);
  put(raw.uid ?? 0, 108, 8);
  put(raw.gid ?? 0, 116, 8);
  put(raw.size ?? 0, 124, 12);
  put(raw.mtime ?? 0, 136, 12);
  put("        ", 148, 8);
  put(raw.type ?? "0", 156, 1);
  put(raw.target ?? "", 157, 100);
  if (format !== "v7") put(format === "gnu" ? "ustar  \0" : "ustar\x0000", 257, 8);
  if (raw.devmajor !== undefined) put(raw.devmajor, 329, 8);
  if (raw.devminor !== undefined) put(raw.devminor, 337, 8);
  put(raw.prefix ?? "", 345, 155);
  for (const [at, bytes] of Object.entries(patch)) Buffer.from(bytes).copy(block, Number(at));
  const sum = block.reduce((total, byte) => total + byte, checksumError);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** An entry with its content, padded to whole blocks. */
export function rawEntry(raw: RawHeader, content: string | Buffer = ""): Buffer {
  const bytes = Buffer.from(content);
  const padding = Buffer.alloc((512 - (bytes.length % 512)) % 512);
  return Buffer.concat([rawHeader({ size: bytes.length, ...raw }), bytes, padding]);
}

/** A pax extended header with these records. */
export function pax(records: readonly (readonly [string, string | Buffer])[], type = "x"): Buffer {
  const lines = records.map(([key, value]) => {
    const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
    let length = rest.length + 1;
    while (String(length).length + rest.length !== length) length++;
    return Buffer.concat([Buffer.from(String(length)), rest]);
  });
  return rawEntry({ name: "PaxHeaders/f", type }, Buffer.concat(lines));
}

export const END: Buffer = Buffer.alloc(1024);

export function archive(...parts: readonly Buffer[]): Buffer {
  return Buffer.concat([...parts, END]);
}

export type ReadEntry = Omit<TarEntry, "content"> & { content: Buffer };

/** Reads an archive with all contents, in chunks of a size. */
export async function readAll(bytes: Uint8Array, chunk = 1000): Promise<ReadEntry[]> {
  const entries: ReadEntry[] = [];
  for await (const entry of readTar(inChunks(bytes, chunk), "layer 0")) {
    entries.push({ ...entry, content: await collect(entry.content()) });
  }
  return entries;
}

// eslint-disable-next-line @typescript-eslint/require-await -- a source of bytes
export async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

/** Packs a directory with a real tar. */
export function packWith(program: string, directory: string, ...args: readonly string[]): Buffer {
  const all = [...args, "-cf", "-", "-C", directory, "."];
  return execFileSync(program, all, { maxBuffer: 64 * 1024 * 1024, stdio: ["ignore", "pipe", "pipe"] }); // prettier-ignore
}
