import { randomBytes } from "#engine/hash";
import { type DescriptorLike, KEYS_PREFIX } from "../spec/descriptor.js";
import { parsePublicOptions, wipePrivateOptions } from "../cipher/options.js";
import type { Key, Recipient } from "../keywrap/types.js";
import { isBuiltIn } from "../keywrap/schemes.js";
import { type RecipientReport, reportRecipients, unwraps } from "./explain.js";
import { appendWrappedKeys, readWrappedKeys, type WrappedKey } from "./wrapped-keys.js";
import { unwrapPrivateOptions, type UnwrapOptions } from "./unwrap.js";
import { requireRecipients, wrapForAll, type WrappedElement } from "./wrap.js";

/** A change of a layer's recipients: it removes some wrapped keys and appends new wrapped keys. */
export interface RecipientsChange {
  /** The annotations without the removed wrapped keys. */
  annotations: Record<string, string>;
  /** The wrapped key of each new recipient; `undefined` for a recipient that is already present. */
  wrapped: readonly (WrappedElement | undefined)[];
  added: RecipientReport[];
  /** The existing recipients that are the same as new ones. */
  present: RecipientReport[];
  removed: RecipientReport[];
  /** The recipients that are not replaced, because their scheme is unknown. */
  kept: RecipientReport[];
}

/**
 * Returns the descriptor after a change, or with only some of its new recipients.
 *
 * @throws {@link OcicryptError} `ANNOTATION_TOO_LARGE`
 */
export function applyChange<D extends DescriptorLike>(
  descriptor: D,
  { annotations, wrapped }: RecipientsChange,
  count: number = wrapped.length,
): D & { annotations: Record<string, string> } {
  const added = wrapped.slice(0, count).filter((element) => element !== undefined);
  return { ...descriptor, annotations: appendWrappedKeys(annotations, added) };
}

/** Reports new wrapped keys with the positions that they will have. */
export async function reportAdded(
  annotations: Readonly<Record<string, string>>,
  wrapped: readonly WrappedElement[],
): Promise<RecipientReport[][]> {
  const counts = new Map<string, number>();
  return Promise.all(
    wrapped.map(({ scheme, bytes }) => {
      const index = counts.get(scheme) ?? countElements(annotations[KEYS_PREFIX + scheme]);
      counts.set(scheme, index + 1);
      return reportRecipients({ scheme, index, bytes });
    }),
  );
}

function countElements(list: string | undefined): number {
  return list === undefined || list === "" ? 0 : list.split(",").length;
}

export interface AddRecipientsOptions extends UnwrapOptions {
  recipients: readonly Recipient[];
}

/** The identifiers of the recipients of one wrapped key. */
interface Known {
  reports: RecipientReport[];
  /** The thumbprints of the given keys that open it. */
  thumbprints: (string | undefined)[];
}

/** @throws {@link OcicryptError} as `addRecipients` */
export async function planAddition(
  descriptor: DescriptorLike,
  { recipients, keys, signal }: AddRecipientsOptions,
): Promise<RecipientsChange> {
  const all = await wrapAnew(descriptor, { recipients, keys, signal });
  const known = await readKnown(descriptor, recipients, keys, signal);
  const wrapped: (WrappedElement | undefined)[] = [];
  const present: RecipientReport[] = [];
  for (const [i, element] of all.entries()) {
    const reports = await reportRecipients({ ...element, index: 0 });
    const thumbprint = recipients[i]?.thumbprint;
    const same = findSame(known, reports, thumbprint);
    if (same === undefined) known.push({ reports, thumbprints: [thumbprint] });
    else present.push(...same);
    wrapped.push(same === undefined ? element : undefined);
  }
  const annotations = { ...descriptor.annotations };
  const added = await reportAdded(
    annotations,
    wrapped.filter((element) => element !== undefined),
  );
  return { annotations, wrapped, added: added.flat(), present, removed: [], kept: [] };
}

/**
 * Wraps the secret of a layer for new recipients.
 *
 * @throws {@link OcicryptError} as `addRecipients`
 */
export async function wrapAnew(
  descriptor: DescriptorLike,
  { recipients, keys, signal }: AddRecipientsOptions,
): Promise<WrappedElement[]> {
  requireRecipients(recipients);
  const { privateOptions } = await unwrapPrivateOptions(descriptor, { keys, signal });
  try {
    // No recipient is added to a layer that cannot be decrypted.
    parsePublicOptions(descriptor);
    return await wrapForAll(privateOptions, recipients, signal);
  } finally {
    wipePrivateOptions(privateOptions);
  }
}

async function readKnown(
  descriptor: DescriptorLike,
  recipients: readonly Recipient[],
  keys: readonly Key[],
  signal: AbortSignal | undefined,
): Promise<Known[]> {
  const wanted = new Set(recipients.map(({ thumbprint }) => thumbprint));
  const telling = keys.filter(
    ({ thumbprint }) => thumbprint !== undefined && wanted.has(thumbprint),
  );
  const schemes = [...new Set(recipients.map(({ scheme }) => scheme))];
  const known: Known[] = [];
  for (const wrapped of readWrappedKeys(descriptor, schemes)) {
    const reports = await reportRecipients(wrapped);
    known.push({ reports, thumbprints: await thumbprintsOf(wrapped, telling, signal) });
  }
  return known;
}

