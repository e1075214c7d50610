import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { isOcicryptError, type OcicryptError } from "../errors.js";
import { isMany, type CommandLine } from "./arguments.js";
import { COMMAND_TABLE, type CommandName } from "./command-table.js";
import { unchanged, type Prepared } from "./command.js";
import { describeFailure, STATUS, UsageError } from "./errors.js";
import { imagesIn, listImages, openSource, placeName } from "./images.js";
import { openJournal, type Journal } from "./journal.js";
import { readStdin } from "./passwords.js";
import type { Shard } from "./option-values.js";
import { note } from "./progress.js";
import { jsonText, plural, withoutSecrets } from "./text.js";

/** The images of one run of a command: a source and a destination, or the same image twice. */
interface Item {
  images: string[];
  /** The error if the images of a repository could not be listed. */
  error?: OcicryptError;
}

/** The tags that cosign and regctl use for signatures, and the tags of lists of referrers. */
const REFERRERS_TAG = /^sha(?:256|512)-[0-9a-f]{64}(?:\.\w+)?$/;

/**
 * Runs a command for many images, several at once. The failure of one image does not stop the
 * others. A signal stops the run, after running images have been undone.
 *
 * @param print prints to standard output
 * @returns the exit status
 * @throws {UsageError} if the list cannot be read, before any image is processed
 * @throws {@link OcicryptError} `REFERENCE_INVALID`, also before any image is processed
 */
export async function runMany(
  line: CommandLine & { command: CommandName },
  prepared: Prepared,
  signal: AbortSignal,
  print: (text: string) => void,
): Promise<number> {
  const { items, all, leftOut } = await readItems(line, signal);
  const counts = { done: 0, skipped: 0, failed: 0 };
  const hints = new Set<string>();
  let worst: number = STATUS.done;
  const show = shownBy(line, print);

  async function runOne({ images, error: known }: Item): Promise<void> {
    try {
      if (known !== undefined) throw known;
      const result = (await findDone(images, line)) ?? (await prepared.run(images));
      counts[result.unchanged === undefined ? "done" : "skipped"]++;
      worst = Math.max(worst, result.status ?? STATUS.done);
      show.result(images, result);
    } catch (error) {
      if (signal.aborted && !isOcicryptError(error)) return;
      counts.failed++;
      const failure = describeFailure(error);
      show.failure(images, failure);
      if (failure.hint !== undefined) hints.add(failure.hint);
    }
  }

  const queue = items.values();
  const worker = async (): Promise<void> => {
    for (const item of queue) {
      if (signal.aborted) return;
      await runOne(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(line.jobs, items.length) }, worker));

  if (prepared.end !== undefined && !line.json) print(prepared.end());
  const left = items.length - counts.done - counts.skipped - counts.failed;
  if (left === 0) await line.journal?.end();
  show.summary({ images: items.length, ...counts, left, all, leftOut }, hints);
  return counts.failed > 0 ? STATUS.failed : worst;
}

/**
 * Opens the journal of a command that writes images. Other options make another result, and another
 * journal.
 */
export async function journalOf(line: CommandLine): Promise<Journal | undefined> {
  const isReading = line.command !== undefined && COMMAND_TABLE[line.command].isReading === true;
  if (isReading || !isMany(line)) return undefined;
  const { command, images, allTags, shard, recipients, recipientIds, kid, compat, bind } = line;
  const { layers, platforms, mediaTypes, minSize, digests, base, skipBase, redactHistory } = line;
  return openJournal([
    [command, images, allTags, shard, recipients, recipientIds, kid, compat, bind],
    [layers, platforms, mediaTypes, minSize, digests, base, skipBase, redactHistory],
    recipients.map(contentOf),
  ]);
}

/** A file of a recipient may have another key today. */
function contentOf(recipient: string): string {
  try {
    const bytes = readFileSync(recipient.slice(recipient.indexOf(":") + 1));
    return createHash("sha256").update(bytes).digest("hex");
  } catch {
    return "";
  }
}

/** The result for an image that an interrupted run of the command has written. */
async function findDone(
  [source = "", destination = source]: readonly string[],
  line: CommandLine,
): Promise<Result | undefined> {
  const { journal } = line;
  if (journal === undefined) return undefined;
  const image = await journal.find(
    await openSource(source, line),
    await openSource(destination, line),
  );
  return image && unchanged(source, destination, image, "the interrupted run wrote it");
}

type Result = Awaited<ReturnType<Prepared["run"]>>;
type Failure = ReturnType<typeof describeFailure>;

interface Summary {
  images: number;
  done: number;
  skipped: number;
  failed: number;
  /** The images that were not processed because of a signal. */
  left: number;
  /** The images of all shards. */
  all: number;
  /** The skipped tags of signatures and lists of referrers. */
  leftOut: number;
}

interface Output {
  result(images: readonly string[], result: Result): void;
  failure(images: readonly string[], failure: Failure): void;
  summary(summary: Summary, hints: ReadonlySet<string>): void;
}

