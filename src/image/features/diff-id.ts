import { createHash } from "node:crypto";
import type { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { isOcicryptError, OcicryptError } from "../../errors.js";
import {
  canDecompress,
  compressionOf,
  createDecompressor,
  MAGIC_LENGTH,
} from "../../io/buffers.js";
import { parseDigest } from "../../spec/digest.js";
import { nameOfLayer, type SelectedLayer } from "../manifests/select-layers.js";
import { REFUSED_LATER } from "./expected-config.js";

/**
 * The result of comparing a layer with its diffID in the image's config: `skipped` if the config
 * has no diffIDs, `unverified` if the comparison failed and `allowUnverified` accepted the layer.
 */
export type DiffIdCheck = "verified" | `skipped: ${string}` | `unverified: ${string}`;

export interface DiffIdCheckStream {
  /** The content of the layer. */
  content: AsyncIterable<Uint8Array>;
  /**
   * Ends the check, after the content has ended.
   *
   * @throws {@link OcicryptError} `DIFF_ID_MISMATCH`; `DIFF_ID_UNCHECKED` if this Node.js cannot
   *   decompress the layer
   */
  check: () => Promise<void>;
}

/** The digest of the bytes that pass, which others compute. */
export interface PassingDigest {
  algorithm: string;
  /** Called after the content has ended, and only if it is what it should be. */
  digest: () => Promise<string> | string;
}

/**
 * Passes a plain layer through and compares its uncompressed content with a diffID. The compression
 * is recognised by the layer's first bytes, because the media type is only a claim of the
 * manifest's author. An uncompressed layer is its own content, so that its digest is not computed
 * twice.
 */
export function withDiffId(
  layer: AsyncIterable<Uint8Array>,
  expected: string,
  passing: PassingDigest,
): DiffIdCheckStream {
  const { algorithm } = parseDigest(expected);
  const hash = createHash(algorithm);
  const isKnown = passing.algorithm === algorithm;
  let isPlain = false;
  let decompressor: Transform | undefined;
  let hashed: Promise<void> | undefined;
  let unsupported = false;

  function start(head: Uint8Array): void {
    const compression = compressionOf(head);
    if (compression === "none") {
      isPlain = true;
      return;
    }
    if (!canDecompress(compression)) {
      unsupported = true;
      return;
    }
    decompressor = createDecompressor(compression);
    hashed = pipeline(decompressor, async (uncompressed: AsyncIterable<Uint8Array>) => {
      for await (const chunk of uncompressed) hash.update(chunk);
    });
    // The check awaits the promise. Without this handler, an early failure would be an unhandled
    // rejection.
    hashed.catch(() => undefined);
  }

  async function feed(chunk: Uint8Array): Promise<void> {
    if (!isPlain) await decompress(decompressor, chunk);
    else if (!isKnown) hash.update(chunk);
  }

  async function* tee(): AsyncGenerator<Uint8Array, void, undefined> {
    let head: Uint8Array | undefined = new Uint8Array();
    let isEnded = false;
    try {
      for await (const chunk of layer) {
        if (head !== undefined) {
          head = Buffer.concat([head, chunk]);
          if (head.byteLength >= MAGIC_LENGTH) {
            start(head);
            await feed(head);
            head = undefined;
          }
        } else {
          await feed(chunk);
        }
        yield chunk;
      }
      if (head !== undefined) {
        start(head);
        await feed(head);
      }
      decompressor?.end();
      isEnded = true;
    } finally {
      if (!isEnded) decompressor?.destroy();
    }
  }

  return {
    content: tee(),
    async check() {
      if (unsupported) {
        const message = "the diffID of a zstd layer cannot be checked before Node.js 22.15";
        throw new OcicryptError("DIFF_ID_UNCHECKED", message);
      }
      try {
        await hashed;
      } catch (cause) {
        const message = "the layer cannot be decompressed, so its diffID is wrong";
        throw new OcicryptError("DIFF_ID_MISMATCH", message, { cause });
      }
      const actual =
        isPlain && isKnown ? await passing.digest() : `${algorithm}:${hash.digest("hex")}`;
      if (actual === expected) return;
      const message = `the layer has the diffID ${actual}, but the config says ${expected}`;
      throw new OcicryptError("DIFF_ID_MISMATCH", message);
    },
  };
}

/** Warns about a config for which decryption will reject the layer. */
export async function findWrongDiffId(
  check: DiffIdCheckStream["check"] | undefined,
  layer: SelectedLayer,
): Promise<string[]> {
  try {
    await check?.();
    return [];
  } catch (error) {
    // The recipient may have a newer Node.js.
    if (isOcicryptError(error, "DIFF_ID_UNCHECKED")) return [];
    if (!isOcicryptError(error, "DIFF_ID_MISMATCH")) throw error;
    return [`${nameOfLayer(layer)}: ${error.message}; ${REFUSED_LATER}`];
  }
}

/** Waits until the decompressor has room, or has failed; the check reports its error. */
async function decompress(decompressor: Transform | undefined, chunk: Uint8Array): Promise<void> {
  if (decompressor === undefined || decompressor.destroyed || decompressor.write(chunk)) return;
  await new Promise<void>((resolve) => {
    const proceed = (): void => {
      decompressor.off("drain", proceed).off("close", proceed);
      resolve();
    };
    decompressor.on("drain", proceed).on("close", proceed);
  });
}
