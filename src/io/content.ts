import { createHash } from "node:crypto";
import { OcicryptError } from "../errors.js";
import { parseDigest } from "../spec/digest.js";
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
  finish(): void;
}

/**
 * Checks content against its descriptor while it streams by.
 *
 * @throws {@link OcicryptError} `DESCRIPTOR_INVALID`
 */
export function checkContent(expected: Expected): ContentCheck {
  const { digest, size } = expected;
  if (size !== undefined && (!Number.isSafeInteger(size) || size < 0)) {
    throw new OcicryptError("DESCRIPTOR_INVALID", "the size of a blob is not a whole number");
  }
  const hash =
    digest === undefined || digest === "" ? undefined : createHash(parseDigest(digest).algorithm);
  let length = 0;
  return {
    update(chunk) {
      length += chunk.byteLength;
      if (size !== undefined && length > size) throw sizeMismatch(size, "more");
      hash?.update(chunk);
    },
    finish() {
      if (size !== undefined && length !== size) {
        throw sizeMismatch(size, `only ${String(length)}`);
      }
      if (hash === undefined || digest === undefined) return;
      const actual = hash.digest("hex");
      if (actual !== parseDigest(digest).hex) {
        throw new OcicryptError(
          "BLOB_DIGEST_MISMATCH",
          `the blob is not ${digest}, its hash is ${actual}`,
        );
      }
    },
  };
}

function sizeMismatch(size: number, found: string): OcicryptError {
  return new OcicryptError(
    "BLOB_SIZE_MISMATCH",
    `the descriptor says ${String(size)} bytes, the blob has ${found}`,
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
  check.finish();
}
