import type { DescriptorLike } from "../spec/descriptor.js";
import { planAddition, type AddRecipientsOptions } from "./recipient-changes.js";
import { applyChange } from "./recipient-changes.js";
import {
  planRemoval,
  requireFound,
  requireLeft,
  type RemoveRecipientsOptions,
} from "./recipient-removal.js";
import { planReplacement } from "./recipient-changes.js";

export type { AddRecipientsOptions } from "./recipient-changes.js";
export type { RecipientSelector } from "./recipient-selector.js";
export type { RemoveRecipientsOptions } from "./recipient-removal.js";

/**
 * Adds recipients to an encrypted layer. Only annotations change, its blob is neither needed nor
 * touched, and every recipient that is there stays, of an unknown scheme too.
 *
 * One that is there already is not added again: its wrapped key names the same key (a `kid`, a
 * certificate, an OpenPGP key id) for the same algorithm, or it names none and opens with one of
 * `keys` whose public half is the new recipient's. Where neither tells, it is added.
 *
 * @param descriptor of the encrypted layer; it is not changed
 * @returns a new descriptor that keeps every other member
 * @throws {@link OcicryptError} `NO_RECIPIENTS`, `WRAP_FAILED`, `ANNOTATION_TOO_LARGE`; those of
 *   {@link unwrapOnly} when the keys do not open the layer; those of its public options
 */
export async function addRecipients<D extends DescriptorLike>(
  descriptor: D,
  options: AddRecipientsOptions,
): Promise<D & { annotations: Record<string, string> }> {
  return applyChange(descriptor, await planAddition(descriptor, options));
}

/**
 * Removes recipients from an encrypted layer. No key is needed to do so; only annotations change.
 *
 * **This revokes nothing.** Who could open the layer can keep its key, its content, or a copy of
 * its old manifest. `rotateImage` of `ocicrypt/image` gives it a new key.
 *
 * @param descriptor of the encrypted layer; it is not changed
 * @returns a new descriptor that keeps every other member
 * @throws {@link OcicryptError} `NOT_ENCRYPTED`, `NO_RECIPIENTS`; `RECIPIENT_NOT_FOUND`;
 *   `LAST_RECIPIENT` when none that can be read would be left; `RECIPIENTS_INSEPARABLE` for one
 *   that shares a wrapped key with others, unless all of the scheme are removed; and what keys
 *   throw, when they could not be tried on any wrapped key
 */
export async function removeRecipients<D extends DescriptorLike>(
  descriptor: D,
  options: RemoveRecipientsOptions,
): Promise<D & { annotations: Record<string, string> }> {
  const removal = await planRemoval(descriptor, options);
  requireLeft([removal]);
  requireFound(options.recipients, [removal]);
  return applyChange(descriptor, removal);
}

/**
 * Replaces the recipients of an encrypted layer. Only annotations change. Recipients of key
 * providers and unknown schemes are kept, unless one of `recipients` or `keys` has the same scheme;
 * remove them with {@link removeRecipients}. As with that function, this does not revoke access.
 *
 * @param descriptor of the encrypted layer; it is not changed
 * @returns a new descriptor that keeps every other member
 * @throws {@link OcicryptError} as {@link addRecipients}
 */
export async function replaceRecipients<D extends DescriptorLike>(
  descriptor: D,
  options: AddRecipientsOptions,
): Promise<D & { annotations: Record<string, string> }> {
  return applyChange(descriptor, await planReplacement(descriptor, options));
}
