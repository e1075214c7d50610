import { mkdtempSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { readFile, readFiles } from "../../src/files/read.js";
import type { ImageFilesOptions } from "../../src/files/root-files.js";
import { layoutSource } from "../../src/store/layout/source.js";
import { parseLayoutReference } from "../../src/store/reference.js";
import type { ImageSource } from "../../src/store/types.js";
import { collect } from "../support/bytes.js";
import { expectCode } from "../support/codes.js";
import { blobFile, layerOf, layoutOf, temporaryDirectories, TAR } from "../support/image.js";
import { openKey } from "../support/layers.js";
import { encrypt } from "../support/operations.js";
import { archive, pax, rawEntry } from "../support/tar.js";

const directory = temporaryDirectories();
afterEach(() => {
  vi.unstubAllEnvs();
});

const sourceOf = (path: string): ImageSource => layoutSource(parseLayoutReference(`oci:${path}`));

async function layout(...layers: readonly (readonly Buffer[])[]): Promise<string> {
  const path = directory();
  await layoutOf(path, layers.map((entries) => layerOf(archive(...entries)))); // prettier-ignore
  return path;
}

const cat = async (path: string, file: string, options?: ImageFilesOptions): Promise<string> =>
  (await collect(readFile(sourceOf(path), file, options))).toString();

describe("readFile", () => {
  it("reads the last version of a file, through links in the image", async () => {
    const path = await layout(
      [rawEntry({ name: "etc/a" }, "first"), rawEntry({ name: "etc/b" }, "kept")],
      [
        rawEntry({ name: "etc/a" }, "second"),
        rawEntry({ name: "hard", type: "1", target: "etc/b" }),
      ],
      [rawEntry({ name: "l", type: "2", target: "../../etc/../etc/a" }), rawEntry({ name: "m", type: "2", target: "/l" })], // prettier-ignore
    );
    expect(await cat(path, "/etc/a")).toBe("second");
    expect(await cat(path, "etc/b")).toBe("kept");
    expect(await cat(path, "hard")).toBe("kept");
    expect(await cat(path, "m")).toBe("second");
    expect(await cat(path, "/etc/a", { layers: [0] })).toBe("first");
    const both = readFiles(sourceOf(path), ["etc/b", "etc/a", "etc/b"], {});
    expect((await collect(both)).toString()).toBe("keptsecondkept");
  });

  it("reads an encrypted image with its key", async () => {
    const [plain, encrypted] = [await layout([rawEntry({ name: "a" }, "secret")]), directory()];
    await encrypt(plain, encrypted);
    expect(await cat(encrypted, "a", { keys: [openKey()] })).toBe("secret");
    await expectCode(cat(encrypted, "a"), "NO_KEYS");
  });

  it("reads sparse files with their holes, and long names", async () => {
    const path = await layout([
      pax([["GNU.sparse.map", "2,2,6,1"], ["GNU.sparse.size", "9"], ["path", "s".repeat(300)]]), // prettier-ignore
      rawEntry({}, "abc"),
    ]);
    expect(await cat(path, "s".repeat(300))).toBe("\0\0ab\0\0c\0\0");
  });

  it.for(["d", "/", "null", "fifo", "to-d"])("rejects %s, which is not a file", async (name) => {
    const path = await layout([
      rawEntry({ name: "d/x" }),
      rawEntry({ name: "null", type: "3" }),
      rawEntry({ name: "fifo", type: "6" }),
      rawEntry({ name: "to-d", type: "2", target: "d" }),
    ]);
    await expectCode(cat(path, name), "FILE_UNREADABLE");
    await expectCode(cat(path, `${name}/none/x`), "FILE_NOT_FOUND");
  });

  it("finds all files before it emits anything", async () => {
    const path = await layout([rawEntry({ name: "a" }, "x")]);
    const chunks: Uint8Array[] = [];
    const reading = async (): Promise<void> => {
      for await (const chunk of readFiles(sourceOf(path), ["a", "b"], {})) chunks.push(chunk);
    };
    await expectCode(reading(), "FILE_NOT_FOUND");
    expect(chunks).toEqual([]);
  });

  it("emits nothing if any layer fails to verify", async () => {
    const path = directory();
    const layers = [rawEntry({ name: "a" }, "x"), rawEntry({ name: "b" }, "y")].map((entry) =>
      layerOf(archive(entry), { mediaType: TAR }),
    );
    const [, top] = layers;
    await layoutOf(path, layers);
    const { writeFile } = await import("node:fs/promises");
    await writeFile(blobFile(path, top?.descriptor.digest ?? ""), archive(rawEntry({ name: "c" }, "y"))); // prettier-ignore
    await expectCode(cat(path, "a"), "BLOB_DIGEST_MISMATCH");
  });

  it("leaves no file behind, whether it is read to its end, cancelled, aborted or never read", async () => {
    const temporary = mkdtempSync(join(directory(), "t"));
    vi.stubEnv("TMPDIR", temporary);
    const path = directory();
    const big = Buffer.alloc(20 * 1024 * 1024, 1);
    await layoutOf(path, [layerOf(archive(rawEntry({ name: "big" }, big)), { mediaType: TAR })]);
    const source = sourceOf(path);
    readFile(source, "big");
    expect((await collect(readFile(source, "big"))).equals(big)).toBe(true);
    const reader = readFile(source, "big").getReader();
    expect((await reader.read()).done).toBe(false);
    await reader.cancel();
    const controller = new AbortController();
    const aborted = readFile(source, "big", { signal: controller.signal }).getReader();
    await aborted.read();
    controller.abort(new Error("stop"));
    await expect(
      (async () => {
        while (!(await aborted.read()).done);
      })(),
    ).rejects.toThrow("stop");
    expect(readdirSync(temporary)).toEqual([]);
  });

  it("emits memory of its own, which may be changed", async () => {
    const path = await layout([pax([["GNU.sparse.map", ""], ["GNU.sparse.size", "9"]]), rawEntry({ name: "a" })]); // prettier-ignore
    for await (const chunk of readFile(sourceOf(path), "a")) chunk.fill(1);
    expect(await cat(path, "a")).toBe("\0".repeat(9));
  });
});
