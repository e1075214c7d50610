import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { checkContent, verified, type Expected } from "../../src/io/content.js";
import { chunked, collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { drain, rethrow, stalling, watched } from "../support/sources.js";
import { sha256 } from "../support/vectors.js";

const bytes = Buffer.alloc(200_000, "some content, ");
const size = bytes.byteLength;
const digest = sha256(bytes);
const other = sha256(Buffer.from("other"));

describe("verified", () => {
  it.each<[string, Expected]>([
    ["nothing", {}],
    ["the size", { size }],
    ["the digest", { digest }],
    ["both", { size, digest }],
    ["an empty digest", { size, digest: "" }],
    ["sha512", { digest: `sha512:${createHash("sha512").update(bytes).digest("hex")}` }],
  ])("passes expected content through: %s", async (_, expected) => {
    expect((await collect(verified(bytes, expected))).equals(bytes)).toBe(true);
    expect((await collect(verified(chunked(bytes, 999), expected))).equals(bytes)).toBe(true);
  });

  it("passes an empty blob", async () => {
    const nothing = Buffer.alloc(0);
    const expected = { size: 0, digest: sha256(nothing) };
    expect(await collect(verified(nothing, expected))).toHaveLength(0);
  });

  it.each([
    ["another digest", { size, digest: other }, "BLOB_DIGEST_MISMATCH"],
    ["a larger size", { size: size + 1, digest }, "BLOB_SIZE_MISMATCH"],
    ["a smaller size", { size: size - 1, digest }, "BLOB_SIZE_MISMATCH"],
    ["no size at all", { size: 0, digest }, "BLOB_SIZE_MISMATCH"],
    ["the size, before the digest", { size: size + 1, digest: other }, "BLOB_SIZE_MISMATCH"],
    ["a fraction", { size: 1.5 }, "DESCRIPTOR_INVALID"],
    ["a negative size", { size: -1 }, "DESCRIPTOR_INVALID"],
    ["no number", { size: NaN }, "DESCRIPTOR_INVALID"],
    ["a size above 2^53", { size: 2 ** 53 }, "DESCRIPTOR_INVALID"],
    ["what is not a digest", { digest: "sha256:abc" }, "DESCRIPTOR_INVALID"],
    ["an unknown digest", { digest: `md5:${"0".repeat(32)}` }, "DESCRIPTOR_INVALID"],
  ] as const)("rejects content when %s is expected", async (_, expected, code) => {
    await expectCode(collect(verified(bytes, expected)), code);
  });

  it("emits no byte beyond the size, and stops reading", async () => {
    const source = watched(Array.from({ length: 9 }, () => Buffer.alloc(64 * 1024)));
    const { bytes: seen, error } = await drain(verified(source, { size: 100_000 }));
    await expectCode(() => rethrow(error), "BLOB_SIZE_MISMATCH");
    expect(seen.byteLength).toBe(64 * 1024);
    expect(source.pulled).toBeLessThan(4);
    expect(source.closed).toBe(true);
  });

  it("rejects with the reason of its signal", async () => {
    const source = stalling([bytes]);
    const controller = new AbortController();
    const collected = collect(verified(source, {}, controller.signal));
    await source.stalled;
    controller.abort();
    await expect(collected).rejects.toBe(controller.signal.reason);
  });
});

describe("checkContent", () => {
  it("reports excess content immediately, and missing content at the end", async () => {
    const check = checkContent({ size: 3 });
    check.update(Buffer.from("ab"));
    await expectCode(check.finish(), "BLOB_SIZE_MISMATCH");
    await expectCode(() => {
      checkContent({ size: 3 }).update(Buffer.from("abcd"));
    }, "BLOB_SIZE_MISMATCH");
  });
});
