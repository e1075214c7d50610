import { describe, expect, it } from "vitest";
import { memoryImage } from "../../src/store/memory.js";
import { sha256Digest } from "../../src/spec/digest.js";
import { createHash } from "node:crypto";
import { single } from "../../src/io/source.js";
import { collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";

const CONTENT = Buffer.from("content");
const digest = sha256Digest(createHash("sha256").update(CONTENT).digest());
const blob = { mediaType: "application/octet-stream", digest, size: CONTENT.byteLength };

async function withBlob(): Promise<ReturnType<typeof memoryImage>> {
  const image = memoryImage();
  await image.write(single(CONTENT), () => ({ digest }));
  return image;
}

describe("memoryImage", () => {
  it("shows nothing before the commit, and everything after it", async () => {
    const image = await withBlob();
    expect(await image.contains(blob)).toBe(false);
    await expectCode(image.resolve(), "IMAGE_NOT_FOUND");
    await image.commit(blob);
    expect(await image.contains(blob)).toBe(true);
    expect(await image.resolve()).toEqual(blob);
    expect(await collect(image.read(blob))).toEqual(CONTENT);
  });

  it("keeps nothing that was discarded", async () => {
    const image = await withBlob();
    await image.discard();
    await image.commit(blob);
    await expectCode(collect(image.read(blob)), "BLOB_NOT_FOUND");
  });

  it("keeps nothing of content that its description rejects", async () => {
    const image = memoryImage();
    const reject = (): never => {
      throw new Error("rejected");
    };
    await expect(image.write(single(CONTENT), reject)).rejects.toThrow("rejected");
    await image.commit(blob);
    expect(await image.contains(blob)).toBe(false);
  });

  it("does not replace an image that was committed in the meantime", async () => {
    const image = await withBlob();
    await image.commit(blob);
    const other = { ...blob, digest: `sha256:${"0".repeat(64)}` };
    await expectCode(image.commit(other, { replaces: other }), "DESTINATION_CHANGED");
    expect(await image.resolve()).toEqual(blob);
  });

  it("commits nothing after an abort", async () => {
    const image = await withBlob();
    const reason = new Error("aborted");
    await expect(image.commit(blob, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await expectCode(image.resolve(), "IMAGE_NOT_FOUND");
  });
});
