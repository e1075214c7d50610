import { execFileSync } from "node:child_process";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { decompressed, requireDecompressor } from "../../src/files/decompress.js";
import { collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { HAS_ZSTD, TAR_GZIP, TAR_ZSTD } from "../support/image.js";
import { inChunks } from "../support/tar.js";

const content = Buffer.from("some content, some content\n".repeat(20_000));
const with_ = (program: string): Buffer => execFileSync(program, ["-c"], { input: content });
const read = (bytes: Buffer, chunk: number, limit?: number): Promise<Buffer> =>
  collect(decompressed(inChunks(bytes, chunk), "layer 0", limit));

describe("decompressed", () => {
  it.for([1, 3, 1000, 1_000_000])("reads any compression in chunks of %i", async (chunk) => {
    const small = chunk < 1000 ? content.subarray(0, 5000) : content;
    const members = Buffer.concat([
      gzipSync(small.subarray(0, 777)),
      gzipSync(small.subarray(777)),
    ]);
    for (const bytes of [small, gzipSync(small), members]) {
      expect((await read(bytes, chunk)).equals(small)).toBe(true);
    }
    expect((await read(Buffer.alloc(0), chunk)).length).toBe(0);
    expect((await read(Buffer.from("abc"), chunk)).toString()).toBe("abc");
  });

  it.runIf(HAS_ZSTD)("reads zstd", async () => {
    expect((await read(with_("zstd"), 1000)).equals(content)).toBe(true);
  });

  it.runIf(!HAS_ZSTD)("says that zstd needs a later Node.js", async () => {
    const zstd = Buffer.from("28b52ffd0058", "hex");
    await expectCode(read(zstd, 1000), "COMPRESSION_UNSUPPORTED");
    const descriptor = { digest: "", size: 0 };
    for (const mediaType of [TAR_ZSTD, `${TAR_ZSTD}+encrypted`]) {
      await expectCode(() => {
        requireDecompressor({ ...descriptor, mediaType }, "layer 0");
      }, "COMPRESSION_UNSUPPORTED");
    }
    requireDecompressor({ ...descriptor, mediaType: TAR_GZIP }, "layer 0");
  });

  it("rejects damaged and truncated content, and more than the limit", async () => {
    const bytes = gzipSync(content);
    const damaged = Buffer.from(bytes);
    damaged.fill(0xff, 100, 110);
    await expectCode(read(damaged, 1000), "LAYER_UNREADABLE");
    await expectCode(read(bytes.subarray(0, -10), 1000), "LAYER_UNREADABLE");
    await expectCode(read(bytes, 1000, content.length - 1), "LAYER_UNREADABLE");
    await expectCode(read(content, 1000, content.length - 1), "LAYER_UNREADABLE");
  });

  it("passes on an error of its source, and closes it when its consumer stops", async () => {
    let closed = 0;
    async function* source(fails: boolean): AsyncGenerator<Uint8Array> {
      try {
        yield await Promise.resolve(gzipSync(content).subarray(0, 1000));
        if (fails) throw new Error("broken off");
        for (;;) yield await Promise.resolve(gzipSync(content));
      } finally {
        closed++;
      }
    }
    await expect(collect(decompressed(source(true), "layer 0"))).rejects.toThrow("broken off");
    for await (const chunk of decompressed(source(false), "layer 0")) if (chunk.length > 0) break;
    expect(closed).toBe(2);
  });
});
