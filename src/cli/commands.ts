import { decryptImage, encryptImage, inspectImage, type ImageProgress } from "../image/index.js";
import type { CommandLine, CommandName } from "./arguments.js";
import type { Recipient } from "../keywrap/types.js";
import { openDestination, openSource } from "./images.js";
import { readKeys } from "./keys.js";
import { readRecipients } from "./recipients.js";
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
  const warnings: string[] = [];
  const recipients = await allRecipients(line, (warning) => warnings.push(warning));
  const from = await openSource(source, line);
  const to = await openDestination(destination, source, line, signal);
  const { layers, platforms, compat } = line;
  const result = await withProgress(line, (onProgress) =>
    encryptImage(from, to, { recipients, layers, platforms, compat, signal, onProgress }),
  );
  warnings.push(...result.warnings);
  return {
    text: renderEncrypted(result, destination),
    json: { source, destination, ...result, warnings },
    warnings,
  };
}

async function decrypt(line: CommandLine, signal: AbortSignal): Promise<CommandResult> {
  const [source = "", destination = ""] = line.images;
  const keys = await readKeys(line.keys);
  const from = await openSource(source, line);
  const to = await openDestination(destination, source, line, signal);
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
  const keys = await readKeys(line.keys);
  const report = await inspectImage(await openSource(image, line), { keys, signal });
  return { text: renderReport(report), json: { image, ...report }, warnings: [] };
}

async function allRecipients(
  { recipients, strict, keyRings }: CommandLine,
  onWarning: (message: string) => void,
): Promise<Recipient[]> {
  const all: Recipient[] = [];
  for (const text of recipients) {
    all.push(...(await readRecipients(text, { strict, keyRings, onWarning })));
  }
  return all;
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
