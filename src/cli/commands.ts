import {
  addImageRecipients,
  decryptImage,
  encryptImage,
  inspectImage,
  listImageRecipients,
  removeImageRecipients,
  replaceImageRecipients,
  rotateImage,
  type EditRecipientsResult,
  type ImageProgress,
  type Selection,
} from "../image/index.js";
import type { Key, Recipient } from "../keywrap/types.js";
import type { ImageDestination, ImageSource } from "../store/index.js";
import type { CommandLine } from "./arguments.js";
import type { CommandName } from "./command-table.js";
import { completionScript } from "./completion.js";
import { debug } from "./debug.js";
import { openDestination, openSource, openTrusted, shownImage } from "./images.js";
import { readKeys } from "./keys.js";
import { progressDisplay } from "./progress.js";
import {
  readRecipientFiles,
  readRecipientIds,
  readRecipients,
  recipientNames,
} from "./recipients.js";
import {
  renderDecrypted,
  renderEdited,
  renderEncrypted,
  renderRecipients,
  renderReport,
  renderRotated,
} from "./render.js";
import { bytes } from "./text.js";

/** The output of a command: as text, and as an object for `--json`. */
export interface CommandResult {
  text: string;
  json: unknown;
  warnings: string[];
  /** The digest of the image, for `--quiet` and `--digestfile`. */
  digest?: string;
}

type Command = (line: CommandLine, signal: AbortSignal) => Promise<CommandResult>;

/** Reports on the bytes of an operation while it runs. */
type OnProgress = ((progress: ImageProgress) => void) | undefined;

export const RUN: Record<CommandName, Command> = {
  encrypt,
  decrypt,
  inspect,
  "recipients list": list,
  "recipients add": (line, signal) => rewrap(line, signal, addImageRecipients),
  "recipients remove": remove,
  "recipients replace": (line, signal) => rewrap(line, signal, replaceImageRecipients),
  rotate,
  completion: ({ images: [shell = ""] }) => {
    const script = completionScript(shell);
    return Promise.resolve({ text: script, json: { script }, warnings: [] });
  },
};

async function encrypt(line: CommandLine, signal: AbortSignal): Promise<CommandResult> {
  const [source = "", destination = ""] = line.images;
  const { recipients, warnings } = await allRecipients(line);
  const onWarning = (warning: string): void => void warnings.push(warning);
  const from = await openSource(source, line);
  const to = await openDestination(destination, source, line, signal);
  const options = {
    ...selection(line),
    recipients,
    compat: line.compat,
    redactHistory: line.redactHistory,
    bind: line.bind,
    skipBase: line.base === undefined ? line.skipBase : await openSource(line.base, line),
    reuse:
      line.reuse === undefined
        ? undefined
        : {
            image: await openSource(line.reuse, line),
            keys: await readKeys(line.keys, { signal, onWarning }),
          },
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
    digest: result.image.digest,
  };
}

async function decrypt(line: CommandLine, signal: AbortSignal): Promise<CommandResult> {
  const [source = "", destination = ""] = line.images;
  const { keys, warnings } = await allKeys(line, signal);
  const from = await openTrusted(source, line);
  const to = await openDestination(destination, source, line, signal);
  const { requireEncrypted, requireRecipients, requireBound, allowUnverified } = line;
  const policy = { requireEncrypted, requireRecipients, requireBound, allowUnverified };
  const options = { ...selection(line), keys, ...policy, signal };
  const result = await withProgress(line, (onProgress) =>
    decryptImage(from, to, { ...options, onProgress }),
  );
  return {
    text: renderDecrypted(result, shownImage(destination)),
    json: { source, destination, ...result },
    warnings: [...warnings, ...result.warnings],
    digest: result.image.digest,
  };
}

async function inspect(line: CommandLine, signal: AbortSignal): Promise<CommandResult> {
  const [image = ""] = line.images;
  const { config } = line;
  const { keys, warnings } = await allKeys(line, signal);
  const names = await recipientNames(line.recipients);
  const report = await inspectImage(await openTrusted(image, line), { keys, config, signal });
  const text = renderReport(report, names);
  return { text, json: { image, ...report }, warnings, digest: report.digest };
}

async function list(line: CommandLine, signal: AbortSignal): Promise<CommandResult> {
  const [image = ""] = line.images;
  const options = { ...selection(line), signal };
  const result = await listImageRecipients(await openSource(image, line), options);
  const text = renderRecipients(result, await recipientNames(line.recipients));
  return { text, json: { image, ...result }, warnings: [], digest: result.digest };
}

