import type { DescriptorLike } from "../spec/descriptor.js";
import type { RemoveRecipientsOptions } from "./recipient-removal.js";
import type { ExplainKeyOptions, KeyReport, RecipientReport } from "./explain.js";
import type { AddRecipientsOptions } from "./recipient-changes.js";

export type { RemoveRecipientsOptions } from "./recipient-removal.js";
export type {
  ExplainKeyOptions,
  KeyReport,
  RecipientReport,
  RecipientSelector,
} from "./explain.js";
export type { AddRecipientsOptions } from "./recipient-changes.js";

/** Loads the functions, which few programs need that encrypt or decrypt layers. */
const load = (): Promise<typeof import("./recipient-removal.js")> =>
  import("./recipient-removal.js");

/** Returns the recipients of a layer. It does not throw, whatever the annotations contain. */
export async function listRecipients(descriptor: DescriptorLike): Promise<RecipientReport[]> {
  return (await load()).listRecipients(descriptor);
}

/**
 * Tries one key on every wrapped key of its scheme, until one opens.
 *
 * @throws the reason of the signal if it aborts. If the key fails, the report has the reason.
 */
export async function explainKey(
  descriptor: DescriptorLike,
  options: ExplainKeyOptions,
): Promise<KeyReport> {
  return (await load()).explainKey(descriptor, options);
}

/**
 * Adds recipients to an encrypted layer. Only annotations change: the blob is neither needed nor
 * changed, and every existing recipient stays, including recipients of unknown schemes.
 *
 * A recipient that is already present is not added again. It is recognised if a wrapped key names
 * the same key (a `kid`, a certificate, an OpenPGP key id) with the same algorithm, or if a wrapped
 * key without a name opens with one of `keys` that belongs to the recipient's public key. Otherwise
 * the recipient is added.
 *
 * @param descriptor of the encrypted layer; it is not changed
 * @returns a new descriptor that keeps every other member
 * @throws {@link OcicryptError} `NO_RECIPIENTS`, `WRAP_FAILED`, `ANNOTATION_TOO_LARGE`; the errors
 *   of {@link unwrapOnly} if the keys do not open the layer; and the errors of invalid public
 *   options
 */
export async function addRecipients<D extends DescriptorLike>(
  descriptor: D,
  options: AddRecipientsOptions,
): Promise<D & { annotations: Record<string, string> }> {
  return (await load()).addRecipients(descriptor, options);
}

/**
 * Removes recipients from an encrypted layer. This needs no key, and only annotations change.
 *
 * **This does not revoke access.** Anyone who could open the layer may have kept its key, its
 * content, or a copy of the old manifest. `rotateImage` of `ocicrypt/image` gives the layer a new
 * key.
 *
 * @param descriptor of the encrypted layer; it is not changed
 * @returns a new descriptor that keeps every other member
 * @throws {@link OcicryptError} `NOT_ENCRYPTED`, `NO_RECIPIENTS`; `RECIPIENT_NOT_FOUND`;
 *   `LAST_RECIPIENT` if no readable recipient would be left; `RECIPIENTS_INSEPARABLE` for a
 *   recipient that shares its wrapped key with others, unless the whole scheme is removed; and the
 *   errors of keys that could not be tried on any wrapped key
 */
export async function removeRecipients<D extends DescriptorLike>(
  descriptor: D,
  options: RemoveRecipientsOptions,
): Promise<D & { annotations: Record<string, string> }> {
  return (await load()).removeRecipients(descriptor, options);
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
  return (await load()).replaceRecipients(descriptor, options);
}
