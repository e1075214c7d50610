import { type DescriptorLike, KEYS_PREFIX } from "../spec/descriptor.js";
import { isOcicryptError, OcicryptError, shown } from "../errors.js";
import {
  describeSelector,
  type FailedAttempt,
  meansScheme,
  meansWrappedKey,
  type RecipientReport,
  type RecipientSelector,
  reportRecipients,
} from "./explain.js";
import { applyChange, type RecipientsChange } from "./recipient-changes.js";
import { requireEncrypted } from "./unwrap.js";
import { readWrappedKeys, type WrappedKey } from "./wrapped-keys.js";

// `recipients.ts` loads its functions late, all from here, so that bundlers make one file of them.
export { explainKey, listRecipients } from "./explain.js";
export { addRecipients, replaceRecipients } from "./recipient-changes.js";

/** As in `recipients.ts`. */
export async function removeRecipients<D extends DescriptorLike>(
  descriptor: D,
  options: RemoveRecipientsOptions,
): Promise<D & { annotations: Record<string, string> }> {
  const removal = await planRemoval(descriptor, options);
  requireLeft([removal]);
  requireFound(options.recipients, [removal]);
  return applyChange(descriptor, removal);
}

export interface RemoveRecipientsOptions {
  /** The recipients to remove; each must be present. */
  recipients: readonly RecipientSelector[];
  signal?: AbortSignal | undefined;
}

/** A removal of recipients from one layer, which need not have all of them. */
export interface Removal extends RecipientsChange {
  found: ReadonlySet<RecipientSelector>;
  failed: readonly FailedAttempt[];
  /** The digest of the layer, if its descriptor has one. */
  digest: string | undefined;
  /** The number of readable wrapped keys that stay. */
  left: number;
}

/**
 * @throws {@link OcicryptError} as `removeRecipients`, except for the errors of
 *   {@link requireFound} and {@link requireLeft}
 */
export async function planRemoval(
  descriptor: DescriptorLike,
  { recipients, signal }: RemoveRecipientsOptions,
): Promise<Removal> {
  requireEncrypted(descriptor);
  if (recipients.length === 0) {
    throw new OcicryptError("NO_RECIPIENTS", "no recipient to remove was named");
  }
  const found = new Set<RecipientSelector>();
  const failed: FailedAttempt[] = [];
  const gone: WrappedKey[] = [];
  const removed: RecipientReport[] = [];
  let left = 0;
  for (const wrapped of readWrappedKeys(descriptor)) {
    const reports = await reportRecipients(wrapped);
    const meant: RecipientSelector[] = [];
    for (const selector of recipients) {
      const isMeant = await meansWrappedKey(selector, wrapped, reports, failed, signal);
      if (isMeant) meant.push(selector);
    }
    if (meant.length === 0) {
      if (reports.every(({ problem }) => problem === undefined)) left++;
      continue;
    }
    requireSeparable(wrapped, reports, meant);
    gone.push(wrapped);
    removed.push(...reports);
    for (const selector of meant) found.add(selector);
  }
  const whole = new Set([...found].filter(meansScheme).map(({ scheme }) => scheme));
  const annotations = dropWrappedKeys(descriptor.annotations ?? {}, gone, whole);
  const { digest } = descriptor;
  const nothingNew = { wrapped: [], added: [], present: [], kept: [] };
  return { annotations, ...nothingNew, removed, found, failed, digest, left };
}

/**
 * @param removals the removals from all selected layers
 * @param allowAbsent whether a selector may match in none of them, if its keys could be tried
 * @throws {@link OcicryptError} `RECIPIENT_NOT_FOUND` if a selector matches in none of them; or the
 *   reason why its keys could not be tried
 */
export function requireFound(
  recipients: readonly RecipientSelector[],
  removals: readonly Removal[],
  allowAbsent = false,
): void {
  const absent = recipients.filter((selector) =>
    removals.every(({ found }) => !found.has(selector)),
  );
  for (const selector of absent) requireTried(selector, removals, allowAbsent);
}

function requireTried(
  missing: RecipientSelector,
  removals: readonly Removal[],
  allowAbsent: boolean,
): void {
  const failed = removals.flatMap((removal) => removal.failed);
  const errors = failed.filter(({ selector }) => selector === missing).map(({ error }) => error);
  // A cause outside the image, such as a wrong password or a missing token.
  const outside = errors.find(
    (error): error is OcicryptError =>
      isOcicryptError(error) && !error.code.startsWith("WRAPPED_KEY_"),
  );
  if (outside !== undefined) throw outside;
  if (allowAbsent && errors.length === 0) return;
  const name = shown(describeSelector(missing));
  const message =
    "keys" in missing ? `no recipient matches the key ${name}` : `no recipient matches ${name}`;
  const cause = errors.length === 0 ? undefined : new AggregateError(errors, "the failed attempts");
  throw new OcicryptError("RECIPIENT_NOT_FOUND", message, cause && { cause });
}

/** @throws {@link OcicryptError} `LAST_RECIPIENT` if a removal leaves no readable recipient */
export function requireLeft(removals: readonly Removal[]): void {
  const emptied = removals.find(({ found, left }) => found.size > 0 && left === 0);
  if (emptied === undefined) return;
  const { digest } = emptied;
  const layer = digest === undefined ? "the layer" : `the layer ${shown(digest)}`;
  const message = `${layer} would be left without a recipient, so that nobody could decrypt it`;
  throw new OcicryptError("LAST_RECIPIENT", message);
}

/** To remove one of several recipients of a wrapped key, the key would have to be wrapped again. */
function requireSeparable(
  { scheme, index }: WrappedKey,
  reports: readonly RecipientReport[],
  meant: readonly RecipientSelector[],
): void {
  if (reports.length < 2 || meant.some(meansScheme)) return;
  const message = `${shown(scheme)} wrapped key ${String(index)} is for ${String(reports.length)} recipients together; none of them can be removed alone`;
  throw new OcicryptError("RECIPIENTS_INSEPARABLE", message);
}

/** Returns the annotations without some wrapped keys, and without lists that become empty. */
function dropWrappedKeys(
  annotations: Readonly<Record<string, string>>,
  gone: readonly WrappedKey[],
  whole: ReadonlySet<string>,
): Record<string, string> {
  const result = new Map(Object.entries(annotations));
  for (const scheme of new Set(gone.map((wrapped) => wrapped.scheme))) {
    const name = KEYS_PREFIX + scheme;
    const indexes = new Set(
      gone.filter((each) => each.scheme === scheme).map(({ index }) => index),
    );
    const list = whole.has(scheme) ? undefined : result.get(name);
    const left = list?.split(",").filter((_, index) => !indexes.has(index)) ?? [];
    if (left.length === 0) result.delete(name);
    else result.set(name, left.join(","));
  }
  return Object.fromEntries(result);
}
