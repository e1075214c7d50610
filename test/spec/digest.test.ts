import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { parseDigest } from "../../src/spec/digest.js";
import { expectCode } from "../support/codes.js";

const HEX = "0123456789abcdef".repeat(4);

describe("parseDigest", () => {
  it.each(["sha256", "sha512"] as const)("reads a %s digest", (algorithm) => {
    const hex = createHash(algorithm).update("content").digest("hex");
    expect(parseDigest(`${algorithm}:${hex}`)).toEqual({ algorithm, hex });
  });

  it.each([
    ["nothing", ""],
    ["no algorithm", HEX],
    ["an empty hash", "sha256:"],
    ["a short hash", `sha256:${HEX.slice(1)}`],
    ["a long hash", `sha256:${HEX}0`],
    ["a sha256 hash as sha512", `sha512:${HEX}`],
    ["a sha512 hash as sha256", `sha256:${HEX}${HEX}`],
    ["capitals", `sha256:${HEX.toUpperCase()}`],
    ["an algorithm in capitals", `SHA256:${HEX}`],
    ["an unknown algorithm", `sha384:${HEX}${HEX.slice(32)}`],
    ["md5", "md5:d41d8cd98f00b204e9800998ecf8427e"],
    ["a trailing newline", `sha256:${HEX}\n`],
    ["a leading space", ` sha256:${HEX}`],
    ["a path", `sha256:../../../${HEX.slice(9)}`],
    ["a name of every object", "constructor:00"],
  ])("rejects %s", async (_, digest) => {
    await expectCode(() => parseDigest(digest), "DESCRIPTOR_INVALID");
  });

  it("does not repeat a huge digest in its message", async () => {
    const error = await expectCode(() => parseDigest("x".repeat(1 << 20)), "DESCRIPTOR_INVALID");
    expect(error.message.length).toBeLessThan(300);
  });
});
