import { describe, expect, it } from "vitest";
import { uploadWindow } from "../../src/registry/upload-window.js";
import { chunked } from "../support/bytes.js";

describe("uploadWindow", () => {
  it.each([
    ["one chunk of several steps", 40],
    ["chunks of a step", 4],
    ["chunks that end within a step", 3],
    ["single bytes", 1],
  ])("reads content in %s to its end", async (_, size) => {
    const bytes = Uint8Array.from({ length: 40 }, (_value, i) => i);
    const window = uploadWindow(chunked(bytes, size), { size: 16, step: 4 });
    const read: number[] = [];
    // A turn that reads nothing new would never end.
    for (let turn = 0; turn < 20 && !window.isEnded; turn++) {
      const offset = window.end;
      await window.more();
      if (window.end > offset) read.push(...window.at(offset));
    }
    expect(read).toEqual([...bytes]);
    expect(window.isEnded).toBe(true);
    expect(window.start).toBe(24);
  });

  it("reuses the memory of a finished upload, without its bytes", async () => {
    const settings = { size: 16, step: 16 };
    const first = uploadWindow(chunked(new Uint8Array(16).fill(7), 16), settings);
    await first.more();
    const { buffer } = first.at(0);
    first.release();
    expect(new Uint8Array(buffer)).toEqual(new Uint8Array(16));
    const second = uploadWindow(chunked(new Uint8Array(16).fill(8), 16), settings);
    await second.more();
    expect(second.at(0).buffer).toBe(buffer);
  });
});
