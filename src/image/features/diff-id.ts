import { createHash } from "node:crypto";
import { PassThrough, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import * as zlib from "node:zlib";
import { OcicryptError } from "../../errors.js";
import { parseDigest } from "../../spec/digest.js";
import { layerCompression, type Compression } from "../../spec/media-types.js";

/** Whether a layer's content was compared with the diffID in the image's config, or why not. */
export type DiffIdCheck = "verified" | `skipped: ${string}`;

/**
 * Passes a plain layer through while computing its diffID.
 *
 * @returns the layer to go on with, and the check, to be called once that has ended
 */
export function withDiffId(
  layer: AsyncIterable<Uint8Array>,
  mediaType: string,
  expected: string | undefined,
): { content: AsyncIterable<Uint8Array>; check: () => Promise<DiffIdCheck> } {
  const compression = layerCompression(mediaType);
  const skipped = reasonToSkip(compression, expected);
  if (skipped !== undefined || compression === undefined || expected === undefined) {
    const result: DiffIdCheck = `skipped: ${skipped ?? "not a tar layer"}`;
    return { content: layer, check: () => Promise.resolve(result) };
  }
  const decompress = decompressor(compression);
  const { algorithm } = parseDigest(expected);
  const hash = createHash(algorithm);
  const hashed = pipeline(decompress, async (uncompressed: AsyncIterable<Uint8Array>) => {
    for await (const chunk of uncompressed) hash.update(chunk);
  });
  // Awaited in the check; without this, damage found early would be an unhandled rejection.
  hashed.catch(() => undefined);

  async function* tee(): AsyncGenerator<Uint8Array, void, undefined> {
    let isEnded = false;
    try {
      for await (const chunk of layer) {
        await feed(decompress, chunk);
        yield chunk;
      }
      decompress.end();
      isEnded = true;
    } finally {
      if (!isEnded) decompress.destroy();
    }
  }

  return {
    content: tee(),
    async check() {
      try {
        await hashed;
      } catch (cause) {
        const message = "the decrypted layer can not be decompressed, so its diffID is wrong";
        throw new OcicryptError("DIFF_ID_MISMATCH", message, { cause });
      }
      const actual = `${algorithm}:${hash.digest("hex")}`;
      if (actual === expected) return "verified";
      const message = `the decrypted layer has the diffID ${actual}, the config says ${expected}`;
      throw new OcicryptError("DIFF_ID_MISMATCH", message);
    },
  };
}

function reasonToSkip(
  compression: Compression | undefined,
  expected: string | undefined,
): string | undefined {
  if (expected === undefined) return "the config has no diffIDs";
  if (compression === undefined) return "not a tar layer";
  if (compression === "zstd" && !("createZstdDecompress" in zlib)) {
    return "zstd needs Node.js 22.15 or later";
  }
  return undefined;
}

function decompressor(compression: Compression): Transform {
  if (compression === "gzip") return zlib.createGunzip();
  if (compression === "none") return new PassThrough();
  return createZstdDecompress();
}

/** Not in the types of Node 20. */
function createZstdDecompress(): Transform {
  const { createZstdDecompress: create } = zlib as typeof zlib & {
    createZstdDecompress: () => Transform;
  };
  return create();
}

/** Waits for room, and no longer once the decompressor has failed: its error is for the check. */
async function feed(decompress: Transform, chunk: Uint8Array): Promise<void> {
  if (decompress.destroyed || decompress.write(chunk)) return;
  await new Promise<void>((resolve) => {
    const proceed = (): void => {
      decompress.off("drain", proceed).off("close", proceed);
      resolve();
    };
    decompress.on("drain", proceed).on("close", proceed);
  });
}