async function rewrap(
  line: CommandLine,
  signal: AbortSignal,
  change: typeof addImageRecipients,
): Promise<CommandResult> {
  const { recipients, warnings } = await allRecipients(line);
  const { keys, warnings: skipped } = await allKeys(line, signal);
  const added = { recipients, keys, compat: line.compat };
  const result = await edit(line, signal, (from, to, options) =>
    change(from, to, { ...options, ...added }),
  );
  return { ...result, warnings: [...warnings, ...skipped, ...result.warnings] };
}

async function remove(line: CommandLine, signal: AbortSignal): Promise<CommandResult> {
  const { keys, warnings } = await allKeys(line, signal);
  const recipients = [
    ...(await readRecipientFiles(line.recipients)),
    ...(await readRecipientIds(line.recipientIds, keys)),
  ];
  const result = await edit(line, signal, (from, to, options) =>
    removeImageRecipients(from, to, { ...options, recipients }),
  );
  return { ...result, warnings: [...warnings, ...result.warnings] };
}

type EditOptions = Selection & {
  signal: AbortSignal;
  onProgress: OnProgress;
};

/** Changes the recipients of an image in its place. */
async function edit(
  line: CommandLine,
  signal: AbortSignal,
  change: (
    from: ImageSource,
    to: ImageDestination,
    options: EditOptions,
  ) => Promise<EditRecipientsResult>,
): Promise<CommandResult> {
  const [image = ""] = line.images;
  const from = await openSource(image, line);
  const to = await openDestination(image, image, line, signal);
  const options = { ...selection(line), signal };
  const result = await withProgress(line, (onProgress) =>
    change(from, to, { ...options, onProgress }),
  );
  return {
    text: renderEdited(result, shownImage(image)),
    json: { source: image, destination: image, ...result },
    warnings: result.warnings,
    digest: result.image.digest,
  };
}

async function rotate(line: CommandLine, signal: AbortSignal): Promise<CommandResult> {
  const [source = "", destination = ""] = line.images;
  const { recipients, warnings } = await allRecipients(line);
  const { keys, warnings: skipped } = await allKeys(line, signal);
  const from = await openTrusted(source, line);
  const to = await openDestination(destination, source, line, signal);
  const { compat, bind } = line;
  const options = { ...selection(line), recipients, keys, compat, bind, signal };
  const result = await withProgress(line, (onProgress) =>
    rotateImage(from, to, { ...options, onProgress }),
  );
  return {
    text: renderRotated(result, shownImage(destination)),
    json: { source, destination, ...result },
    warnings: [...warnings, ...skipped, ...result.warnings],
    digest: result.image.digest,
  };
}

function selection({ layers, platforms, mediaTypes, minSize, digests }: CommandLine): Selection {
  return { layers, platforms, mediaTypes, minSize, digests };
}

async function allKeys(
  line: CommandLine,
  signal: AbortSignal,
): Promise<{ keys: Key[]; warnings: string[] }> {
  const warnings: string[] = [];
  const keys = await readKeys(line.keys, {
    signal,
    onWarning: (warning) => warnings.push(warning),
  });
  return { keys, warnings };
}

async function allRecipients({
  recipients: texts,
  kid,
  strict,
  keyRings,
}: CommandLine): Promise<{ recipients: Recipient[]; warnings: string[] }> {
  const warnings: string[] = [];
  const onWarning = (warning: string): unknown => warnings.push(warning);
  const recipients: Recipient[] = [];
  for (const text of texts) {
    recipients.push(...(await readRecipients(text, { kid, strict, keyRings, onWarning })));
  }
  return { recipients, warnings };
}

async function withProgress<T>(
  { quiet }: CommandLine,
  run: (onProgress: OnProgress) => Promise<T>,
): Promise<T> {
  const seen = new Set<string>();
  const log = ({ action, digest, blobSize }: ImageProgress): void => {
    const name = `${action} ${digest}`;
    if (!seen.has(name)) debug(`${name}, ${bytes(blobSize)}`);
    seen.add(name);
  };
  if (quiet) return run(log);
  const bar = progressDisplay(process.stderr);
  try {
    return await run((progress) => {
      log(progress);
      bar.update(progress);
    });
  } finally {
    bar.clear();
  }
}
