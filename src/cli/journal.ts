import { createHash } from "node:crypto";
import { mkdir, open, rm, type FileHandle } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { errno, isOcicryptError } from "../errors.js";
import type { Descriptor } from "../spec/descriptor.js";
import type { ImageDestination, ImageSource } from "../store/index.js";
import { note } from "./progress.js";

/**
 * The images that a command has written for many images. A later run of the same command skips
 * those that are still as written, even where nothing in an image tells, as after a rotation in
 * place. Each image is recorded before it becomes visible, so that a killed run leaves none out.
 */
export interface Journal {
  /** Notes the digest of a source when it is resolved. */
  watch(source: ImageSource): ImageSource;
  /** Records an image before it becomes visible in a destination. */
  record(source: ImageSource["place"], destination: ImageDestination): ImageDestination;
  /** Returns the image in a destination if the interrupted run made it from this source. */
  find(source: ImageSource, destination: ImageSource): Promise<Descriptor | undefined>;
  /** Removes the journal of a run that got through all of its images. */
  end(): Promise<void>;
}

/** In milliseconds: after that, a run is no continuation but a new one. */
const MAX_AGE = 7 * 24 * 60 * 60 * 1000;
const MAX_SIZE = 256 * 1024 * 1024;

interface Entry {
  source: string;
  before: string;
  after: string;
}

/**
 * Opens the journal of a command, in `XDG_STATE_HOME` or `~/.local/state`.
 *
 * @param command everything that decides about the results
 */
export async function openJournal(command: unknown): Promise<Journal> {
  const state = process.env.XDG_STATE_HOME ?? "";
  const directory = join(state === "" ? join(homedir(), ".local", "state") : state, "ocicrypt");
  const path = join(directory, `${fingerprint(command)}.journal`);
  const sources = new Map<string, string>();
  const entries = await readEntries(path);
  let file: Promise<FileHandle | undefined> | undefined;
  if (entries.size > 0) {
    note("ocicrypt", `continues an interrupted run, recorded in ${path}`);
  }

  async function append(words: readonly string[]): Promise<void> {
    file ??= openFile(path);
    const handle = await file;
    if (handle === undefined) return;
    await handle.write(`${JSON.stringify(words)}\n`);
    await handle.sync();
  }

  return {
    watch: (source) => ({
      ...source,
      async resolve(options) {
        const descriptor = await source.resolve(options);
        sources.set(nameOf(source.place), descriptor.digest);
        return descriptor;
      },
    }),
    record: (place, destination) => ({
      ...destination,
      async commit(image, options) {
        const source = nameOf(place);
        const before = sources.get(source) ?? "";
        await append([nameOf(destination.place), source, before, image.digest]);
        await destination.commit(image, options);
      },
    }),
    async find(source, destination) {
      const [from, to] = [nameOf(source.place), nameOf(destination.place)];
      const entry = entries.get(to);
      if (entry?.source !== from) return undefined;
      const now = await destination.resolve().catch(unlessAbsent);
      if (now?.digest !== entry.after) return undefined;
      if (from === to) return now;
      return (await source.resolve()).digest === entry.before ? now : undefined;
    },
    async end() {
      const handle = await file;
      await handle?.truncate();
      await handle?.close();
      // There may never have been one, in a directory that cannot be written.
      await rm(path, { force: true }).catch(() => undefined);
    },
  };
}

async function openFile(path: string): Promise<FileHandle | undefined> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return await open(path, "a", 0o600);
  } catch (error) {
    const why = `${path} cannot be written (${errno(error) ?? "unknown"})`;
    note("warning", `${why}; after an interruption, more images are processed again`);
    return undefined;
  }
}

/** The entries by the names of their destinations. */
async function readEntries(path: string): Promise<ReadonlyMap<string, Entry>> {
  const entries = new Map<string, Entry>();
  let file: FileHandle;
  try {
    file = await open(path, "r+");
  } catch {
    return entries;
  }
  try {
    const { mtimeMs, size } = await file.stat();
    const text = size > MAX_SIZE ? "" : await file.readFile("utf8");
    // A line that is not complete was not followed by a commit.
    const end = Date.now() - mtimeMs > MAX_AGE ? 0 : text.lastIndexOf("\n") + 1;
    const whole = text.slice(0, end);
    await file.truncate(Buffer.byteLength(whole));
    for (const line of whole.split("\n").filter((each) => each !== "")) {
      const [destination = "", source = "", before = "", after = ""] = wordsOf(line);
      entries.set(destination, { source, before, after });
    }
    return entries;
  } finally {
    await file.close();
  }
}

/** The words of a line. A line that a crash of the machine damaged has none. */
function wordsOf(line: string): readonly string[] {
  try {
    const words: unknown = JSON.parse(line);
    return Array.isArray(words) && words.every((word) => typeof word === "string") ? words : [];
  } catch {
    return [];
  }
}

function fingerprint(command: unknown): string {
  return createHash("sha256").update(JSON.stringify(command)).digest("hex").slice(0, 32);
}

function nameOf(place: ImageSource["place"]): string {
  return place === undefined ? "" : `${place.store}:${place.name}`;
}

function unlessAbsent(error: unknown): undefined {
  if (!isOcicryptError(error, "IMAGE_NOT_FOUND")) throw error;
}
