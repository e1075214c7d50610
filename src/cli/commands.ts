import {
  decryptImage,
  encryptImage,
  inspectImage,
  type ImageProgress,
  type Selection,
} from "../image/index.js";
import type { Recipient } from "../keywrap/types.js";
import type { CommandLine } from "./arguments.js";
import type { CommandResult } from "./command-result.js";
import type { CommandName } from "./command-table.js";
import { openDestination, openSource, shownImage } from "./images.js";
import { readKeys } from "./keys.js";
import { progressDisplay } from "./progress.js";
import { readRecipientIds } from "./recipient-ids.js";
import {
  recipientsAdd,
  recipientsList,
  recipientsRemove,
  recipientsReplace,
  rotate,
  type EditedImage,
  type NewRecipients,
  type ReadImage,
} from "./recipients-command.js";
import { readRecipients } from "./recipients.js";
import { renderDecrypted, renderEncrypted, renderReport } from "./render.js";

type Command = (line: CommandLine, signal: AbortSignal) => Promise<CommandResult>;

export const RUN: Record<CommandName, Command> = {
  encrypt,
  decrypt,
  inspect,
  "recipients list": async (line, signal) => recipientsList(await readImage(line, signal)),
  "recipients add": (line, signal) => edit(line, signal, recipientsAdd),
  "recipients remove": async (line, signal) => {
    const selectors = await readRecipientIds(line.recipientIds, await readKeys(line.keys));
    return withProgress(line, async (onProgress) =>
      recipientsRemove(await editedImage(line, signal, onProgress), selectors),
    );
  },
  "recipients replace": (line, signal) => edit(line, signal, recipientsReplace),
  rotate: async (line, signal) => {
    const [, destination = ""] = line.images;
    const { warnings, ...added } = await newRecipients(line);
    return withProgress(line, async (onProgress) => {
      const read = await readImage(line, signal);
      const to = await openDestination(destination, read.image, line, signal);
      const result = await rotate({ ...read, to, destination, onProgress }, added);
      return { ...result, warnings: [...warnings, ...result.warnings] };
    });
  },
};

async function encrypt(line: CommandLine, signal: AbortSignal): Promise<CommandResult> {
  const [source = "", destination = ""] = line.images;
  const { recipients, warnings } = await allRecipients(line);
  const from = await openSource(source, line);
  const to = await openDestination(destination, source, line, signal);
  const { compat, redactHistory } = line;
  const skipBase = line.base === undefined ? line.skipBase : await openSource(line.base, line);
  const reuse =
    line.reuse === undefined
      ? undefined
      : { image: await openSource(line.reuse, line), keys: await readKeys(line.keys) };
  const options = {
    ...selection(line),
    recipients,
    compat,
    redactHistory,
    skipBase,
    reuse,
    signal,
  };
  const result = await withProgress(line, (onProgress) =>
    encryptImage(from, to, { ...options, onProgress }),
  );
  warnings.push(...result.warnings);
  return {
    text: renderEncrypted(result, shownImage(destination)),
    json: { source, destination, ...result, warnings },
    warnings,
  };
}

async function decrypt(line: CommandLine, signal: AbortSignal): Promise<CommandResult> {
  const [source = "", destination = ""] = line.images;
  const keys = await readKeys(line.keys);
  const from = await openSource(source, line);
  const to = await openDestination(destination, source, line, signal);
  const { requireEncrypted, requireRecipients } = line;
  const options = { ...selection(line), keys, requireEncrypted, requireRecipients, signal };
  const result = await withProgress(line, (onProgress) =>
    decryptImage(from, to, { ...options, onProgress }),
  );
  return {
    text: renderDecrypted(result, shownImage(destination)),
    json: { source, destination, ...result },
    warnings: result.warnings,
  };
}

async function inspect(line: CommandLine, signal: AbortSignal): Promise<CommandResult> {
  const [image = ""] = line.images;
  const { config } = line;
  const keys = await readKeys(line.keys);
  const report = await inspectImage(await openSource(image, line), { keys, config, signal });
  return { text: renderReport(report), json: { image, ...report }, warnings: [] };
}

async function edit(
  line: CommandLine,
  signal: AbortSignal,
  run: (image: EditedImage, added: NewRecipients) => Promise<CommandResult>,
): Promise<CommandResult> {
  const { warnings, ...added } = await newRecipients(line);
  return withProgress(line, async (onProgress) => {
    const result = await run(await editedImage(line, signal, onProgress), added);
    return { ...result, warnings: [...warnings, ...result.warnings] };
  });
}

async function readImage(line: CommandLine, signal: AbortSignal): Promise<ReadImage> {
  const [image = ""] = line.images;
  return { image, from: await openSource(image, line), selection: selection(line), signal };
}

/** An image that is changed where it is. */
async function editedImage(
  line: CommandLine,
  signal: AbortSignal,
  onProgress: EditedImage["onProgress"],
): Promise<EditedImage> {
  const read = await readImage(line, signal);
  const to = await openDestination(read.image, read.image, line, signal);
  return { ...read, to, onProgress };
}

async function newRecipients(line: CommandLine): Promise<NewRecipients & { warnings: string[] }> {
  const { recipients, warnings } = await allRecipients(line);
  return { recipients, keys: await readKeys(line.keys), compat: line.compat, warnings };
}

function selection({ layers, platforms, mediaTypes, minSize, digests }: CommandLine): Selection {
  return { layers, platforms, mediaTypes, minSize, digests };
}

async function allRecipients({
  recipients: texts,
  strict,
  keyRings,
}: CommandLine): Promise<{ recipients: Recipient[]; warnings: string[] }> {
  const warnings: string[] = [];
  const onWarning = (warning: string): unknown => warnings.push(warning);
  const recipients: Recipient[] = [];
  for (const text of texts) {
    recipients.push(...(await readRecipients(text, { strict, keyRings, onWarning })));
  }
  return { recipients, warnings };
}

async function withProgress<T>(
  { quiet }: CommandLine,
  run: (onProgress: ((progress: ImageProgress) => void) | undefined) => Promise<T>,
): Promise<T> {
  if (quiet) return run(undefined);
  const bar = progressDisplay(process.stderr);
  try {
    return await run((progress) => {
      bar.update(progress);
    });
  } finally {
    bar.clear();
  }
}
