import { concat } from "#engine/bytes";
import { canInflate, inflate } from "#engine/inflate";
import { OcicryptError } from "../errors.js";
import { compressionOf, MAGIC_LENGTH } from "../io/compression.js";
import { continued } from "../io/source.js";
import type { Descriptor } from "../spec/descriptor.js";
import { MAX_UNPACKED_SIZE } from "../spec/limits.js";
import { layerCompression, plainMediaType } from "../spec/media-types.js";
import { unreadable } from "./tar-header.js";

/**
 * Rejects a layer whose media type says that this platform cannot decompress it, before it is read.
 *
 * @throws {@link OcicryptError} `COMPRESSION_UNSUPPORTED`
 */
export function requireDecompressor({ mediaType }: Descriptor, where: string): void {
  const compression = layerCompression(plainMediaType(mediaType));
  if (compression === undefined || compression === "none" || canInflate(compression)) return;
  throw unsupported(where);
}

/**
 * Decompresses a layer. Its first bytes say how, because a media type is only a claim.
 *
 * @param where the name of the layer in messages
 * @param limit the most bytes of a decompressed layer. Default: 64 GiB
 * @throws {@link OcicryptError} `COMPRESSION_UNSUPPORTED`, `LAYER_UNREADABLE`, and the errors of the
 *   layer
 */
export async function* decompressed(
  layer: AsyncIterable<Uint8Array>,
  where: string,
  limit: number = MAX_UNPACKED_SIZE,
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = layer[Symbol.asyncIterator]();
  let head: Uint8Array = new Uint8Array();
  try {
    while (head.length < MAGIC_LENGTH) {
      const next = await iterator.next();
      if (next.done === true) break;
      head = concat([head, next.value]);
    }
    const compression = compressionOf(head);
    if (compression !== "none" && !canInflate(compression)) throw unsupported(where);
    const whole = continued(head.length > 0 ? [head] : [], iterator);
    let size = 0;
    const damaged = (cause: unknown): Error =>
      new OcicryptError("LAYER_UNREADABLE", `${where} cannot be decompressed`, { cause });
    for await (const chunk of compression === "none"
      ? whole
      : inflate(whole, compression, damaged)) {
      size += chunk.byteLength;
      if (size > limit) throw unreadable(`${where} has more than ${String(limit)} bytes`);
      yield chunk;
    }
  } finally {
    await iterator.return?.(undefined);
  }
}

function unsupported(where: string): OcicryptError {
  const message = `${where} is compressed with zstd, which needs Node.js 22.15`;
  return new OcicryptError("COMPRESSION_UNSUPPORTED", message);
}
