import { decryptImage, encryptImage, inspectImage, type ImageProgress } from "../image/index.js";
import { layoutDestination, layoutSource, parseReference } from "../store/index.js";
import type { CommandLine, CommandName } from "./arguments.js";
import { readKeys, readRecipients } from "./keys.js";
import { progressBar } from "./progress.js";
import { renderDecrypted, renderEncrypted, renderReport } from "./render.js";

/** What a command prints: as text, and as an object for `--json`. */
export interface CommandResult {
  text: string;
  json: unknown;
  warnings: string[];
}

type Command = (line: CommandLine, signal: AbortSignal) => Promise<CommandResult>;

export const RUN: Record<CommandName, Command> = { encrypt, decrypt, inspect };

async function encrypt(line: CommandLine, signal: AbortSignal): Promise<CommandResult> {
  const [source = "", destination = ""] = line.images;
  const recipients = line.recipients.flatMap(readRecipients);
  const from = layoutSource(parseReference(source));
  const to = await layoutDestination(parseReference(destination));
  const { layers, platforms } = line;
  const result = await withProgress(line, (onProgress) =>
    encryptImage(from, to, { recipients, layers, platforms, signal, onProgress }),
  );
  const { warnings } = result;
  return {
    text: renderEncrypted(result, destination),
    json: { source, destination, ...result },
    warnings,
  };
}

async function decrypt(line: CommandLine, signal: AbortSignal): Promise<CommandResult> {
  const [source = "", destination = ""] = line.images;
  const keys = line.keys.flatMap(readKeys);
  const from = layoutSource(parseReference(source));
  const to = await layoutDestination(parseReference(destination));
  const { layers, platforms } = line;
  const result = await withProgress(line, (onProgress) =>
    decryptImage(from, to, { keys, layers, platforms, signal, onProgress }),
  );
  return {
    text: renderDecrypted(result, destination),
    json: { source, destination, ...result },
    warnings: [],
  };
}

async function inspect(line: CommandLine, signal: AbortSignal): Promise<CommandResult> {
  const [image = ""] = line.images;
  const keys = line.keys.flatMap(readKeys);
  const report = await inspectImage(layoutSource(parseReference(image)), { keys, signal });
  return { text: renderReport(report), json: { image, ...report }, warnings: [] };
}

async function withProgress<T>(
  { quiet }: CommandLine,
  run: (onProgress: ((progress: ImageProgress) => void) | undefined) => Promise<T>,
): Promise<T> {
  if (quiet || !process.stderr.isTTY) return run(undefined);
  const bar = progressBar(process.stderr);
  try {
    return await run((progress) => {
      bar.update(progress);
    });
  } finally {
    bar.clear();
  }
}
