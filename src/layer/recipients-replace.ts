import { isBuiltIn } from "../keywrap/schemes.js";
import { KEYS_PREFIX } from "../spec/annotations.js";
import type { DescriptorLike } from "../spec/descriptor.js";
import { reportRecipients, type RecipientReport } from "./explain.js";
import { wrapAnew, type AddRecipientsOptions } from "./recipients-add.js";
import { reportAdded, type RecipientsChange } from "./recipients-change.js";
import { readWrappedKeys } from "./wrapped-keys.js";

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
