import {
  addImageRecipients,
  copyReferrers,
  decryptImage,
  encryptImage,
  findEncrypted,
  findImageFor,
  findRotated,
  inspectImage,
  listImageRecipients,
  removeImageRecipients,
  replaceImageRecipients,
  rotateImage,
  type EditRecipientsResult,
  type LayerSelection,
} from "../image/index.js";
import type { ImageDestination, ImageSource } from "../store/index.js";
import { isMany, type CommandLine } from "./arguments.js";
import {
  allKeys,
  allRecipients,
  AS_REQUESTED,
  selection,
  unchanged,
  withProgress,
  type CommandResult,
  type OnProgress,
  type Prepare,
  type Prepared,
} from "./command.js";
import type { CommandName } from "./command-table.js";
import { UsageError } from "./errors.js";
import { openDestination, openSource, openTrusted, requireTrust, shownImage } from "./images.js";
import { readKeys } from "./keys.js";
import {
  readRecipientFiles,
  readRecipientIds,
  recipientNames,
  requireNames,
} from "./recipients.js";
import {
  renderDecrypted,
  renderEdited,
  renderEncrypted,
  renderKept,
  renderRecipients,
  renderReport,
  renderRotated,
} from "./render.js";

export const PREPARE: Record<CommandName, Prepare> = {
  encrypt,
  decrypt,
  inspect,
  "recipients list": list,
  "recipients add": (line, signal) => rewrap(line, signal, addImageRecipients),
  "recipients remove": remove,
  "recipients replace": (line, signal) => rewrap(line, signal, replaceImageRecipients),
  rotate,
  // Loaded when they run, because encryption and decryption need none of it.
  login: async (line, signal) => (await import("./login.js")).login(line, signal),
  logout: async (line, signal) => (await import("./login.js")).logout(line, signal),
  audit: async (line, signal) => (await import("./audit.js")).audit(line, signal),
  provider: async (line, signal) => (await import("./provider.js")).serveProvider(line, signal),
  push: async (line, signal) => (await import("./artifact.js")).push(line, signal),
  pull: async (line, signal) => (await import("./artifact.js")).pull(line, signal),
  "keys sync": async (line, signal) => (await import("./runtime.js")).keysSync(line, signal),
  "runtime config": async (line) => (await import("./runtime.js")).runtimeConfig(line),
  "runtime check": async (line, signal) =>
    (await import("./runtime.js")).runtimeCheck(line, signal),
  ls: async (line, signal) => (await import("./files.js")).list(line, signal),
  cat: async (line, signal) => (await import("./files.js")).cat(line, signal),
  export: async (line, signal) => (await import("./files.js")).exportTar(line, signal),
  completion: async ({ images: [shell = ""] }) => {
    const { completionScript } = await import("./completion.js");
    const script = completionScript(shell);
    const result = { text: script, json: { script }, warnings: [] };
    return { warnings: [], run: () => Promise.resolve(result) };
  },
};

async function encrypt(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  const { recipients, warnings } = await allRecipients(line);
  const onWarning = (warning: string): void => void warnings.push(warning);
  const keys = await readKeys(line.keys, { signal, onWarning, keyServers: line.keyServers });
  const { compat, redactHistory, bind, base, reuse, threads } = line;
  return {
    warnings,
    async run([source = "", destination = ""]) {
      const from = await openSource(source, line);
      const options = {
        ...{ ...selection(line), recipients, compat, redactHistory, bind, threads, signal },
        skipBase: base === undefined ? line.skipBase : await openSource(base, line),
        reuse: reuse === undefined ? undefined : { image: await openSource(reuse, line), keys },
      };
      if (isMany(line)) {
        const there = await findEncrypted(from, await openSource(destination, line), options);
        if (there !== undefined) return unchanged(source, destination, there);
      }
      const to = await openDestination(destination, source, line, signal);
      const { result, kept } = await writeBeside(line, from, to, destination, (onProgress) =>
        encryptImage(from, to, { ...options, onProgress }),
      );
      return {
        text: renderEncrypted(result, shownImage(destination)) + renderKept(kept),
        json: { source, destination, ...result, warnings: [...warnings, ...result.warnings], ...kept }, // prettier-ignore
        warnings: result.warnings,
        digest: result.image.digest,
      };
    },
  };
}

/** With several images, one that is not trusted does not keep the others from their keys. */
async function requireTrustFirst(line: CommandLine, signal: AbortSignal): Promise<void> {
  if (!isMany(line)) await requireTrust(line.images[0] ?? "", line, signal);
}

/**
 * Runs an operation with its progress. With `--keep-referrers`, then copies what belongs to the image
 * before and after; that of a decrypted image is valid again.
 */
async function writeBeside<Result>(
  line: CommandLine,
  from: ImageSource,
  to: ImageDestination,
  destination: string,
  operation: (onProgress: OnProgress) => Promise<Result>,
): Promise<{ result: Result; kept: { referrers?: string[] } }> {
  if (line.keepReferrers && to.beside === undefined) {
    const hint = "write to a registry (docker://…) or to a layout directory (oci:…)";
    throw new UsageError("--keep-referrers cannot copy artifacts into an archive", hint);
  }
  const result = await withProgress(line, operation);
  if (!line.keepReferrers) return { result, kept: {} };
  const after = await openSource(destination, line);
  return { result, kept: { referrers: await copyReferrers(from, to, [from, after]) } };
}