function shownBy(
  line: CommandLine & { command: CommandName },
  print: (text: string) => void,
): Output {
  const { isReading = false } = COMMAND_TABLE[line.command];
  const of = (images: readonly string[]): string => images.at(-1) ?? "";
  if (line.json) {
    const named = ([source, destination = source]: readonly string[]): object =>
      isReading ? { image: source } : { source, destination };
    const write = (value: object): void => {
      print(`${jsonText(value)}\n`);
    };
    return {
      result(_, { json, unchanged }) {
        if (unchanged === undefined) write({ status: "done", ...(json as object) });
        else write({ status: "skipped", reason: unchanged, ...(json as object) });
      },
      failure(images, { code, message, hint }) {
        write({ status: "failed", ...named(images), error: { code, message, hint } });
      },
      summary(summary) {
        process.stderr.write(`${jsonText({ summary })}\n`);
      },
    };
  }
  const isAtEnd = line.command === "audit";
  const warned = new Map<string, number>();
  return {
    result(images, { text, unchanged, digest = "", warnings }) {
      for (const warning of warnings) {
        const count = warned.get(warning) ?? 0;
        warned.set(warning, count + 1);
        if (count === 0) note("warning", `${of(images)}: ${warning}`);
      }
      if (isAtEnd) return;
      if (line.quiet) print(`${of(images)}@${digest}\n`);
      else if (isReading) print(`${of(images)}\n${text}\n`);
      else if (unchanged === undefined) print(`done     ${of(images)}  ${digest}\n`);
      else print(`skipped  ${of(images)}  ${digest}  ${unchanged}\n`);
    },
    failure(images, { code, message }) {
      note("error", `${of(images)}: ${message} (${code})`);
    },
    summary({ images, done, skipped, failed, left, all, leftOut }, hints) {
      for (const [warning, count] of warned) {
        if (count > 1) note("warning", `${plural(count - 1, "more image")}: ${warning}`);
      }
      for (const hint of hints) note("hint", hint);
      if (leftOut > 0) {
        note("ocicrypt", `${plural(leftOut, "tag")} of signatures and referrers left out`);
      }
      const shard = line.shard && `shard ${String(line.shard.index)}/${String(line.shard.of)}, `;
      const total = shard === undefined ? "" : ` of ${String(all)}`;
      const counts = [
        `${String(done)} done`,
        `${String(skipped)} skipped`,
        `${String(failed)} failed`,
        ...(left > 0 ? [`${String(left)} left: run the same command again`] : []),
      ];
      const what = `${shard ?? ""}${plural(images, "image")}${total}`;
      note("ocicrypt", `${what}: ${counts.join(", ")}`);
    },
  };
}

async function readItems(
  line: CommandLine & { command: CommandName },
  signal: AbortSignal,
): Promise<{ items: Item[]; all: number; leftOut: number }> {
  const { takes } = COMMAND_TABLE[line.command];
  const isAudit = line.command === "audit";
  const given = isAudit ? line.images.map((image) => [image]) : [line.images];
  const named = line.images[0] === "-" ? readList(takes.length) : given;
  const items = new Map<string, Item>();
  let leftOut = 0;
  for (const images of named) {
    const isList = line.allTags || isAudit;
    const found: Item[] = isList ? await expand(images, line, signal) : [{ images }];
    for (const item of found) {
      const [source = "", destination = source] = item.images;
      if (
        REFERRERS_TAG.test(/:([^:/]*)$/.exec(destination)?.[1] ?? "") &&
        item.images[0] !== images[0]
      ) {
        leftOut++;
        continue;
      }
      const place = await placeName(destination);
      // Every shard reports a repository that cannot be listed.
      if (item.error !== undefined || isIn(line.shard, place)) addItem(items, place, item);
      else items.set(place, OTHER_SHARD);
    }
  }
  const own = [...items.values()].filter((item) => item !== OTHER_SHARD);
  return { items: own, all: items.size, leftOut };
}

/** An image of another shard, which is only counted. */
const OTHER_SHARD: Item = { images: [] };

/** Processing an image twice at the same time would overwrite one of the results. */
function addItem(items: Map<string, Item>, place: string, item: Item): void {
  const earlier = items.get(place);
  if (earlier !== undefined && earlier.images[0] !== item.images[0]) {
    const hint = "give each source a destination of its own";
    throw new UsageError(`two sources have the destination ${place}`, hint);
  }
  items.set(place, item);
}

/** One image on each line, or a source and a destination. */
function readList(most: number): string[][] {
  const text = Buffer.from(readStdin("the images of -")).toString("utf8");
  const lines = text.split("\n").map((each) => each.trim().split(/\s+/));
  return lines.flatMap(([first = "", ...rest], i) => {
    if (first === "") return [];
    if (rest.length < most) return [[first, ...(most > 1 ? [rest[0] ?? first] : [])]];
    const what = most === 1 ? "one image" : "an image, or a source and a destination";
    const hint = `write ${what} on each line`;
    const shown = withoutSecrets(first);
    throw new UsageError(`line ${String(i + 1)} of standard input (${shown} …) is too long`, hint);
  });
}

async function expand(images: string[], line: CommandLine, signal: AbortSignal): Promise<Item[]> {
  try {
    const [image = ""] = images;
    const listed = line.allTags
      ? await listImages(images, line, signal)
      : (await imagesIn(image, line, signal)).map((each) => [each]);
    return listed.map((each) => ({ images: each }));
  } catch (error) {
    if (!isOcicryptError(error) || error.code === "REFERENCE_INVALID") throw error;
    return [{ images, error }];
  }
}

/**
 * Only a hash of the image's name decides, so that a longer list moves no image to another shard.
 */
function isIn(shard: Shard | undefined, place: string): boolean {
  if (shard === undefined) return true;
  const hash = createHash("sha256").update(place).digest();
  return hash.readUIntBE(0, 6) % shard.of === shard.index;
}
