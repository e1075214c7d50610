import type { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import * as zlib from "node:zlib";
import type { InflateEngine, PackFormat } from "../content-types.js";

/** In bytes. Node's default of 16 KiB takes one and a half times as much processor time. */
const OUTPUT = 256 * 1024;

/** Node.js has zstd since version 22.15. */
export const canInflate: InflateEngine["canInflate"] = (format) =>
  format !== "zstd" || "createZstdDecompress" in zlib;

function createDecompressor(format: PackFormat): Transform {
  if (format === "gzip") return zlib.createGunzip({ chunkSize: OUTPUT });
  // Not in the types of Node.js 20.
  const { createZstdDecompress } = zlib as typeof zlib & {
    createZstdDecompress: (options: { chunkSize: number }) => Transform;
  };
  return createZstdDecompress({ chunkSize: OUTPUT });
}

export const inflate: InflateEngine["inflate"] = async function* (content, format, damaged) {
  const decompressor = createDecompressor(format);
  let failure: { error: unknown } | undefined;
  const noted = noting(content, (error) => (failure = { error }));
  const fed = pipeline(format === "zstd" ? frameByFrame(noted) : noted, decompressor);
  // Reported by the decompressor.
  fed.catch(() => undefined);
  try {
    for await (const chunk of decompressor) yield chunk as Uint8Array;
  } catch (error) {
    if (failure !== undefined) throw failure.error;
    throw damaged(error);
  } finally {
    decompressor.destroy();
    await fed.catch(() => undefined);
  }
};

/** Passes content through, and notes its failure, which is not one of the decompressor. */
async function* noting(
  content: AsyncIterable<Uint8Array>,
  onFailure: (error: unknown) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* content;
  } catch (error) {
    onFailure(error);
    throw error;
  }
}

/*
 * The frames of zstd: RFC 8878 sections 3.1.1 and 3.1.2. Where a frame ends within a chunk, Node.js drops
 * the rest, and Node.js 22 takes a frame that was cut off for its end.
 */

const FRAME = 0xfd2fb528;
const SKIPPABLE_FRAME = 0x184d2a50;
const DICTIONARY_ID_SIZES = [0, 1, 2, 4];
const CONTENT_SIZE_SIZES = [0, 2, 4, 8];

/** Finds the ends of frames in bytes that arrive in chunks. */
interface FrameReader {
  /** Returns how many of the bytes belong to the current frame. @throws {Error} for no frame */
  take(bytes: Uint8Array): number;
  /** Whether the next byte begins a frame. */
  isAtStart(): boolean;
}

function createFrameReader(): FrameReader {
  type Part = "magic" | "descriptor" | "skippable" | "block";
  const sizes: Readonly<Record<Part, number>> = { magic: 4, descriptor: 1, skippable: 4, block: 3 };
  let part: Part = "magic";
  let field: number[] = [];
  let isInFrame = false;
  /** The bytes before the next field, and whether the frame ends with them. */
  let skip = 0;
  let isLast = false;
  let checksumSize = 0;

  function readField(value: number): void {
    switch (part) {
      case "magic":
        isInFrame = true;
        if (value !== FRAME && (value & ~0xf) !== SKIPPABLE_FRAME) throw new Error("no frame");
        part = value === FRAME ? "descriptor" : "skippable";
        return;
      case "skippable":
        skip = value;
        isLast = true;
        return;
      case "descriptor": {
        const isSingle = (value & 0x20) !== 0;
        const contentSize = CONTENT_SIZE_SIZES[value >>> 6] ?? 0;
        skip = (DICTIONARY_ID_SIZES[value & 3] ?? 0) + (contentSize || (isSingle ? 1 : 0));
        if (!isSingle) skip++;
        checksumSize = (value & 4) === 0 ? 0 : 4;
        part = "block";
        return;
      }
      case "block": {
        const type = (value >>> 1) & 3;
        if (type === 3) throw new Error("a block of no known type");
        isLast = (value & 1) === 1;
        // A block of one repeated byte has only that byte.
        skip = (type === 1 ? 1 : value >>> 3) + (isLast ? checksumSize : 0);
      }
    }
  }

  return {
    take(bytes) {
      for (let at = 0; at < bytes.byteLength;) {
        if (skip > 0) {
          const skipped = Math.min(skip, bytes.byteLength - at);
          at += skipped;
          skip -= skipped;
        } else {
          field.push(bytes[at++] ?? 0);
          if (field.length < sizes[part]) continue;
          const value = field.reduceRight((sum, byte) => sum * 256 + byte, 0);
          field = [];
          readField(value);
        }
        if (skip === 0 && isLast) {
          [part, isLast, isInFrame] = ["magic", false, false];
          return at;
        }
      }
      return bytes.byteLength;
    },
    isAtStart: () => !isInFrame && field.length === 0,
  };
}

/** Divides content so that no chunk has bytes of two frames. @throws {Error} for a cut frame */
async function* frameByFrame(
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = createFrameReader();
  for await (const chunk of content) {
    for (let rest = chunk; rest.byteLength > 0;) {
      const size = reader.take(rest);
      yield rest.subarray(0, size);
      rest = rest.subarray(size);
    }
  }
  if (!reader.isAtStart()) throw new Error("unexpected end of file");
}
