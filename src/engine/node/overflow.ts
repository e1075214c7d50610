import type { FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { openNameless, readRange, writeAll, writing } from "../../io/files.js";
import type { OverflowEngine } from "../content-types.js";

/**
 * In a file that belongs to the current user alone and has no name, so that nothing is left however
 * this process ends.
 */
export const openOverflow: OverflowEngine["openOverflow"] = () => {
  const where = `a copy of the layers in ${tmpdir()}`;
  let file: FileHandle | undefined;
  return {
    async add(content) {
      const handle = (file ??= await writing(where, openNameless));
      const first = (await handle.stat()).size;
      const size = await writeAll(handle, content, where);
      return {
        read: (start = 0, end = size) =>
          readRange(handle, first + Math.min(start, size), first + Math.min(end, size)),
      };
    },
    async close() {
      const former = file;
      file = undefined;
      await former?.close();
    },
  };
};
