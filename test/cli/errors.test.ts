import { describe, expect, it } from "vitest";
import {
  ERROR_TEXTS,
  hintFor,
  SPECIAL_HINTS,
  statusOf,
  withoutMarks,
} from "../../src/cli/errors.js";
import { printable } from "../../src/cli/text.js";
import { OcicryptError, type ErrorCode } from "../../src/errors.js";

describe("hints", () => {
  it.each(Object.entries(ERROR_TEXTS))("of %s fits on a line", (_, { hint }) => {
    expect(withoutMarks(hint)).toMatch(/^\S[^\n]{8,120}[^\s.]$/);
    expect(printable(hint)).toBe(hint);
  });

  it.each(Object.entries(ERROR_TEXTS))("of %s has a meaning beside it", (_, { meaning }) => {
    expect(meaning).toMatch(/^[A-Z`][^\n]{8,250}\.$|^gpg /);
  });

  it.each<[ErrorCode, string]>([
    ["ALREADY_ENCRYPTED", "ocicrypt recipients add"],
    ["ALREADY_ENCRYPTED", "--layer"],
    ["MANIFEST_TOO_LARGE", "fewer layers with --layer"],
    ["NOTHING_SELECTED", "run ocicrypt inspect"],
    ["REGISTRY_DENIED", "with the right password"],
    ["PACKAGE_MISSING", "with -g"],
    ["PROFILE_IMPOSSIBLE", "name only recipients"],
    ["KEY_IS_PUBLIC", "-k private.pem"],
    ["KEY_MISMATCH", "-k private.pem -k certificate.pem"],
    ["KEY_UNSUPPORTED", "certificate with pkcs7:FILE"],
    ["PASSWORD_MISSING", "FILE:prompt"],
    ["IMAGE_NOT_FOUND", "oci-archive:FILE"],
    ["IMAGE_NOT_FOUND", "the source comes first"],
    ["LAYOUT_INVALID", "oci:DIR"],
  ])("of %s contains %s", (code, words) => {
    expect(hintFor(new OcicryptError(code, "message"))).toContain(words);
  });

  it.each<[ErrorCode, string, string]>([
    ["REGISTRY_UNREACHABLE", "GET https://r:1/v2/ failed: it does not speak TLS", "--plain-http"],
    ["KEY_UNSUPPORTED", "the OpenPGP key 0x1 cannot be used: it cannot encrypt", "[E]"],
    ["REFERENCE_INVALID", "credentials do not go into the name of an image", "ocicrypt login"],
    [
      "NOTHING_SELECTED",
      'the image has no manifest for the platform "x"; it has a single one',
      "omit --platform",
    ],
  ])("of %s fits the message %s", (code, message, words) => {
    const hint = hintFor(new OcicryptError(code, message));
    expect(hint).toContain(words);
    expect(hintFor(new OcicryptError(code, "another message"))).not.toContain(words);
  });

  it.each(SPECIAL_HINTS)("for $words fits on a line", ({ hint }) => {
    expect(withoutMarks(hint)).toMatch(/^\S[^\n]{8,120}[^\s.]$/);
  });
});

describe("exit statuses", () => {
  it.each<[ErrorCode, number]>([
    ["REFERENCE_INVALID", 2],
    ["NO_KEYS", 3],
    ["NO_MATCHING_KEY", 3],
    ["HMAC_MISMATCH", 4],
    ["BLOB_SIZE_MISMATCH", 4],
    ["BLOB_DIGEST_MISMATCH", 4],
    ["DIFF_ID_MISMATCH", 4],
    ["PASSWORD_WRONG", 1],
    ["DESTINATION_FULL", 1],
    ["MANIFEST_INVALID", 1],
  ])("of %s is %i", (code, status) => {
    expect(statusOf(code)).toBe(status);
  });
});
