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
  const fed = pipeline(
    noting(content, (error) => (failure = { error })),
    decompressor,
  );
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
