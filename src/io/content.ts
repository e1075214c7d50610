import { toHex } from "#engine/bytes";
import { OcicryptError } from "../errors.js";
import { parseDigest } from "../spec/digest.js";
import { hashHere, type HashAlgorithm, type RunningHash } from "#engine/passes";
import { parts, type ByteSource } from "./source.js";

/** The expected properties of content; an absent or empty member is not checked. */
export interface Expected {
  digest?: string | undefined;
  size?: number | undefined;
}

export interface ContentCheck {
  /** @throws {@link OcicryptError} `BLOB_SIZE_MISMATCH` as soon as the content is too long */
  update(chunk: Uint8Array): void;
  /** @throws {@link OcicryptError} `BLOB_SIZE_MISMATCH`, `BLOB_DIGEST_MISMATCH` */
  finish(): Promise<void>;
}

/**
 * Checks content against its descriptor while it streams by.
 *
 * @param startHash starts the hash with the first bytes, on this thread by default
 * @throws {@link OcicryptError} `DESCRIPTOR_INVALID`
 */
export function checkContent(
  expected: Expected,
  startHash: (algorithm: HashAlgorithm) => RunningHash = hashHere,
): ContentCheck {
  const { digest, size } = expected;
  if (size !== undefined && (!Number.isSafeInteger(size) || size < 0)) {
    throw new OcicryptError("DESCRIPTOR_INVALID", "the size of a blob is not a whole number");
  }
  const wanted = digest === undefined || digest === "" ? undefined : parseDigest(digest);
  let hash: RunningHash | undefined;
  let length = 0;
  return {
    update(chunk) {
      length += chunk.byteLength;
      if (size !== undefined && length > size) throw sizeMismatch(size, "more");
      if (wanted === undefined) return;
      hash ??= startHash(wanted.algorithm);
      hash.update(chunk);
    },
    async finish() {
      if (size !== undefined && length !== size) {
        throw sizeMismatch(size, `only ${String(length)}`);
      }
      if (wanted === undefined) return;
      const bytes = await (hash ?? startHash(wanted.algorithm)).digest();
      const actual = toHex(bytes);
      if (actual !== wanted.hex) {
        throw new OcicryptError(
          "BLOB_DIGEST_MISMATCH",
          `the blob has the digest ${wanted.algorithm}:${actual} instead of ${wanted.algorithm}:${wanted.hex}`,
        );
      }
    },
  };
}

function sizeMismatch(size: number, found: string): OcicryptError {
  return new OcicryptError(
    "BLOB_SIZE_MISMATCH",
    `the blob has ${found} bytes instead of ${String(size)}`,
  );
}

/** Passes content through, and fails at its end or earlier if it is not the expected content. */
export async function* verified(
  source: ByteSource,
  expected: Expected,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const check = checkContent(expected);
  for await (const chunk of parts(source, signal)) {
    check.update(chunk);
    yield chunk;
  }
  await check.finish();
}
