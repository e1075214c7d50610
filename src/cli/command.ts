import type { ImageProgress, LayerSelection } from "../image/index.js";
import type { Key, Recipient } from "../keywrap/types.js";
import type { Descriptor } from "../spec/descriptor.js";
import { isMany, type CommandLine } from "./arguments.js";
import { clearProgress, debug, progressDisplay } from "./progress.js";
import { readKeys } from "./keys.js";
import { readRecipients } from "./recipients.js";
import { bytes } from "./text.js";

/** The parts that commands are made of. */

/** The output of a command: as text, and as an object for `--json`. */
export interface CommandResult {
  text: string;
  json: unknown;
  warnings: string[];
  /** Bytes to print instead of the text. Failures of reading them are failures of the command. */
  content?: AsyncIterable<Uint8Array>;
  /** The digest of the image, for `--quiet` and `--digestfile`. */
  digest?: string;
  /** The reason why an image was not changed: it already was as requested. */
  unchanged?: string;
  /** The exit status if nothing failed. Default: 0. */
  status?: number;
}

/**
 * A command whose keys and recipients have been read. It runs for one image, or for many images at
 * once.
 */
export interface Prepared {
  /** The warnings about keys and recipients. */
  warnings: string[];
  run(images: readonly string[]): Promise<CommandResult>;
  /** Returns the text after all results, instead of a text for each image. */
  end?(): string;
}

export type Prepare = (line: CommandLine, signal: AbortSignal) => Promise<Prepared>;

/** Reports on the bytes of an operation while it runs. */
export type OnProgress = ((progress: ImageProgress) => void) | undefined;

export const AS_REQUESTED = "its recipients are as requested";

export function unchanged(
  source: string,
  destination: string,
  image: Descriptor,
  why: string = AS_REQUESTED,
): CommandResult {
  const json = { source, destination, image };
  const { digest } = image;
  return { text: "", json, warnings: [], digest, unchanged: why };
}

export function selection({
  layers,
  platforms,
  mediaTypes,
  minSize,
  digests,
}: CommandLine): LayerSelection {
  return { layers, platforms, mediaTypes, minSize, digests };
}

export async function allKeys(
  line: CommandLine,
  signal: AbortSignal,
): Promise<{ keys: Key[]; warnings: string[] }> {
  const warnings: string[] = [];
  const keys = await readKeys(line.keys, {
    signal,
    keyServers: line.keyServers,
    onWarning: (warning) => warnings.push(warning),
  });
  return { keys, warnings };
}

export async function allRecipients({
  recipients: texts,
  kid,
  strict,
  keyRings,
  keyServers,
}: CommandLine): Promise<{ recipients: Recipient[]; warnings: string[] }> {
  const warnings: string[] = [];
  const onWarning = (warning: string): unknown => warnings.push(warning);
  const recipients: Recipient[] = [];
  for (const text of texts) {
    recipients.push(
      ...(await readRecipients(text, { kid, strict, keyRings, keyServers, onWarning })),
    );
  }
  return { recipients, warnings };
}

export async function withProgress<T>(
  line: CommandLine,
  run: (onProgress: OnProgress) => Promise<T>,
): Promise<T> {
  try {
    return await run(showProgress(line));
  } finally {
    clearProgress();
  }
}

/**
 * Shows progress until {@link clearProgress}, unless the command line has `--quiet`.
 *
 * @param onTerminal whether to show it only on a terminal. Default: also in a log, as lines
 */
export function showProgress(line: CommandLine, onTerminal = false): NonNullable<OnProgress> {
  const seen = new Set<string>();
  const log = ({ action, digest, blobSize }: ImageProgress): void => {
    const name = `${action} ${digest}`;
    if (!seen.has(name)) debug(`${name}, ${bytes(blobSize)}`);
    seen.add(name);
  };
  if (line.quiet || isMany(line) || (onTerminal && !process.stderr.isTTY)) return log;
  const bar = progressDisplay(process.stderr);
  return (progress) => {
    log(progress);
    bar.update(progress);
  };
}
