import type { Recipient } from "../keywrap/types.js";
import { parsePublicOptions } from "../cipher/public-options.js";
import type { DescriptorLike } from "../spec/descriptor.js";
import { wipePrivateOptions } from "../cipher/private-options.js";
import { unwrapPrivateOptions, type UnwrapOptions } from "./unwrap.js";
import { requireRecipients, wrapForAll } from "./wrap.js";
import { appendWrappedKeys } from "./wrapped-keys.js";

export interface AddRecipientsOptions extends UnwrapOptions {
  recipients: readonly Recipient[];
}

/**
 * Adds recipients to an encrypted layer. Only annotations change, its blob is neither needed nor
 * touched, and every recipient that is there stays, of an unknown scheme too.
 *
 * @param descriptor of the encrypted layer; it is not changed
 * @returns a new descriptor that keeps every other member
 * @throws {@link OcicryptError} `NO_RECIPIENTS`, `WRAP_FAILED`, `ANNOTATION_TOO_LARGE`; those of
 *   {@link unwrapOnly} when the keys do not open the layer; those of its public options
 */
export async function addRecipients<D extends DescriptorLike>(
  descriptor: D,
  { recipients, keys, signal }: AddRecipientsOptions,
): Promise<D & { annotations: Record<string, string> }> {
  requireRecipients(recipients);
  const { privateOptions } = await unwrapPrivateOptions(descriptor, { keys, signal });
  try {
    parsePublicOptions(descriptor);
    const wrapped = await wrapForAll(privateOptions, recipients, signal);
    return { ...descriptor, annotations: appendWrappedKeys(descriptor.annotations ?? {}, wrapped) };
  } finally {
    wipePrivateOptions(privateOptions);
  }
}
