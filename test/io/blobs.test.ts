import { describe, expect, it, vi } from "vitest";
import { collectBlob, readBlob } from "../../src/io/blobs.js";
import { collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";

const MIB = 1024 * 1024;

async function* chunks(size: number, count: number): AsyncGenerator<Uint8Array> {
  // The memory of each chunk is used again.
  const chunk = new Uint8Array(size);
  for (let i = 0; i < count; i++) yield await Promise.resolve(chunk.fill(i));
}

describe("collectBlob", () => {
  it.each([
    [1, 1000],
    [MIB - 1, 10],
    [9 * MIB + 1, 1],
    [4 * MIB, 2],
    [1, 0],
  ])("takes chunks of %i bytes, %i of them", async (size, count) => {
    const blob = await collectBlob(chunks(size, count), "the test");
    expect(blob.size).toBe(size * count);
    const read = await collect(readBlob(blob, "the test"));
    const parts = Array.from({ length: count }, (_, i) => Buffer.alloc(size, i));
    expect(read.equals(Buffer.concat(parts))).toBe(true);
  });

  it("passes on the errors of the content", async () => {
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield* chunks(1, 1);
      throw new Error("broken off");
    };
    await expect(collectBlob(broken(), "the test")).rejects.toThrow("broken off");
  });

  it("says when the browser has no room", async () => {
    const full = new DOMException("no room", "NotReadableError");
    const read = vi.spyOn(Blob.prototype, "arrayBuffer").mockRejectedValue(full);
    try {
      const error = await expectCode(collectBlob(chunks(1, 1), "the test"), "DESTINATION_FULL");
      expect(error.message).toBe("there is no space left for the test");
    } finally {
      read.mockRestore();
    }
  });
});
