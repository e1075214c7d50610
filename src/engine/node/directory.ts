import { randomBytes } from "node:crypto";
import { copyFile, constants, link, lstat, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errno, OcicryptError, shown } from "../../errors.js";
import { makeDirectories, writeContent, writeError } from "../../io/files.js";
import { makeStage, removeStage } from "../../store/stage.js";
import type { DirectoryEngine } from "../content-types.js";

export const stageFiles: DirectoryEngine["stageFiles"] = async (directory, titles) => {
  for (const title of titles) await requireFree(directory, title);
  const made = await makeDirectories(directory);
  const staged: { title: string; file: string }[] = [];
  const placed: string[] = [];
  let stage: string | undefined;
  return {
    async add(title, content) {
      stage ??= await makeStage(directory);
      const file = join(stage, randomBytes(8).toString("hex"));
      await writeContent(file, content, title, { flush: false });
      staged.push({ title, file });
    },
    async place(signal) {
      for (const { title, file } of staged) {
        signal?.throwIfAborted();
        placed.push(await placeFile(file, directory, title, made));
      }
    },
    async close() {
      if (stage !== undefined) await removeStage(stage);
    },
    async discard() {
      for (const file of placed) await rm(file, { force: true });
      if (stage !== undefined) await removeStage(stage);
      // Others may have put files there meanwhile.
      for (const each of made.reverse()) await rmdir(each).catch(() => undefined);
    },
  };
};

/** Checks that only directories are on the way to a file, and that nothing is in its place. */
async function requireFree(directory: string, title: string): Promise<void> {
  const parts = title.split("/");
  for (let i = 1; i <= parts.length; i++) {
    const stats = await lstat(join(directory, ...parts.slice(0, i))).catch((error: unknown) => {
      if (errno(error) === "ENOENT") return undefined;
      throw writeError(error, title);
    });
    if (stats === undefined) return;
    if (i < parts.length && stats.isDirectory()) continue;
    const what = parts.slice(0, i).join("/");
    const why = i < parts.length ? "is not a directory" : "already exists";
    throw new OcicryptError("DESTINATION_EXISTS", `${shown(what)} ${why} in ${directory}`);
  }
}

/**
 * Gives a file its place. Never follows a symbolic link there, and never replaces anything.
 *
 * @param made receives the directories that did not exist before
 */
async function placeFile(
  file: string,
  directory: string,
  title: string,
  made: string[],
): Promise<string> {
  const target = join(directory, ...title.split("/"));
  await requireFree(directory, title);
  try {
    made.push(...(await makeDirectories(dirname(target))));
    await link(file, target).catch(async (error: unknown) => {
      if (errno(error) === "EEXIST") throw error;
      // A file system without hard links.
      await copyFile(file, target, constants.COPYFILE_EXCL);
    });
    return target;
  } catch (error) {
    if (errno(error) !== "EEXIST") throw writeError(error, title);
    throw new OcicryptError("DESTINATION_EXISTS", `${shown(title)} already exists in ${directory}`);
  }
}
