import { wipePrivateOptions } from "../cipher/private-options.js";
import { parsePublicOptions } from "../cipher/public-options.js";
import type { Key, Recipient } from "../keywrap/types.js";
import type { DescriptorLike } from "../spec/descriptor.js";
import { reportRecipients, type RecipientReport } from "./explain.js";
import { reportAdded, type RecipientsChange } from "./recipients-change.js";
import { unwraps } from "./recipients-match.js";
import { unwrapPrivateOptions, type UnwrapOptions } from "./unwrap.js";
import { requireRecipients, wrapForAll, type WrappedElement } from "./wrap.js";
import { readWrappedKeys, type WrappedKey } from "./wrapped-keys.js";

export interface AddRecipientsOptions extends UnwrapOptions {
  recipients: readonly Recipient[];
}

/** What identifies the recipients of one wrapped key. */
interface Known {
  reports: RecipientReport[];
  /** Of the keys given that open it. */
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
 * The secret of a layer, wrapped for new recipients.
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
    // Nobody is let in to a layer that can not be decrypted.
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
      // What can not be tried is not recognised; the layer was opened by another way.
      signal?.throwIfAborted();
    }
  }
  return found;
}

/**
 * Where a new recipient is among those known. The same key with another algorithm is another
 * recipient: it is there for readers that lack the first one.
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
    a.algorithm === b.algorithm
  );
}
