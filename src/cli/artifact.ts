import { statSync } from "node:fs";
import { isAbsolute, normalize, sep } from "node:path";
import { errno } from "../errors.js";
import { pullFiles, pushFiles, type FilesResult } from "../image/index.js";
import { readChunks } from "../io/files.js";
import type { CommandLine } from "./arguments.js";
import { allKeys, allRecipients, type Prepared } from "./command.js";
import { UsageError } from "./errors.js";
import { openDestination, openTrusted, shownImage } from "./images.js";
import { bytes, plural, printable } from "./text.js";

/** Prepares `push`: files become an artifact. */
export async function push(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  const { recipients, warnings } = await allRecipients(line);
  const { artifactType, threads } = line;
  return {
    warnings,
    async run([image = "", ...paths]) {
      const files = paths.map((path) => {
        const title = titleOf(path);
        const size = sizeOfFile(path);
        return { title, size, content: readChunks(path) };
      });
      const to = await openDestination(image, image, line, signal);
      const result = await pushFiles(to, files, { recipients, artifactType, threads, signal });
      return {
        text: render(`encrypted ${plural(result.files.length, "file")}`, result, shownImage(image)),
        json: { destination: image, ...result },
        warnings: [],
        digest: result.image.digest,
      };
    },
  };
}

/** Prepares `pull`: an artifact becomes files. */
export async function pull(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  const { keys, warnings } = await allKeys(line, signal);
  return {
    warnings,
    async run([image = ""]) {
      const from = await openTrusted(image, line);
      const result = await pullFiles(from, line.output, { keys, threads: line.threads, signal });
      return {
        text: render(`decrypted ${plural(result.files.length, "file")}`, result, shownImage(image)),
        json: { source: image, directory: line.output, ...result },
        warnings: [],
        digest: result.image.digest,
      };
    },
  };
}

/** The title of a file: its path, as ORAS has it. */
function titleOf(path: string): string {
  const title = normalize(path);
  if (!isAbsolute(title) && title.split(sep)[0] !== "..") return title.replaceAll(sep, "/");
  const hint = "go to the directory of the files first: the paths become their names when pulled";
  throw new UsageError(`${printable(path)} is not below the current directory`, hint);
}

function sizeOfFile(path: string): number {
  try {
    const stats = statSync(path);
    if (stats.isFile()) return stats.size;
  } catch (error) {
    const hint = "write push IMAGE FILE...; options such as -r follow";
    throw new UsageError(`${printable(path)} cannot be read (${errno(error) ?? "unknown"})`, hint);
  }
  const hint = "pack a directory first: tar -czf DIR.tar.gz DIR";
  throw new UsageError(`${printable(path)} is not a regular file`, hint);
}

function render(title: string, { image, files }: FilesResult, name: string): string {
  const lines = files.map((file) => `  ${printable(file.title)}  ${bytes(file.size)}`);
  return [title, ...lines, `${name} is ${image.digest}`, ""].join("\n");
}
