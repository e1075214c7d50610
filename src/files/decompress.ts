import { pipeline } from "node:stream/promises";
import { OcicryptError } from "../errors.js";
import { canDecompress, compressionOf, createDecompressor, MAGIC_LENGTH } from "../io/buffers.js";
import { continued } from "../io/source.js";
import type { Descriptor } from "../spec/descriptor.js";
import { MAX_UNPACKED_SIZE } from "../spec/limits.js";
import { layerCompression, plainMediaType } from "../spec/media-types.js";
import { unreadable } from "./tar-header.js";

/**
 * Rejects a layer whose media type says that this Node.js cannot decompress it, before it is read.
 *
 * @throws {@link OcicryptError} `COMPRESSION_UNSUPPORTED`
 */
export function requireDecompressor({ mediaType }: Descriptor, where: string): void {
  const compression = layerCompression(plainMediaType(mediaType));
  if (compression !== undefined && !canDecompress(compression)) throw unsupported(where);
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
  let head = Buffer.alloc(0);
  try {
    while (head.length < MAGIC_LENGTH) {
      const next = await iterator.next();
      if (next.done === true) break;
      head = Buffer.concat([head, next.value]);
    }
    const compression = compressionOf(head);
    if (!canDecompress(compression)) throw unsupported(where);
    const whole = continued(head.length > 0 ? [head] : [], iterator);
    let size = 0;
    for await (const chunk of compression === "none"
      ? whole
      : unpacked(whole, compression, where)) {
      size += chunk.byteLength;
      if (size > limit) throw unreadable(`${where} has more than ${String(limit)} bytes`);
      yield chunk;
    }
  } finally {
    await iterator.return?.(undefined);
  }
}

async function* unpacked(
  content: AsyncIterable<Uint8Array>,
  compression: "gzip" | "zstd",
  where: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const decompressor = createDecompressor(compression);
  let failure: unknown;
  const fed = pipeline(
    noting(content, (error) => (failure = error)),
    decompressor,
  );
  // Reported by the decompressor.
  fed.catch(() => undefined);
  try {
    for await (const chunk of decompressor) yield chunk as Uint8Array;
  } catch (error) {
    // eslint-disable-next-line @typescript-eslint/only-throw-error -- the source's own
    if (failure !== undefined) throw failure;
    throw new OcicryptError("LAYER_UNREADABLE", `${where} cannot be decompressed`, {
      cause: error,
    });
  } finally {
    decompressor.destroy();
    await fed.catch(() => undefined);
  }
}

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

function unsupported(where: string): OcicryptError {
  const message = `${where} is compressed with zstd, which needs Node.js 22.15`;
  return new OcicryptError("COMPRESSION_UNSUPPORTED", message);
}
