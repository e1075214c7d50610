import { exportImage, listFiles, type ImageFile, type ImageFilesOptions } from "../files/index.js";
import { readFiles } from "../files/read.js";
import type { CommandLine } from "./arguments.js";
import { allKeys, selection, showProgress, type Prepared } from "./command.js";
import { UsageError } from "./errors.js";
import { openTrusted, requireTrust } from "./images.js";
import { note } from "./progress.js";
import { printable } from "./text.js";

/** Prepares `ls`. */
export async function list(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  const { options, warnings } = await prepare(line, signal);
  return {
    warnings,
    async run([image = "", path = "/"]) {
      const { recursive, long } = line;
      const from = await openTrusted(image, line);
      const result = await listFiles(from, { ...options, path, recursive });
      const files = result.files.map((file) => ({ ...file, mode: octal(file.mode) }));
      const names = result.files.map((file) => nameOf(file, recursive));
      const text = long ? longList(result.files, names) : names.map((name) => `${name}\n`).join("");
      return { text, json: { image, ...result, files }, warnings: [] };
    },
  };
}

/** Prepares `cat`. */
export async function cat(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  const { options, warnings } = await prepare(line, signal);
  return {
    warnings,
    async run([image = "", ...paths]) {
      const content = readFiles(await openTrusted(image, line), paths, options);
      return { text: "", json: undefined, warnings: [], content };
    },
  };
}

/** Prepares `export`. */
export async function exportTar(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  if (process.stdout.isTTY) {
    const hint = "write it to a file: ocicrypt export IMAGE > root.tar";
    throw new UsageError("export does not write an archive to a terminal", hint);
  }
  const { options, warnings } = await prepare(line, signal);
  return {
    warnings,
    async run([image = ""]) {
      const content = exportImage(await openTrusted(image, line), options);
      return { text: "", json: undefined, warnings: [], content };
    },
  };
}

async function prepare(
  line: CommandLine,
  signal: AbortSignal,
): Promise<{ options: ImageFilesOptions; warnings: string[] }> {
  await requireTrust(line.images[0] ?? "", line, signal);
  const { keys, warnings } = await allKeys(line, signal);
  const { requireEncrypted, requireRecipients, requireBound, allowUnverified, threads } = line;
  const policy = { requireEncrypted, requireRecipients, requireBound, allowUnverified };
  const onWarning = (warning: string): void => {
    note("warning", warning);
  };
  // Not into a log: the files are what the command prints.
  const onProgress = showProgress(line, true);
  const watch = { signal, onWarning, onProgress };
  return { options: { ...selection(line), keys, ...policy, threads, ...watch }, warnings };
}

function nameOf({ path }: ImageFile, isWhole: boolean): string {
  return printable(isWhole ? path : path.slice(path.lastIndexOf("/") + 1) || "/");
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

const LETTERS: Readonly<Record<ImageFile["type"], string>> = {
  file: "-",
  directory: "d",
  symlink: "l",
  "character-device": "c",
  "block-device": "b",
  fifo: "p",
};

/** One line for each file: mode, owner and group, size, time in UTC, name. */
function longList(files: readonly ImageFile[], names: readonly string[]): string {
  const rows = files.map((file, i) => [
    LETTERS[file.type] + permissions(file.mode),
    `${String(file.uid)}:${String(file.gid)}`,
    file.device === undefined
      ? String(file.size)
      : `${String(file.device.major)},${String(file.device.minor)}`,
    timeOf(file.mtime),
    (names[i] ?? "") + (file.target === undefined ? "" : ` -> ${printable(file.target)}`),
  ]);
  const width = (column: number): number =>
    rows.reduce((most, row) => Math.max(most, row[column]?.length ?? 0), 0);
  const [owners, sizes] = [width(1), width(2)];
  return rows
    .map(([mode = "", owner = "", size = "", ...rest]) =>
      [mode, owner.padEnd(owners), size.padStart(sizes), ...rest].join(" "),
    )
    .map((row) => `${row}\n`)
    .join("");
}

/** The permissions as POSIX `ls -l` writes them. */
function permissions(mode: number): string {
  const special = ["s", "s", "t"];
  return [6, 3, 0]
    .map((shift, i) => {
      const bits = (mode >> shift) & 7;
      const isSpecial = ((mode >> (11 - i)) & 1) === 1;
      const mark = special[i] ?? "";
      const execute = (bits & 1) === 1 ? (isSpecial ? mark : "x") : isSpecial ? mark.toUpperCase() : "-"; // prettier-ignore
      return ((bits & 4) === 0 ? "-" : "r") + ((bits & 2) === 0 ? "-" : "w") + execute;
    })
    .join("");
}

/** A time in UTC; a time outside of the range of `Date` is a question mark. */
function timeOf(time: Date): string {
  return Number.isNaN(time.getTime()) ? "?" : time.toISOString().slice(0, 16).replace("T", " ");
}