async function thumbprintsOf(
  wrapped: WrappedKey,
  keys: readonly Key[],
  signal: AbortSignal | undefined,
): Promise<(string | undefined)[]> {
  const found: (string | undefined)[] = [];
  for (const key of keys) {
    try {
      if (await unwraps(key, wrapped, signal)) found.push(key.thumbprint);
    } catch {
      // A key that cannot be tried recognises no recipient; another key has opened the layer.
      signal?.throwIfAborted();
    }
  }
  return found;
}

/**
 * Finds a new recipient among the known recipients. The same key with another algorithm is another
 * recipient, for readers that lack the first algorithm.
 */
function findSame(
  known: readonly Known[],
  reports: readonly RecipientReport[],
  thumbprint: string | undefined,
): RecipientReport[] | undefined {
  const named = reports.map((report) =>
    known.flatMap((each) => each.reports).find((other) => hasSameName(report, other)),
  );
  if (named.length > 0 && !named.includes(undefined)) {
    return named.filter((report) => report !== undefined);
  }
  const [report, ...more] = reports;
  if (thumbprint === undefined || report === undefined || more.length > 0) return undefined;
  const same = known
    .filter(({ thumbprints }) => thumbprints.includes(thumbprint))
    .flatMap((each) => each.reports)
    .find((other) => other.scheme === report.scheme && other.algorithm === report.algorithm);
  return same && [same];
}

function hasSameName(a: RecipientReport, b: RecipientReport): boolean {
  return (
    a.keyId !== undefined &&
    a.scheme === b.scheme &&
    a.keyId === b.keyId &&
    a.server === b.server &&
    a.algorithm === b.algorithm
  );
}

/** As large as the private options of a layer without a binding. */
const SAMPLE_SIZE = 200;

/**
 * Reports recipients as `listRecipients` will report their wrapped keys, before anything is
 * wrapped.
 *
 * @returns `undefined` if a recipient's wrapped key does not name its key. Key providers are not
 *   called.
 */
export async function namesOf(
  recipients: readonly Recipient[],
  signal: AbortSignal | undefined,
): Promise<RecipientReport[] | undefined> {
  requireRecipients(recipients);
  if (!recipients.every(({ scheme }) => isBuiltIn(scheme))) return undefined;
  const reports: RecipientReport[] = [];
  for (const recipient of recipients) {
    const bytes = await recipient.wrap(randomBytes(SAMPLE_SIZE), { signal });
    reports.push(...(await reportRecipients({ scheme: recipient.scheme, index: 0, bytes })));
  }
  return reports.every(({ keyId }) => keyId !== undefined) ? reports : undefined;
}

/** Whether the recipients of a layer are exactly these, in any order. */
export async function isExactlyFor(
  descriptor: DescriptorLike,
  names: readonly RecipientReport[],
): Promise<boolean> {
  const found = (await Promise.all(readWrappedKeys(descriptor).map(reportRecipients))).flat();
  const isIn = (all: readonly RecipientReport[]) => (one: RecipientReport) =>
    all.some((other) => hasSameName(one, other));
  return found.every(isIn(names)) && names.every(isIn(found));
}

/** @throws {@link OcicryptError} as `replaceRecipients` */
export async function planReplacement(
  descriptor: DescriptorLike,
  options: AddRecipientsOptions,
): Promise<RecipientsChange> {
  const wrapped = await wrapAnew(descriptor, options);
  const given = new Set([...options.recipients, ...options.keys].map(({ scheme }) => scheme));
  const isKnown = (scheme: string): boolean => isBuiltIn(scheme) || given.has(scheme);
  const removed: RecipientReport[] = [];
  const kept: RecipientReport[] = [];
  for (const old of readWrappedKeys(descriptor)) {
    (isKnown(old.scheme) ? removed : kept).push(...(await reportRecipients(old)));
  }
  const annotations = Object.fromEntries(
    Object.entries(descriptor.annotations ?? {}).filter(
      ([name]) => !(name.startsWith(KEYS_PREFIX) && isKnown(name.slice(KEYS_PREFIX.length))),
    ),
  );
  const added = (await reportAdded(annotations, wrapped)).flat();
  return { annotations, wrapped, added, present: [], removed, kept };
}

/** As in `recipients.ts`. */
export async function addRecipients<D extends DescriptorLike>(
  descriptor: D,
  options: AddRecipientsOptions,
): Promise<D & { annotations: Record<string, string> }> {
  return applyChange(descriptor, await planAddition(descriptor, options));
}

/** As in `recipients.ts`. */
export async function replaceRecipients<D extends DescriptorLike>(
  descriptor: D,
  options: AddRecipientsOptions,
): Promise<D & { annotations: Record<string, string> }> {
  return applyChange(descriptor, await planReplacement(descriptor, options));
}