async function decrypt(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  await requireTrustFirst(line, signal);
  const { keys, warnings } = await allKeys(line, signal);
  const { requireEncrypted, requireRecipients, requireBound, allowUnverified } = line;
  const policy = { requireEncrypted, requireRecipients, requireBound, allowUnverified };
  const options = { ...selection(line), keys, ...policy, threads: line.threads, signal };
  return {
    warnings,
    async run([source = "", destination = ""]) {
      const from = await openTrusted(source, line);
      const to = await openDestination(destination, source, line, signal);
      const { result, kept } = await writeBeside(line, from, to, destination, (onProgress) =>
        decryptImage(from, to, { ...options, onProgress }),
      );
      return {
        text: renderDecrypted(result, shownImage(destination)) + renderKept(kept),
        json: { source, destination, ...result, ...kept },
        warnings: result.warnings,
        digest: result.image.digest,
      };
    },
  };
}

async function inspect(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  await requireTrustFirst(line, signal);
  const { config, checkServers } = line;
  const { keys, warnings } = await allKeys(line, signal);
  if (checkServers && !keys.some((key) => key.check !== undefined)) {
    const hint = "name each server with -k, such as -k tang:http://tang.example";
    throw new UsageError("--check-servers needs a key server that can be asked", hint);
  }
  const names = await recipientNames(line.recipients);
  return {
    warnings,
    async run([image = ""]) {
      const options = { keys, config, checkServers, signal };
      const report = await inspectImage(await openTrusted(image, line), options);
      const text = renderReport(report, names);
      return { text, json: { image, ...report }, warnings: [], digest: report.digest };
    },
  };
}

async function list(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  const names = await recipientNames(line.recipients);
  const options = { ...selection(line), signal };
  return {
    warnings: [],
    async run([image = ""]) {
      const result = await listImageRecipients(await openSource(image, line), options);
      const text = renderRecipients(result, names);
      return { text, json: { image, ...result }, warnings: [], digest: result.digest };
    },
  };
}

async function rewrap(
  line: CommandLine,
  signal: AbortSignal,
  change: typeof addImageRecipients,
): Promise<Prepared> {
  const { recipients, warnings } = await allRecipients(line);
  const { keys, warnings: skipped } = await allKeys(line, signal);
  const added = { recipients, keys, compat: line.compat };
  return {
    warnings: [...warnings, ...skipped],
    async run([image = ""]) {
      // Adding existing recipients changes nothing, but replacing them would wrap the keys again.
      if (isMany(line) && change === replaceImageRecipients) {
        const wanted = { ...selection(line), recipients, signal };
        const there = await findImageFor(await openSource(image, line), wanted);
        if (there !== undefined) return unchanged(image, image, there);
      }
      return edit(image, line, signal, (from, to, options) =>
        change(from, to, { ...options, ...added }),
      );
    },
  };
}

async function remove(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  const allowAbsent = isMany(line);
  if (allowAbsent) requireNames(line.recipientIds);
  const { keys, warnings } = await allKeys(line, signal);
  const recipients = [
    ...(await readRecipientFiles(line.recipients)),
    ...(await readRecipientIds(line.recipientIds, keys)),
  ];
  return {
    warnings,
    run: ([image = ""]) =>
      edit(image, line, signal, (from, to, options) =>
        removeImageRecipients(from, to, { ...options, recipients, allowAbsent }),
      ),
  };
}

type EditOptions = LayerSelection & {
  signal: AbortSignal;
  onProgress: OnProgress;
};

/** Changes the recipients of an image in place. */
async function edit(
  image: string,
  line: CommandLine,
  signal: AbortSignal,
  change: (
    from: ImageSource,
    to: ImageDestination,
    options: EditOptions,
  ) => Promise<EditRecipientsResult>,
): Promise<CommandResult> {
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
    ...(!result.changed && { unchanged: AS_REQUESTED }),
  };
}

async function rotate(line: CommandLine, signal: AbortSignal): Promise<Prepared> {
  const { recipients, warnings } = await allRecipients(line);
  const { keys, warnings: skipped } = await allKeys(line, signal);
  const { compat, bind, threads } = line;
  const options = { ...selection(line), recipients, keys, compat, bind, threads, signal };
  return {
    warnings: [...warnings, ...skipped],
    async run([source = "", destination = ""]) {
      const from = await openSource(source, line);
      if (isMany(line)) {
        const there = await findRotated(from, await openSource(destination, line), options);
        if (there !== undefined) return unchanged(source, destination, there);
      }
      const to = await openDestination(destination, source, line, signal);
      const result = await withProgress(line, (onProgress) =>
        rotateImage(from, to, { ...options, onProgress }),
      );
      return {
        text: renderRotated(result, shownImage(destination)),
        json: { source, destination, ...result },
        warnings: result.warnings,
        digest: result.image.digest,
      };
    },
  };
}
