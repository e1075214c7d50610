import type { Compression } from "../spec/media-types.js";

/** The number of bytes that {@link compressionOf} needs. */
export const MAGIC_LENGTH = 4;

const GZIP = [0x1f, 0x8b];
/** RFC 8878 section 3.1.1: a frame. */
const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];
/** RFC 8878 section 3.1.2: a skippable frame, after a byte from 0x50 to 0x5f. */
const SKIPPABLE = [0x2a, 0x4d, 0x18];

/** Recognises the formats that image-spec names by their first bytes, as containers/image does. */
export function compressionOf(head: Uint8Array): Compression {
  if (head.length < MAGIC_LENGTH) return "none";
  const startsWith = (magic: readonly number[], at = 0): boolean =>
    magic.every((byte, i) => head[at + i] === byte);
  if (startsWith(GZIP)) return "gzip";
  const isSkippable = (head[0] ?? 0) >>> 4 === 5 && startsWith(SKIPPABLE, 1);
  return isSkippable || startsWith(ZSTD) ? "zstd" : "none";
}
