import { concat, toHex } from "#engine/bytes";
import { createHash } from "#engine/hash";
import { canInflate, inflate } from "#engine/inflate";
import { isOcicryptError, OcicryptError } from "../../errors.js";
import { compressionOf, MAGIC_LENGTH } from "../../io/compression.js";
import { handoff, type Handoff } from "../../io/handoff.js";
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
   * @throws {@link OcicryptError} `DIFF_ID_MISMATCH`; `DIFF_ID_UNCHECKED` if this platform cannot
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
  let packed: Handoff | undefined;
  let hashed: Promise<void> | undefined;
  let unsupported = false;

  function start(head: Uint8Array): void {
    const compression = compressionOf(head);
    if (compression === "none") {
      isPlain = true;
      return;
    }
    if (!canInflate(compression)) {
      unsupported = true;
      return;
    }
    packed = handoff();
    hashed = hashAll(inflate(packed.content, compression, undecompressible));
    // The check awaits the promise. Without this handler, an early failure would be an unhandled
    // rejection.
    hashed.catch(() => undefined);
  }

  async function hashAll(content: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of content) hash.update(chunk);
  }

  /** Waits until the decompressor has room, or has failed; the check reports its error. */
  async function feed(chunk: Uint8Array): Promise<void> {
    if (!isPlain) await packed?.give(chunk);
    else if (!isKnown) hash.update(chunk);
  }

  async function* tee(): AsyncGenerator<Uint8Array, void, undefined> {
    let head: Uint8Array | undefined = new Uint8Array();
    try {
      for await (const chunk of layer) {
        if (head !== undefined) {
          head = concat([head, chunk]);
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
    } finally {
      packed?.end();
    }
  }

  return {
    content: tee(),
    async check() {
      if (unsupported) {
        const message = "the diffID of a zstd layer can be checked only by Node.js 22.15 and later";
        throw new OcicryptError("DIFF_ID_UNCHECKED", message);
      }
      await hashed;
      const actual =
        isPlain && isKnown ? await passing.digest() : `${algorithm}:${toHex(hash.digest())}`;
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

function undecompressible(cause: unknown): OcicryptError {
  const message = "the layer cannot be decompressed, so its diffID is wrong";
  return new OcicryptError("DIFF_ID_MISMATCH", message, { cause });
}
