import type { ErrorCode } from "../errors.js";

/** Exit statuses of the command. */
export const STATUS = { done: 0, failed: 1, usage: 2, noKey: 3, notVerified: 4 } as const;

const BY_CODE: Partial<Record<ErrorCode, number>> = {
  REFERENCE_INVALID: STATUS.usage,
  NO_KEYS: STATUS.noKey,
  NO_MATCHING_KEY: STATUS.noKey,
  HMAC_MISMATCH: STATUS.notVerified,
  BLOB_SIZE_MISMATCH: STATUS.notVerified,
  BLOB_DIGEST_MISMATCH: STATUS.notVerified,
  DIFF_ID_MISMATCH: STATUS.notVerified,
};

export function statusOf(code: ErrorCode): number {
  return BY_CODE[code] ?? STATUS.failed;
}
