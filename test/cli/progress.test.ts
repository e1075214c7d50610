import { afterEach, describe, expect, it, vi } from "vitest";
import { parseCommandLine } from "../../src/cli/arguments.js";
import { showProgress } from "../../src/cli/command.js";
import {
  progressBar,
  progressDisplay,
  progressLine,
  progressLines,
  writeAbove,
} from "../../src/cli/progress.js";
import type { ImageProgress } from "../../src/image/engine/copy-blobs.js";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;

describe("the progress bar", () => {
  const half: ImageProgress = {
    ...{ digest: DIGEST, action: "encrypt", blobBytes: 1, blobSize: 2 },
    ...{ bytes: 1024 ** 2, size: 2 * 1024 ** 2 },
  };

  it.each<[string, Partial<ImageProgress>, number, string]>([
    ["nothing", { bytes: 0 }, 0, "encrypt [------------------------]   0%  0 B of 2.0 MiB"],
    [
      "half",
      {},
      2,
      "encrypt [############------------]  50%  1.0 MiB of 2.0 MiB  512.0 KiB/s  0:02 left",
    ],
    ["all", { bytes: 2 * 1024 ** 2 }, 0, "encrypt [########################] 100%  2.0 MiB of 2.0 MiB"], // prettier-ignore
    ["too much", { bytes: 4 * 1024 ** 2 }, 0, "encrypt [########################] 100%  4.0 MiB of 2.0 MiB"], // prettier-ignore
    ["an empty image", { bytes: 0, size: 0, action: "copy" }, 0, "copy    [########################] 100%  0 B of 0 B"], // prettier-ignore
  ])("of %s", (_, change, seconds, expected) => {
    expect(progressLine({ ...half, ...change }, seconds, 100)).toBe(expected);
  });

  it.each([
    [100, "encrypt [############------------]  50%  1.0 MiB of 2.0 MiB  512.0 KiB/s  0:02 left"],
    [79, "encrypt [##########----------]  50%  1.0 MiB of 2.0 MiB  512.0 KiB/s  0:02 left"],
    [49, "encrypt [#####-----]  50%  512.0 KiB/s  0:02 left"],
    [39, "encrypt 50%  512.0 KiB/s  0:02 left"],
  ])("fits into %i columns", (width, expected) => {
    const line = progressLine(half, 2, width);
    expect(line).toBe(expected);
    expect(line.length).toBeLessThanOrEqual(width);
  });

  it("shows the hours that are left", () => {
    const slow = { ...half, bytes: 1, size: 4000 };
    expect(progressLine(slow, 1, 100)).toMatch(/ 1 B\/s {2}1:06:39 left$/);
  });

  it("names layers by their number", () => {
    const { stream, written } = terminal(40);
    let now = 0;
    const bar = progressBar(stream, () => now);
    for (const layer of [0, 3]) {
      bar.update({ ...half, layer, digest: `sha256:${String(layer).repeat(64)}`, blobSize: 4 });
      now += 1000;
    }
    expect(written.at(-1)).toMatch(/^\r {2}encrypt layer 0 .*\n {2}encrypt layer 3 /);
    for (const line of written.at(-1)!.split("\n")) {
      expect(line.replace(/\r|\u001b\[[A-Z\d]+/g, "").length).toBeLessThan(40);
    }
  });

  function terminal(columns: number): { stream: NodeJS.WriteStream; written: string[] } {
    const written: string[] = [];
    const stream = { columns, write: (text: string) => written.push(text) };
    return { stream: stream as unknown as NodeJS.WriteStream, written };
  }

  it("is drawn at most ten times a second on one line, and removed at the end", () => {
    const { stream, written } = terminal(40);
    let now = 5000;
    const bar = progressBar(stream, () => now);
    for (; now < 5250; now += 10) bar.update(half);
    expect(written).toHaveLength(3);
    for (const text of written) {
      expect(text).toMatch(/^\r[^\r\n]{1,39}\u001b\[K$/);
    }
    bar.clear();
    bar.clear();
    expect(written.slice(3)).toEqual(["\r\u001b[K"]);
  });

  it("has a line for each of several blobs, and removes all lines", () => {
    const { stream, written } = terminal(100);
    let now = 0;
    const bar = progressBar(stream, () => now);
    for (const name of ["a", "b"]) {
      bar.update({ ...half, digest: `sha256:${name.repeat(64)}`, blobBytes: 1, blobSize: 4 });
      now += 1000;
    }
    expect(written.at(-1)).toMatch(
      /^\r {2}\w+ a{8} \[#{6}-{18}\] {2}25%.*\u001b\[K\n {2}\w+ b{8} .*\n\w+ .*\u001b\[K$/,
    );
    bar.update({ ...half, digest: `sha256:${"a".repeat(64)}`, blobBytes: 4, blobSize: 4 });
    expect(written.at(-1)).toMatch(/^\r\u001b\[2A\w+ [^\n]*\u001b\[K\u001b\[J$/);
    bar.clear();
    expect(written.at(-1)).toBe("\r\u001b[K");
  });

  it("makes room for a line above it", () => {
    const { stream, written } = terminal(100);
    const bar = progressDisplay(Object.assign(stream, { isTTY: true }));
    bar.update({ ...half, digest: `sha256:${"a".repeat(64)}` });
    writeAbove(stream, "trying again");
    expect(written.slice(-2)).toEqual(["\r\u001b[K", "trying again\n"]);
    bar.clear();
    expect(written.at(-1)).toBe("trying again\n");
  });

  it("is a line every ten seconds without a terminal", () => {
    const { stream, written } = terminal(80);
    let now = 0;
    const lines = progressLines(stream, () => now);
    for (; now < 25_000; now += 1000) lines.update({ ...half, bytes: 5 * 1024 ** 2 });
    lines.clear();
    expect(written).toHaveLength(2);
    expect(written[0]).toMatch(/^\w+: 5\.0 MiB of .*, 512\.0 KiB\/s, \d+:\d+ left\n$/);
  });

  it("erases nothing if it was never drawn", () => {
    const { stream, written } = terminal(80);
    progressBar(stream).clear();
    expect(written).toEqual([]);
  });
});

describe("the progress of a command", () => {
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  it.each([
    { where: "a log", isTTY: undefined, shown: 0 },
    { where: "a terminal", isTTY: true, shown: 1 },
  ])("that is meant for terminals is written $shown times to $where", ({ isTTY, shown }) => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const write = vi.fn();
    vi.spyOn(process, "stderr", "get").mockReturnValue({ isTTY, write } as never);
    const update = showProgress(parseCommandLine(["ls", "oci:a"]), true);
    vi.setSystemTime(Date.now() + 60_000);
    update({ digest: DIGEST, action: "verify", blobBytes: 1, blobSize: 2, bytes: 1, size: 2 });
    expect(write).toHaveBeenCalledTimes(shown);
  });
});
